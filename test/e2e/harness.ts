/**
 * Runs the real command (the bundles that a user runs) in a state folder of its own, and looks for what it left behind.
 * Nothing is faked: processes are processes, and leftovers are looked for in /proc, not in our own records.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RunResult } from '../../core/result.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const entry = join(root, 'cli/bin/cuttlefish.js');

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  readonly text: () => string;
}

export class Lab {
  readonly folder = mkdtempSync(join(tmpdir(), 'cuttlefish-e2e-'));
  readonly stateDir = join(this.folder, 'state');
  private readonly started: ChildProcess[] = [];

  config(name: string, text: string): string {
    const path = join(this.folder, `${name}.yaml`);
    writeFileSync(path, text);
    return path;
  }

  start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
    return this.follow([process.execPath, entry, ...args, '--state', this.stateDir], env);
  }

  /** The same under a limit of the shell, e.g. `ulimit -f 100` for files of at most 100 KiB. */
  startLimited(args: readonly string[], limit: string): Running {
    return this.follow(
      ['bash', '-c', `${limit}; exec "$@"`, 'bash', process.execPath, entry, ...args, '--state', this.stateDir],
      {},
    );
  }

  private follow([program, ...args]: readonly string[], env: Readonly<Record<string, string>>): Running {
    const child = spawn(program!, args, {
      cwd: this.folder,
      env: { ...process.env, NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.started.push(child);
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
    return { child, ended, text: () => stdout + stderr };
  }

  run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
    return this.start(args, env).ended;
  }

  /** Trains and gives the JSON document; the whole output when it did not end well. */
  async train(config: string, ...args: readonly string[]): Promise<RunResult> {
    const ended = await this.run(['train', config, '--json', ...args]);
    if (ended.code !== 0) throw new Error(`exit code ${ended.code}\n${ended.stdout}\n${ended.stderr}`);
    return JSON.parse(ended.stdout) as RunResult;
  }

  /** Task processes of this state folder that are still there, by their environment. */
  leftovers(): readonly number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
          const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
          const zombie = stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
          return !zombie && environment.includes(`CUTTLEFISH_STATE_DIR=${this.stateDir}`);
        } catch {
          return false;
        }
      })
      .map(Number);
  }

  /** Kills what a failed test left, then removes the folder. */
  close(): void {
    for (const child of this.started) if (child.exitCode === null) child.kill('SIGKILL');
    for (const pid of this.leftovers()) process.kill(pid, 'SIGKILL');
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  dropConfig(name: string, text: string): string {
    const folder = join(this.stateDir, 'bucket', 'configs');
    mkdirSync(folder, { recursive: true });
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  }

  events(runId: string): readonly { event: string; why?: string }[] {
    const path = join(this.stateDir, 'bucket', 'runs', runId, 'events.jsonl');
    if (!existsSync(path)) return [];
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { event: string; why?: string });
  }
}

/** Waits for something to become true; fails with what was there instead. */
export async function until<T>(what: string, withinMs: number, probe: () => T | undefined | false): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const value = probe();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`waited ${withinMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export interface Small {
  readonly name?: string;
  readonly samples?: number;
  readonly epochs?: number;
  readonly batchSize?: number;
  readonly workers?: string;
  readonly parameterServers?: number;
  readonly pace?: string;
  readonly everySteps?: number;
  readonly more?: string;
}

/** For `more`, where what is lost is to be lost for the reason that is tested, not to a busy machine. */
export const calm = 'recovery: {hungAfter: 20s}\n';

/** A config that trains in a second or two: 20 steps an epoch, or slower with a pace. */
export function small(options: Small = {}): string {
  return `version: 1
name: ${options.name ?? 'small'}
data: {source: digits, samples: ${options.samples ?? 1280}, testSamples: 200}
network:
  layers:
    - flatten
    - dense: {units: 32, activation: relu}
    - dense: {units: 10, activation: softmax}
training:
  epochs: ${options.epochs ?? 2}
  batchSize: ${options.batchSize ?? 64}
  optimizer: {kind: adam, learningRate: 0.005}
${options.pace === undefined ? '' : `  pace: ${options.pace}\n`}cluster:
  launch: local
  workers: ${options.workers ?? '2'}
  parameterServers: ${options.parameterServers ?? 0}
checkpoint: {everySteps: ${options.everySteps ?? 10}}
${options.more ?? ''}`;
}
