/** Runs the command once with a state folder of its own and looks on: progress rows, memory, and what it left behind. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunResult } from '../../core/result.ts';
import type { CheckpointManifest, EpochRow, EventRow, ProgressRow } from '../../core/run.ts';
import type { ProcessorSample, RunSamples, TaskSamples } from './samples.ts';

const lookEveryMs = 50;

/** What was seen of each task while it ran. */
type Looks = Map<string, { readonly peakMemoryMiB: number | undefined; readonly processor: ProcessorSample[] }>;

export interface DriveOptions {
  /** dist/cli/main.js */
  readonly command: string;
  readonly config: string;
  readonly arguments: readonly string[];
  readonly timeoutMs: number;
  /** Have every task log the steps that it applies; costs a little of each. */
  readonly logSteps?: boolean;
  /** Kills a worker so often, unless it is the only one. */
  readonly killEveryMs?: number;
}

export async function drive(options: DriveOptions): Promise<Omit<RunSamples, 'batchSize'>> {
  const state = mkdtempSync(join(tmpdir(), 'cuttlefish-bench-'));
  const progress = new Map<number, ProgressRow>();
  const looks: Looks = new Map();
  const look = (): void => {
    for (const row of progressRows(join(state, 'table'))) progress.set(row.beat, row);
    for (const { taskId, pid } of processes(join(state, 'tasks'))) {
      const seen = looks.get(taskId) ?? { peakMemoryMiB: undefined, processor: [] };
      const spentMs = processorTimeOf(pid);
      if (spentMs !== undefined) seen.processor.push({ atMs: Date.now(), spentMs });
      looks.set(taskId, { ...seen, peakMemoryMiB: peakMemoryOf(pid) ?? seen.peakMemoryMiB });
    }
  };
  const looking = setInterval(look, lookEveryMs);
  const killing =
    options.killEveryMs === undefined
      ? undefined
      : setInterval(() => killOne(join(state, 'tasks'), progress), options.killEveryMs);
  try {
    const spawnedAtMs = Date.now();
    const document = await run(
      options,
      ['train', options.config, '--state', state, '--json', ...options.arguments],
      options.timeoutMs,
    );
    const endedAtMs = Date.now();
    clearInterval(killing);
    clearInterval(looking);
    look();
    const result = JSON.parse(document) as RunResult;
    if (result.status !== 'succeeded') throw new Error(`the run ended as "${result.status}": ${document}`);
    const status = JSON.parse(await run(options, ['status', result.runId, '--state', state, '--json'], 60_000)) as {
      checkpoint?: CheckpointManifest | null;
    };
    return {
      spawnedAtMs,
      endedAtMs,
      progress: [...progress.values()].sort((a, b) => a.beat - b.beat),
      events: readLines<EventRow>(result.artifacts.events).sort((a, b) => a.atMs - b.atMs),
      epochs: readLines<EpochRow>(result.artifacts.metrics),
      tasks: readTasks(join(state, 'tasks'), looks),
      checkpoint: status.checkpoint ?? undefined,
      result,
    };
  } finally {
    clearInterval(killing);
    clearInterval(looking);
    rmSync(state, { recursive: true, force: true, maxRetries: 3 });
  }
}

function run({ command, logSteps }: DriveOptions, args: readonly string[], timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, ...(logSteps ? { CUTTLEFISH_LOG_LEVEL: 'debug' } : {}) };
    const child = spawn(process.execPath, [command, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env });
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

/** One of the workers that are in, while another is. */
function killOne(tasks: string, progress: ReadonlyMap<number, ProgressRow>): void {
  const newest = [...progress.values()].at(-1);
  const living = processes(tasks).filter(({ pid }) => peakMemoryOf(pid) !== undefined);
  const inForce = living.filter(({ taskId }) =>
    newest?.tasks.some((task) => task.taskId === taskId && task.shards > 0),
  );
  const victim = inForce[Math.floor(Math.random() * inForce.length)];
  if (victim !== undefined && inForce.length > 1) process.kill(victim.pid, 'SIGKILL');
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

interface Process {
  readonly taskId: string;
  readonly pid: number;
  readonly startedAtMs: number;
}

function processes(tasks: string): Process[] {
  return namesIn(tasks).flatMap((taskId): Process[] => {
    try {
      const file = readFileSync(join(tasks, taskId, 'process.json'), 'utf8');
      return [{ taskId, ...(JSON.parse(file) as { pid: number; startedAtMs: number }) }];
    } catch {
      return [];
    }
  });
}

/** Linux only: the greatest resident size that the kernel remembers of a process that still runs. */
function peakMemoryOf(pid: number): number | undefined {
  try {
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return peak === undefined ? undefined : Number(peak) / 1024;
  } catch {
    return undefined;
  }
}

/** Linux only: what the process has computed so far, in user and system mode. The kernel counts in hundredths of a second. */
function processorTimeOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in brackets, may have spaces in it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return undefined;
  }
}

function readTasks(tasks: string, looks: Looks): TaskSamples[] {
  return processes(tasks)
    .sort((a, b) => a.startedAtMs - b.startedAtMs)
    .map(({ taskId, startedAtMs }) => ({
      taskId,
      startedAtMs,
      peakMemoryMiB: looks.get(taskId)?.peakMemoryMiB,
      processor: looks.get(taskId)?.processor ?? [],
      steps: readLines<{ at: string; event: string; step: number }>(join(tasks, taskId, 'log.txt'))
        .filter(({ event }) => event === 'step.applied')
        .map(({ at, step }) => ({ step, atMs: Date.parse(at) })),
    }));
}

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** A task that was killed may have left half a line. */
function readLines<T>(path: string): T[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as T);
}
