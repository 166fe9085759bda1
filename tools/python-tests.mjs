// Runs the tests that need programs written in Python: cfn-lint and checkov on every variant of the stack, the AWS adapters
// against a moto server, the workflow in moto's interpreter. They are installed into a virtual environment under the
// temporary folder of the system, once for each set of versions. Where Python or the package index is missing, it says so
// and ends well: those tests are then skipped.
//
//   npm run test:python
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const requirements = ['cfn-lint==1.58.0', 'checkov==3.3.30', 'moto[server]==5.2.5', 'jsonata-python==0.7.1'];
/** moto's own command answers requests in threads, and its conditional writes are not safe there: one request at a time. */
const server = [
  'import sys',
  'from werkzeug.serving import run_simple',
  'from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app',
  'run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app))',
].join('\n');
const installMs = 600_000;
const startMs = 60_000;

const bin = install();
if (bin !== undefined) process.exitCode = await test(bin);

/** The folder of the installed programs; undefined, with a note, where they cannot be had. */
function install() {
  const digest = createHash('sha256').update(requirements.join()).digest('hex').slice(0, 12);
  const folder = join(tmpdir(), `cuttlefish-python-${digest}`);
  const complete = join(folder, 'complete');
  const programs = join(folder, 'bin');
  if (existsSync(complete)) return programs;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [command, ...args] of [
    ['python3', '-m', 'venv', folder],
    [join(programs, 'pip'), 'install', '--quiet', '--disable-pip-version-check', ...requirements],
  ]) {
    const { status, error, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: installMs });
    if (status === 0) continue;
    rmSync(folder, { recursive: true, force: true });
    const why = (error?.message ?? stderr).trim().split('\n').at(-1);
    console.log(`skipped: cfn-lint, checkov and moto cannot be installed here (${command}: ${why})`);
    return undefined;
  }
  writeFileSync(complete, '');
  return programs;
}

/** Starts the emulator, runs the tests, stops it, also when it is itself asked to end. Answers the exit code. */
async function test(programs) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const started = [spawn(join(programs, 'python'), ['-c', server, String(port)], { stdio: 'ignore' })];
  const stop = () => {
    for (const child of started) child.kill();
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, stop);
  try {
    await answering(url, started[0]);
    const files = ['test/stack/checkers.test.ts', 'test/contract/moto.test.ts', 'test/statemachine/moto.test.ts'];
    const vitest = spawn(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...files], {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, CUTTLEFISH_PYTHON_BIN: programs, CUTTLEFISH_MOTO_URL: url },
    });
    started.push(vitest);
    return await new Promise((resolve) => vitest.once('exit', (code) => resolve(code ?? 1)));
  } catch (thrown) {
    console.error(thrown.message);
    return 1;
  } finally {
    stop();
  }
}

async function answering(url, moto) {
  const deadline = Date.now() + startMs;
  while (Date.now() < deadline && moto.exitCode === null) {
    const there = await fetch(url).then(
      () => true,
      () => false,
    );
    if (there) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`the moto server did not answer at ${url}`);
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
