/**
 * When a run must be looked at although nothing happens: the deadlines of its budgets, of too few tasks, and of tasks that
 * should have gone by now.
 */
import { stopReasons } from './classify.ts';
import type { Failure } from './failure.ts';
import { type Rung, rolePlan } from './launching.ts';
import { lastCause, type Observation } from './observation.ts';
import { type Role, roles } from './plan.ts';
import type { TaskId, TaskRow } from './run.ts';

export interface TaskStop {
  readonly taskId: TaskId;
  readonly reason: string;
  /** It no longer counts, but may go by itself: it is stopped only when it is still there after `leaveGraceMs`. */
  readonly gently?: boolean;
}

/** A member that has left its gang is writing its last words, or hangs. */
export const leaveGraceMs = 10_000;

/** Until when too few tasks are borne: the start deadline before the first gang, the hold deadline after it. */
export function capacityDeadline(
  seen: Observation,
  tasks: readonly TaskRow[],
  rung: Rung,
): { readonly atMs: number; readonly cause: Failure } | undefined {
  const { plan, launches, gang } = seen;
  const ready = roles.map((role) => ({ role, sinceMs: shortSince(seen, tasks, role) }));
  const since = ready.flatMap(({ sinceMs }) => (sinceMs === undefined ? [] : [sinceMs]));
  if (since.length === 0 || launches.length === 0) return undefined;
  const wanted = roles.reduce((sum, role) => sum + rolePlan(plan, role).min, 0);
  const granted = roles.reduce(
    (sum, role) => sum + tasks.filter((task) => task.role === role && task.state === 'running').length,
    0,
  );
  const reason = lastCause(tasks, launches) ?? 'the tasks were accepted but did not come to run';
  const cause: Failure = { kind: 'CapacityUnavailable', wanted, granted, reason };
  if (gang !== undefined) return { atMs: Math.min(...since) + plan.cluster.holdDeadlineMs, cause };
  if (!rung.last) return undefined;
  // The deadline begins anew with every rung, so that a fallback kind has the time that it needs to start.
  const first = launches.find((launch) => launch.kind === rung.kind);
  if (first === undefined) return undefined;
  return { atMs: Math.max(first.atMs, ...since) + plan.cluster.startDeadlineMs, cause };
}

/** Since when fewer than min tasks of the role run; undefined while enough do. */
function shortSince(seen: Observation, tasks: readonly TaskRow[], role: Role): number | undefined {
  const { min } = rolePlan(seen.plan, role);
  const own = tasks.filter((task) => task.role === role && task.startedAtMs !== undefined);
  if (own.filter((task) => task.state === 'running').length >= min) return undefined;
  // Ends of running tasks, newest first: the one whose end left fewer than min is the instant.
  const endOf = (task: TaskRow): number => task.stoppedAtMs ?? seen.nowMs;
  const running = (atMs: number): number =>
    own.filter((task) => (task.startedAtMs ?? 0) < atMs && (task.state === 'running' || endOf(task) >= atMs)).length;
  const ends = own
    .filter((task) => task.state !== 'running')
    .map(endOf)
    .sort((a, b) => b - a);
  return ends.find((atMs) => running(atMs) >= min) ?? seen.run.startedAtMs ?? seen.run.submittedAtMs;
}

export function budgetDeadline({ run, plan, nowMs, spentUsd, usdPerHour }: Observation): number {
  const time = (run.startedAtMs ?? run.submittedAtMs) + plan.limits.maxDurationMs;
  const { maxCostUsd } = plan.limits;
  if (maxCostUsd === undefined || usdPerHour <= 0) return time;
  return Math.min(time, nowMs + ((maxCostUsd - spentUsd) / usdPerHour) * 3_600_000);
}

export function nearest(...instants: readonly (number | undefined)[]): number | undefined {
  const known = instants.filter((instant) => instant !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

/** When the first of those that may still go by themselves has had its time. */
export function graceEnd(tasks: readonly TaskRow[], stops: readonly TaskStop[], nowMs: number): number | undefined {
  const stopped = new Set(stops.map((stop) => stop.taskId));
  const leaving = tasks
    .filter(
      (task) => task.state === 'stopping' && task.stop?.reason === stopReasons.dropped && !stopped.has(task.taskId),
    )
    .map((task) => (task.stoppedAtMs ?? nowMs) + leaveGraceMs);
  return nearest(...leaving, stops.some((stop) => stop.gently) ? nowMs + leaveGraceMs : undefined);
}
