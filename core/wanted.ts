/**
 * How many workers a run wants now: what its plan says, until a person or another system asks for another number while it
 * runs (`cuttlefish scale`).
 *
 * Invariants
 *  WN1 The plan is the frame: never fewer than its minimum, below which its leader does not train, and never more than its
 *      maximum, for which memory, price and slots were planned. The minimum itself is the plan's for good: the leader holds
 *      below it.
 *  WN2 Everything that counts workers reads the plan through `wantedPlan`, so that the decision and what carries it out
 *      agree.
 */
import type { RunPlan } from './plan.ts';
import type { RunRow } from './run.ts';

/** The plan as it stands after the last request. */
export function wantedPlan(plan: RunPlan, { workers }: Pick<RunRow, 'workers'>): RunPlan {
  if (workers === undefined) return plan;
  const { cluster } = plan;
  return { ...plan, cluster: { ...cluster, worker: { ...cluster.worker, max: workers.count } } };
}

export type Wanted =
  | { readonly kind: 'possible'; readonly workers: number }
  | { readonly kind: 'refused'; readonly why: string };

/** What was asked for, or why the plan does not allow it and what it would allow (WN1). */
export function readWanted(text: string, plan: RunPlan): Wanted {
  const { min, max } = plan.cluster.worker;
  const only = min === max ? `only ${max}` : `${min} to ${max}`;
  const refused = (why: string, more = ''): Wanted => ({ kind: 'refused', why: `${why}; accepted: ${only}${more}` });
  if (/^\d+:\d+$/.test(text)) {
    return refused(`"${text}" is a range, and the minimum of a run is fixed by its plan (cluster.workers.min, ${min})`);
  }
  if (!/^\d{1,4}$/.test(text)) return refused(`"${text}" is no number of workers`);
  const workers = Number(text);
  const impossible = (why: string): Wanted =>
    refused(`${text} worker(s) is not possible: ${why}`, '. Other bounds need another run: "train --workers MIN:MAX"');
  if (workers > max) return impossible(`its memory, price and places were planned for at most ${max}`);
  if (workers < min) return impossible(`it does not train with fewer than cluster.workers.min, ${min}`);
  return { kind: 'possible', workers };
}

/** Losses before this instant belong to the number that was wanted then. */
export function wantedSinceMs({ workers }: Pick<RunRow, 'workers'>): number {
  return workers?.atMs ?? 0;
}
