/**
 * A person, or another system, wants another number of workers: says so in the row of the run and wakes the workflow.
 * Decide launches what is missing, or has the surplus leave in good order.
 *
 * Invariants
 *  RZ1 Nothing outside of the plan's bounds is ever stored (core/wanted.ts).
 *  RZ2 Asking for what is wanted already changes nothing and wakes nobody.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { raise } from '../cloud/signal.ts';
import { keys, type RunRow } from '../core/run.ts';
import { readWanted, refusalOf, sameRange, type WorkerRange, wantedPlan } from '../core/wanted.ts';
import { changeRun, findPlan, isEnded, value } from './rows.ts';

export type ResizeOutput =
  | { readonly kind: 'unknown' | 'ended' | 'unplanned' }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'unchanged'; readonly workers: WorkerRange }
  | { readonly kind: 'changed'; readonly workers: WorkerRange; readonly before: WorkerRange };

type World = Pick<Cloud, 'table' | 'objects' | 'clock' | 'ids' | 'log' | 'workflow'>;

/** `wanted` is N or MIN:MAX. */
export async function resizeRun(cloud: World, runId: string, wanted: string, by: string): Promise<ResizeOutput> {
  const run = await value<RunRow>(cloud, runId, keys.run);
  if (run === undefined) return { kind: 'unknown' };
  if (isEnded(run)) return { kind: 'ended' };
  const plan = await findPlan(cloud, runId);
  if (plan === undefined) return { kind: 'unplanned' };
  const workers = readWanted(wanted, plan);
  if (workers === undefined) {
    return { kind: 'refused', why: `"${wanted}" is no number of workers; accepted: N or MIN:MAX` };
  }
  const why = refusalOf(workers, plan);
  if (why !== undefined) return { kind: 'refused', why };

  let before: WorkerRange = workers;
  const stored = await changeRun(cloud, runId, (row) => {
    const { min, max } = wantedPlan(plan, row).cluster.worker;
    before = { min, max };
    return sameRange(before, workers) ? undefined : { workers: { ...workers, by, atMs: cloud.clock.now() } };
  });
  // It may have ended at the same moment.
  if (stored === undefined || isEnded(stored)) return { kind: 'ended' };
  if (sameRange(before, workers)) return { kind: 'unchanged', workers };
  const told = `${by} asked for ${rangeText(workers)} workers, it was ${rangeText(before)}`;
  await record(cloud, runId, 'run.scaled', { by, why: told, workers, before });
  await raise(cloud, runId, told);
  return { kind: 'changed', workers, before };
}

export function rangeText({ min, max }: WorkerRange): string {
  return min === max ? String(max) : `${min} to ${max}`;
}
