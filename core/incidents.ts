/**
 * Losses that happen together are one thing to recover from: a machine that dies takes all its tasks, a reclaimed zone all
 * its machines. The recovery budget is there against what happens again and again, so it counts incidents, not tasks.
 *
 * Invariants
 *  IN1 Tasks lost within a moment of each other are one incident, if each was there before the first of them went: the
 *      loss of a replacement is always a new incident, so a task that dies at every start spends one each time.
 *  IN2 An incident is a pure function of the rows: counted again, it is the same.
 */
import type { TimingPlan } from './plan.ts';
import type { TaskRow } from './run.ts';

/** Beats within which losses are taken for one; a second on a laptop, 25 on AWS, whose events come late. */
const momentBeats = 5;

export interface Incident {
  readonly atMs: number;
  readonly tasks: readonly TaskRow[];
}

/** Oldest first. `nowMs` is when a task ended of which only that is known. */
export function incidentsOf(
  lost: readonly TaskRow[],
  { heartbeatIntervalMs }: Pick<TimingPlan, 'heartbeatIntervalMs'>,
  nowMs: number,
): Incident[] {
  const momentMs = momentBeats * heartbeatIntervalMs;
  const endOf = (task: TaskRow): number => task.stoppedAtMs ?? nowMs;
  const incidents: { atMs: number; tasks: TaskRow[] }[] = [];
  for (const task of [...lost].sort((a, b) => endOf(a) - endOf(b))) {
    const same = incidents.find(({ atMs }) => endOf(task) - atMs <= momentMs && task.launchedAtMs <= atMs);
    if (same === undefined) incidents.push({ atMs: endOf(task), tasks: [task] });
    else same.tasks.push(task);
  }
  return incidents;
}
