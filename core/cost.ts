/** What the tasks of a run have cost: the seconds that each was there, at the price of its kind and size. */
import type { TaskSize } from './fargate.ts';
import { isLive, rolePlan } from './launching.ts';
import type { RunPlan } from './plan.ts';
import { priceTable, taskHourUsd } from './price.ts';
import type { Receipt } from './result.ts';
import type { TaskRow } from './run.ts';

const hourMs = 3_600_000;

export function spentUsd(plan: RunPlan, tasks: readonly TaskRow[], nowMs: number): number {
  return tasks.reduce((sum, task) => {
    return sum + (livedMs(task, nowMs) / hourMs) * taskHourUsd(task.kind, sizeOf(plan, task));
  }, 0);
}

/** `steps` are those that count. A run that was never planned has had no task. */
export function receiptOf(
  {
    plan,
    tasks,
    endedAtMs,
  }: { readonly plan?: RunPlan; readonly tasks: readonly TaskRow[]; readonly endedAtMs: number },
  steps: number,
  transitions: number,
): Receipt {
  const tasksUsd = plan === undefined ? 0 : spentUsd(plan, tasks, endedAtMs);
  const transitionsUsd = plan?.cluster.launch === 'local' ? 0 : transitions * priceTable.transitionUsd;
  const usd = tasksUsd + transitionsUsd;
  return {
    tasks: tasks.length,
    taskSeconds: round(tasks.reduce((sum, task) => sum + livedMs(task, endedAtMs), 0) / 1000),
    transitions,
    tasksUsd: round(tasksUsd),
    transitionsUsd: round(transitionsUsd),
    usd: round(usd),
    ...(steps > 0 ? { usdPerThousandSteps: round((1000 * usd) / steps) } : {}),
    pricesAsOf: priceTable.asOf,
  };
}

const round = (value: number): number => Number(value.toFixed(6));
const livedMs = (task: TaskRow, nowMs: number): number => Math.max(0, (task.stoppedAtMs ?? nowMs) - task.launchedAtMs);

/** What the tasks that are there cost from now on. */
export function usdPerHour(plan: RunPlan, tasks: readonly TaskRow[]): number {
  return tasks.filter(isLive).reduce((sum, task) => sum + taskHourUsd(task.kind, sizeOf(plan, task)), 0);
}

function sizeOf(plan: RunPlan, { size, role }: TaskRow): TaskSize {
  return size ?? rolePlan(plan, role);
}
