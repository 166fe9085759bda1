/** What the tasks of a run have cost: the seconds that each was there, at the price of its kind and size. */
import type { TaskSize } from './fargate.ts';
import { isLive, rolePlan } from './launching.ts';
import type { RunPlan } from './plan.ts';
import { taskHourUsd } from './price.ts';
import type { TaskRow } from './run.ts';

const hourMs = 3_600_000;

export function spentUsd(plan: RunPlan, tasks: readonly TaskRow[], nowMs: number): number {
  return tasks.reduce((sum, task) => {
    const livedMs = Math.max(0, (task.stoppedAtMs ?? nowMs) - task.launchedAtMs);
    return sum + (livedMs / hourMs) * taskHourUsd(task.kind, sizeOf(plan, task));
  }, 0);
}

/** What the tasks that are there cost from now on. */
export function usdPerHour(plan: RunPlan, tasks: readonly TaskRow[]): number {
  return tasks.filter(isLive).reduce((sum, task) => sum + taskHourUsd(task.kind, sizeOf(plan, task)), 0);
}

function sizeOf(plan: RunPlan, { size, role }: TaskRow): TaskSize {
  return size ?? rolePlan(plan, role);
}
