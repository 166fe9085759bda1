/** Runs the command once with a state folder of its own and looks on: progress rows, memory, and what it left behind. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CheckpointManifest, EpochRow, EventRow, ProgressRow, RunResult } from '../../core/run.ts';
import type { RunSamples } from './samples.ts';

const lookEveryMs = 50;

export interface DriveOptions {
  /** dist/cli/main.js */
  readonly command: string;
  readonly config: string;
  readonly arguments: readonly string[];
  readonly batchSize: number;
  readonly timeoutMs: number;
}

export async function drive(options: DriveOptions): Promise<RunSamples> {
  const state = mkdtempSync(join(tmpdir(), 'cuttlefish-bench-'));
  const progress = new Map<number, ProgressRow>();
  const peaks = new Map<string, number>();
  const look = (): void => {
    for (const row of progressRows(join(state, 'table'))) progress.set(row.beat, row);
    for (const [task, mib] of memoryOfTasks(join(state, 'tasks'))) peaks.set(task, Math.max(mib, peaks.get(task) ?? 0));
  };
  const looking = setInterval(look, lookEveryMs);
  try {
    const spawnedAtMs = Date.now();
    const document = await run(
      options.command,
      ['train', options.config, '--state', state, '--json', ...options.arguments],
      options.timeoutMs,
    );
    clearInterval(looking);
    look();
    const result = JSON.parse(document) as RunResult;
    if (result.status !== 'succeeded') throw new Error(`the run ended as "${result.status}": ${document}`);
    const status = JSON.parse(
      await run(options.command, ['status', result.runId, '--state', state, '--json'], 60_000),
    ) as {
      checkpoint?: CheckpointManifest | null;
    };
    return {
      spawnedAtMs,
      batchSize: options.batchSize,
      progress: [...progress.values()].sort((a, b) => a.beat - b.beat),
      events: readLines<EventRow>(result.artifacts.events).sort((a, b) => a.atMs - b.atMs),
      epochs: readLines<EpochRow>(result.artifacts.metrics),
      checkpoint: status.checkpoint ?? undefined,
      peakMemoryMiB: [...peaks.values()],
      result,
    };
  } finally {
    clearInterval(looking);
    rmSync(state, { recursive: true, force: true, maxRetries: 3 });
  }
}

function run(command: string, args: readonly string[], timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
    // Its tasks end when it does.
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return resolve(Buffer.concat(output).toString());
      const last = Buffer.concat(errors).toString().trim().split('\n').slice(-5).join('\n');
      reject(new Error(`cuttlefish ${args.join(' ')} ended with ${signal ?? code}:\n${last}`));
    });
  });
}

/** The newest version of the progress row of every run in the folder; empty while there is none. */
function progressRows(table: string): ProgressRow[] {
  return namesIn(table).flatMap((runId) => {
    const folder = join(table, runId, 'progress');
    const newest = namesIn(folder)
      .filter((name) => /^v\d+$/.test(name))
      .sort()
      .at(-1);
    if (newest === undefined) return [];
    try {
      const row = JSON.parse(readFileSync(join(folder, newest), 'utf8')) as { value?: ProgressRow };
      return row.value?.tasks === undefined ? [] : [row.value];
    } catch {
      // Replaced between the listing and the reading; the next look finds the next version.
      return [];
    }
  });
}

/** Linux only: the greatest resident size that the kernel remembers of each task that still runs. */
function memoryOfTasks(tasks: string): [string, number][] {
  return namesIn(tasks).flatMap((task): [string, number][] => {
    try {
      const { pid } = JSON.parse(readFileSync(join(tasks, task, 'process.json'), 'utf8')) as { pid: number };
      const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
      return peak === undefined ? [] : [[task, Number(peak) / 1024]];
    } catch {
      return [];
    }
  });
}

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function readLines<T>(path: string): T[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}
