/**
 * Faults in real runs: the real command, processes and signals, beside a run of the same config that nothing happens to.
 * Nets are small and steps paced, so that a fault lands where it is aimed and many runs fit on two cores.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunResult } from '../../core/result.ts';
import { Lab, small, until } from '../e2e/harness.ts';

export interface Course {
  readonly workers: string;
  readonly servers?: number;
  /** Sentences of the chaos grammar. */
  readonly chaos: readonly string[];
}

export const stepsPerEpoch = 20;
export const totalSteps = 40;
export const checkpointEvery = 10;

/** 40 steps of at least 12 ms. */
export const text = small({
  name: 'chaos',
  samples: stepsPerEpoch * 64,
  epochs: totalSteps / stepsPerEpoch,
  pace: '12ms',
  everySteps: checkpointEvery,
  more: 'recovery: {maxRecoveries: 60, maxLaunches: 80}\n',
});

let undisturbed: Promise<RunResult> | undefined;
/** What every course must come to: one worker, no servers, no faults (P2). */
export function expected(): Promise<RunResult> {
  undisturbed ??= inLab((lab) => lab.train(lab.config('chaos', text), '--workers', '1:1'));
  return undisturbed;
}

export interface Outcome {
  readonly result: RunResult;
  readonly events: readonly { readonly event: string; readonly why?: string }[];
  readonly leftovers: readonly number[];
}

export function disturbed({ workers, servers = 0, chaos }: Course): Promise<Outcome> {
  return inLab(async (lab) => {
    const faults = chaos.flatMap((sentence) => ['--chaos', sentence]);
    const shape = ['--workers', workers, '--parameter-servers', String(servers)];
    const result = await lab.train(lab.config('chaos', text), ...shape, ...faults);
    // Who wakes up a paused task looks every tenth of a second whether it is still there.
    await until('nothing to be left', 2000, () => lab.leftovers().length === 0).catch(() => undefined);
    return { result, events: lab.events(result.runId), leftovers: lab.leftovers() };
  });
}

/** Runs side by side: most of them wait for most of their time. */
const atOnce = Number(process.env.CHAOS_AT_ONCE ?? 3);
let running = 0;
const waiting: (() => void)[] = [];

export async function inLab<T>(work: (lab: Lab) => Promise<T>): Promise<T> {
  while (running >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve));
  running += 1;
  const lab = new Lab();
  try {
    return await work(lab);
  } finally {
    lab.close();
    running -= 1;
    waiting.shift()?.();
  }
}

/** Process ids of the workers of this lab, by their environment. */
export function workerPids(lab: Lab): readonly number[] {
  return lab.leftovers().filter((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      return (
        command.includes('task/main.js') &&
        readFileSync(`/proc/${pid}/environ`, 'latin1').includes('CUTTLEFISH_ROLE=worker')
      );
    } catch {
      return false;
    }
  });
}

/** Those of them that have made a step, so have the state of the training; the run is to be started in `stepsTold`. */
export function trainingPids(lab: Lab): readonly number[] {
  return workerPids(lab).filter((pid) => {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
      const task = /CUTTLEFISH_TASK_ID=([^\0]+)/.exec(environment)?.[1] ?? '';
      return readFileSync(join(lab.stateDir, 'tasks', task, 'log.txt'), 'utf8').includes('"step.applied"');
    } catch {
      return false;
    }
  });
}

/** Environment in which every task logs each step it has made. */
export const stepsTold = { CUTTLEFISH_LOG_LEVEL: 'debug' } as const;
