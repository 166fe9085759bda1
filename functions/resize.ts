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
import { readWanted, wantedPlan } from '../core/wanted.ts';
import { changeRun, findPlan, isEnded, value } from './rows.ts';

export type ResizeOutput =
  | { readonly kind: 'unknown' | 'ended' | 'unplanned' }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'unchanged' | 'changed'; readonly workers: number; readonly before: number };

type World = Pick<Cloud, 'table' | 'objects' | 'clock' | 'ids' | 'log' | 'workflow'>;

export async function resizeRun(cloud: World, runId: string, asked: string, by: string): Promise<ResizeOutput> {
  const run = await value<RunRow>(cloud, runId, keys.run);
  if (run === undefined) return { kind: 'unknown' };
  if (isEnded(run)) return { kind: 'ended' };
  const plan = await findPlan(cloud, runId);
  if (plan === undefined) return { kind: 'unplanned' };
  const wanted = readWanted(asked, plan);
  if (wanted.kind === 'refused') return wanted;

  const { workers } = wanted;
  let before = workers;
  const stored = await changeRun(cloud, runId, (row) => {
    before = wantedPlan(plan, row).cluster.worker.max;
    return before === workers ? undefined : { workers: { count: workers, by, atMs: cloud.clock.now() } };
  });
  // It may have ended at the same moment.
  if (stored === undefined || isEnded(stored)) return { kind: 'ended' };
  if (before === workers) return { kind: 'unchanged', workers, before };
  const told = `${by} asked for ${workers} workers, it was ${before}`;
  await record(cloud, runId, 'run.scaled', { by, why: told, workers, before });
  await raise(cloud, runId, told);
  return { kind: 'changed', workers, before };
}
