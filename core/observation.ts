/** What is seen of a run at an instant, and the few things that several rules read from it. */
import { advised, classifyStart, failureOfStop, spends } from './classify.ts';
import type { ClaimRow } from './cluster-rows.ts';
import { describeFailure, type Failure } from './failure.ts';
import type { RunPlan } from './plan.ts';
import type { GangRow, LaunchRow, MemberRow, OutcomeRow, ProgressRow, RunRow, TaskRow } from './run.ts';

/** Tasks, launches and gang are those of this attempt of the run. */
export interface Observation {
  readonly run: RunRow;
  /** With the workers that are wanted now (core/wanted.ts). */
  readonly plan: RunPlan;
  readonly gang?: GangRow;
  readonly progress?: ProgressRow;
  readonly outcome?: OutcomeRow;
  readonly claim?: ClaimRow;
  readonly tasks: readonly TaskRow[];
  readonly launches: readonly LaunchRow[];
  readonly members: readonly MemberRow[];
  readonly nowMs: number;
  /** Turns that Watch has taken, this one included. */
  readonly turn: number;
  /** progress.beat at the Decide before; -1 at first. */
  readonly beat: number;
  /** Watch ended because its heartbeat stayed away, not by an answer. */
  readonly silent: boolean;
  readonly spentUsd: number;
  readonly usdPerHour: number;
}

/** Lost tasks that spend the recovery budget, oldest first. */
export function lossesOf(tasks: readonly TaskRow[]): TaskRow[] {
  return tasks
    .filter((task) => task.stop !== undefined && spends(task.stop) === 'recoveries')
    .sort((a, b) => (a.stoppedAtMs ?? Number.MAX_SAFE_INTEGER) - (b.stoppedAtMs ?? Number.MAX_SAFE_INTEGER));
}

export const taskLabel = (task: Pick<TaskRow, 'slot' | 'role' | 'taskId'>): string =>
  task.slot ?? `${task.role} (task ${task.taskId.split('/').at(-1) ?? task.taskId})`;

export function failureOf(task: TaskRow): Failure | undefined {
  return task.failure ?? (task.stop === undefined ? undefined : failureOfStop(task.stop, taskLabel(task)));
}

function shortReason({ failures: [reason = ''] }: LaunchRow): string {
  return advised(reason, classifyStart(reason));
}

/** The newest failure of a task or of a launch, in words. */
export function lastCause(tasks: readonly TaskRow[], launches: readonly LaunchRow[]): string | undefined {
  const lost = tasks
    .filter((task) => failureOf(task) !== undefined)
    .sort((a, b) => (a.stoppedAtMs ?? a.launchedAtMs) - (b.stoppedAtMs ?? b.launchedAtMs))
    .at(-1);
  const short = launches.filter((launch) => launch.failures.length > 0).at(-1);
  const failure = lost === undefined ? undefined : failureOf(lost);
  if (short !== undefined && short.atMs >= (lost?.stoppedAtMs ?? 0)) return shortReason(short);
  return failure === undefined ? undefined : describeFailure(failure);
}
