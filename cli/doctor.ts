/**
 * What this machine has and lacks, one check a line, each with what to do about it. Every check looks at the real thing
 * (opens a socket, compiles a module, writes a file) instead of asking what version of it is installed.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { availableParallelism, freemem, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { makeFolder, refusalOf } from '../cloud/embedded/files.ts';
import { layout } from '../cloud/embedded/state-folder.ts';
import { findBlas, howToInstall } from '../container/engine/plan/blas.ts';
import { formatBytes } from './format.ts';

export interface Check {
  readonly name: string;
  /** `fail` stops training on this machine, `warn` makes it worse, `info` is only worth knowing. */
  readonly status: 'ok' | 'info' | 'warn' | 'fail';
  readonly found: string;
  readonly advice?: string;
}

export interface Machine {
  readonly root: string;
  readonly stateDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly nodeVersion: string;
}

export const leastNode = '20.19.0';
const wantedDiskBytes = 1024 ** 3;
const wantedMemoryBytes = 512 * 1024 ** 2;

export async function examine(machine: Machine): Promise<readonly Check[]> {
  return Promise.all([
    checkNode(machine.nodeVersion),
    checkPackages(machine.root),
    checkBundles(machine.root),
    checkWebAssembly(machine.root),
    checkNativeEngine(machine.root),
    checkBlas(),
    checkStateFolder(machine.stateDir),
    checkDisk(machine.stateDir),
    checkMemory(),
    checkLoopback(),
    checkAws(machine.env),
    checkDocker(),
  ]);
}

export function checkNode(version: string): Check {
  const name = 'node';
  const found = `version ${version.replace(/^v/, '')}, ${availableParallelism()} processors`;
  if (compareVersions(version, leastNode) >= 0) return { name, status: 'ok', found };
  return { name, status: 'fail', found, advice: `install Node ${leastNode} or newer` };
}

export function checkPackages(root: string): Check {
  const name = 'packages';
  const { dependencies = {} } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies?: Record<string, string>;
  };
  const missing = Object.keys(dependencies).filter((pkg) => !existsSync(join(root, 'node_modules', pkg)));
  if (missing.length === 0) return { name, status: 'ok', found: 'all installed' };
  return { name, status: 'fail', found: `missing ${missing.join(', ')}`, advice: 'run "npm ci" in the project folder' };
}

export function checkBundles(root: string): Check {
  const name = 'build';
  const missing = ['dist/cli/main.js', 'dist/cli/program.cjs', 'dist/task/main.js'].filter(
    (file) => !existsSync(join(root, file)),
  );
  if (missing.length === 0) return { name, status: 'ok', found: 'dist/ is there' };
  return { name, status: 'fail', found: `missing ${missing.join(', ')}`, advice: 'run "npm run build"' };
}

/** The smallest module that uses a 128-bit lane: (func (drop (i32x4.splat (i32.const 0)))). */
const simdProbe = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 17, 26, 11,
]);

// The compiler's library has the browser's types only with `dom`; this is all that is asked of it.
const { WebAssembly } = globalThis as unknown as { WebAssembly: { validate(bytes: Uint8Array): boolean } };

export function checkWebAssembly(root: string): Check {
  const name = 'engine';
  const folder = join(root, 'dist/task/wasm');
  const files = ['portable.wasm', 'exact.wasm', 'tfjs-backend-wasm-simd.wasm'].map((file) => join(folder, file));
  if (!WebAssembly.validate(simdProbe)) {
    return {
      name,
      status: 'warn',
      found: 'WebAssembly here has no SIMD',
      advice: 'training falls back to a slower engine; use a current Node on x86-64 or arm64',
    };
  }
  const advice = 'run "npm ci", then "npm run build"';
  const missing = files.find((file) => !existsSync(file));
  if (missing !== undefined) return { name, status: 'fail', found: `missing ${missing}`, advice };
  // Whether the fused instructions of exact.wasm are there is found out when a task starts.
  const damaged = files.filter((file) => !file.endsWith('exact.wasm')).find((file) => !isModule(file));
  if (damaged !== undefined) return { name, status: 'fail', found: `${damaged} is damaged`, advice };
  return { name, status: 'ok', found: 'WebAssembly with SIMD' };
}

function isModule(file: string): boolean {
  return WebAssembly.validate(readFileSync(file));
}

export function checkNativeEngine(root: string): Check {
  const name = 'tfjs-node';
  try {
    createRequire(join(root, 'package.json')).resolve('@tensorflow/tfjs-node');
    return { name, status: 'ok', found: 'installed; used with "engine: tensorflow"' };
  } catch {
    return {
      name,
      status: 'info',
      found: 'not installed; nothing needs it',
      advice:
        'with "engine: tensorflow" the native library is faster: "npm install --no-save @tensorflow/tfjs-node" (downloads and may compile)',
    };
  }
}

