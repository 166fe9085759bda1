/**
 * How many workers a run wants now: what its plan says, until a person or another system asks for another number while it
 * runs (`cuttlefish scale`).
 *
 * Invariants
 *  WN1 The plan is the frame: never fewer than its minimum, below which its leader does not train, and never more than its
 *      maximum, for which memory, price and slots were planned.
 *  WN2 Everything that counts workers reads the plan through `wantedPlan`, so that the decision and what carries it out
 *      agree.
 */
import type { RunPlan } from './plan.ts';
import type { RunRow } from './run.ts';

export interface WorkerRange {
  readonly min: number;
  readonly max: number;
}

/** The plan as it stands after the last request. */
export function wantedPlan(plan: RunPlan, { workers }: Pick<RunRow, 'workers'>): RunPlan {
  if (workers === undefined) return plan;
  const { min, max } = workers;
  const { cluster } = plan;
  return { ...plan, cluster: { ...cluster, worker: { ...cluster.worker, min, max } } };
}

/** `5` aims at five and keeps the minimum of the plan; `2:5` sets both. Undefined when it is neither. */
export function readWanted(text: string, plan: RunPlan): WorkerRange | undefined {
  const match = /^(\d{1,4})(?::(\d{1,4}))?$/.exec(text);
  if (match === null) return undefined;
  const first = Number(match[1]);
  if (match[2] !== undefined) return { min: first, max: Number(match[2]) };
  return { min: Math.min(plan.cluster.worker.min, first), max: first };
}

/** Why the plan does not allow it, and what it would allow; undefined when it does (WN1). */
export function refusalOf({ min, max }: WorkerRange, plan: RunPlan): string | undefined {
  const { worker } = plan.cluster;
  if (min > max) return `at least ${min} and at most ${max} workers is not a range; accepted: MIN:MAX with MIN <= MAX`;
  if (min >= worker.min && max <= worker.max) return undefined;
  const asked = min < worker.min ? Math.min(min, max) : max;
  const why =
    asked > worker.max
      ? `its memory, price and places were planned for at most ${worker.max}`
      : `it does not train with fewer than cluster.workers.min, ${worker.min}`;
  const only = worker.min === worker.max ? `only ${worker.max}` : `${worker.min} to ${worker.max}`;
  return `${asked} worker(s) is not possible: ${why}; accepted: ${only}. Other bounds need another run: "train --workers MIN:MAX"`;
}

export function sameRange(a: WorkerRange, b: WorkerRange): boolean {
  return a.min === b.min && a.max === b.max;
}

/** Losses before this instant belong to the number that was wanted then. */
export function wantedSinceMs({ workers }: Pick<RunRow, 'workers'>): number {
  return workers?.atMs ?? 0;
}
