/** Embedded worlds in temporary folders, and other processes that share them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { silentLog } from '../../cloud/embedded/log.ts';
import { type EmbeddedWorld, openWorld, type WorldOptions } from '../../cloud/embedded/world.ts';

/** A task that waits; what else it can do is in the file. */
export const taskEntry = fileURLToPath(new URL('./task-entry.mjs', import.meta.url));

const worlds: EmbeddedWorld[] = [];
const folders: string[] = [];
const children: ChildProcess[] = [];
let script: string | undefined;

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cuttlefish-test-'));
  folders.push(folder);
  return folder;
}

export async function newWorld(options: Partial<WorldOptions> = {}): Promise<EmbeddedWorld> {
  const world = await openWorld({ stateDir: newFolder(), log: silentLog, taskEntry, ...options });
  worlds.push(world);
  return world;
}

/** For afterEach: ends every process and removes every folder of the test. */
export async function closeWorlds(): Promise<void> {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await Promise.all(worlds.splice(0).map((world) => world.runner.stopAll()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}

export interface OtherProcess {
  readonly pid: number;
  readonly child: ChildProcess;
  /** The next JSON line that it printed. */
  next<T>(): Promise<T>;
  send(line: string): void;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

/** A process of its own that carries out one job of test/support/embedded-child.ts. */
export function otherProcess(job: string, argument: object, shell?: string): OtherProcess {
  script ??= bundle();
  const args = [script, job, JSON.stringify(argument)];
  const child = shell
    ? spawn('bash', ['-c', `${shell}; exec "$@"`, 'bash', process.execPath, ...args], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
    : spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  child.stdin?.on('error', () => {});
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return {
    pid: child.pid ?? 0,
    child,
    next: async () => {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${job}: the process ended without an answer`);
      return JSON.parse(value);
    },
    send: (line) => child.stdin?.write(`${line}\n`),
    ended: new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal }))),
  };
}

function bundle(): string {
  const outfile = join(mkdtempSync(join(tmpdir(), 'cuttlefish-child-')), 'child.mjs');
  const entry = fileURLToPath(new URL('./embedded-child.ts', import.meta.url));
  buildSync({ entryPoints: [entry], outfile, bundle: true, platform: 'node', format: 'esm', target: 'node20' });
  process.once('exit', () => rmSync(join(outfile, '..'), { recursive: true, force: true }));
  return outfile;
}