export function checkBlas(): Check {
  const name = 'native';
  const blas = findBlas();
  if (blas.kind === 'found') return { name, status: 'ok', found: `${blas.name}; used with "engine: native"` };
  return {
    name,
    status: 'info',
    found: `${blas.why}; nothing needs it`,
    advice: `the fastest engine, "engine: native", needs ${howToInstall}`,
  };
}

export function checkStateFolder(stateDir: string): Check {
  const name = 'state';
  const existed = existsSync(stateDir);
  try {
    const stamp = join(stateDir, 'VERSION');
    const found = existsSync(stamp) ? readFileSync(stamp, 'utf8').trim() : undefined;
    if (found !== undefined && found !== JSON.stringify({ layout })) {
      return {
        name,
        status: 'fail',
        found: `${stateDir} was made by another version (${found.slice(0, 60)}; this one writes layout ${layout})`,
        advice: 'use another folder with --state, or the version that made this one',
      };
    }
    makeFolder(stateDir);
    const probe = join(stateDir, `.probe-${process.pid}`);
    writeFileSync(probe, 'x');
    rmSync(probe);
    if (!existed) rmSync(stateDir, { recursive: true });
    return { name, status: 'ok', found: existed ? `${stateDir} is writable` : `${stateDir} can be made` };
  } catch (error) {
    return {
      name,
      status: 'fail',
      found: `${stateDir} cannot be written: ${refusalOf(error)}`,
      advice: 'give another folder with --state',
    };
  }
}

async function checkDisk(stateDir: string): Promise<Check> {
  let folder = stateDir;
  while (!existsSync(folder)) folder = dirname(folder);
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const check = { name: 'disk', found: `${formatBytes(free)} free` } as const;
  if (free >= wantedDiskBytes) return { ...check, status: 'ok' };
  return { ...check, status: 'warn', advice: 'checkpoints may not fit; free some space or use --state elsewhere' };
}

export function checkMemory(): Check {
  const free = availableMemoryBytes();
  const check = { name: 'memory', found: `${formatBytes(free)} of ${formatBytes(totalmem())} available` } as const;
  if (free >= wantedMemoryBytes) return { ...check, status: 'ok' };
  return { ...check, status: 'warn', advice: 'each task takes about 150 MiB; train with --workers 1' };
}

/** What could be used without swapping; `freemem` alone does not count what caches would give back. */
function availableMemoryBytes(): number {
  try {
    const match = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'));
    if (match) return Number(match[1]) * 1024;
  } catch {
    // Not Linux.
  }
  return freemem();
}

function checkLoopback(): Promise<Check> {
  return new Promise((resolve) => {
    const fail = (error: Error) =>
      resolve({
        name: 'loopback',
        status: 'fail',
        found: `no TCP connection on 127.0.0.1: ${error.message}`,
        advice: 'tasks talk to each other over 127.0.0.1; allow it in the firewall or sandbox',
      });
    const server = createServer((socket) => socket.destroy());
    server.on('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const client = connect(typeof address === 'object' && address ? address.port : 0, '127.0.0.1');
      client.setTimeout(2000, () => client.destroy(new Error('timed out')));
      client.on('error', (error) => {
        server.close();
        fail(error);
      });
      client.on('connect', () => {
        client.destroy();
        server.close();
        resolve({ name: 'loopback', status: 'ok', found: 'TCP on 127.0.0.1 works' });
      });
    });
  });
}

/** Says only whether something is set; no value is read, shown or tried. */
export function checkAws(env: Machine['env']): Check {
  const set = ['AWS_PROFILE', 'AWS_ACCESS_KEY_ID', 'AWS_ROLE_ARN', 'AWS_REGION'].filter((name) => env[name]);
  return {
    name: 'aws',
    status: 'info',
    found: set.length > 0 ? `${set.join(', ')} set` : 'no AWS environment; only deploying needs one',
  };
}

function checkDocker(): Promise<Check> {
  return new Promise((resolve) => {
    execFile('docker', ['--version'], { timeout: 3000 }, (error, stdout) =>
      resolve({
        name: 'docker',
        status: 'info',
        found: error ? 'not found; only building the container image needs it' : stdout.trim(),
      }),
    );
  });
}

export function compareVersions(a: string, b: string): number {
  const parts = (version: string) => version.replace(/^v/, '').split('.').map(Number);
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
