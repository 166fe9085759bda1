/**
 * What to do next with a run: a pure function of what was seen. The decide function gathers the observation and carries
 * the decision out; the state machine has one branch per action.
 *
 * Rules, the first that applies wins
 *   1  cancelled by a person                             fail Cancelled
 *   2  the leader has written the outcome                finish, or fail with its failure
 *   3  time, cost or turns used up                       fail BudgetExhausted
 *   4  a loss that would repeat itself                   fail with it
 *   5  recoveries used up                                fail BudgetExhausted, with the last cause in words
 *   6  too few tasks for too long                        fail CapacityUnavailable
 *   7  tasks missing, late, silent or dropped            launch (scale first where instances are needed)
 *   8                                                    continue
 *
 * Invariants
 *  X1  Same observation, same decision. Times are arguments; nothing is remembered here.
 *  X2  Every loop ends: recoveries bound crashes, launches bound everything that is started, turns bound the rest (P6).
 *  X3  `why` changes only when the situation does, so that logging it on change gives a readable history.
 */
import { classifyStop, failureOfStop, isPermanentRefusal, spends, stopReasons } from './classify.ts';
import { describeFailure, type Failure } from './failure.ts';
import {
  belowMin,
  isLive,
  liveOf,
  missingTasks,
  nextRung,
  pauseSeconds,
  type Rung,
  rolePlan,
  total,
} from './launching.ts';
import { type RunPlan, roles } from './plan.ts';
import type {
  ClaimRow,
  GangRow,
  LaunchRow,
  MemberRow,
  OutcomeRow,
  ProgressRow,
  RunRow,
  TaskId,
  TaskRow,
} from './run.ts';
import type { Action } from './workflow.ts';

/** Tasks, launches and gang are those of this attempt of the run. */
export interface Observation {
  readonly run: RunRow;
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

export interface TaskStop {
  readonly taskId: TaskId;
  readonly reason: string;
}

export interface Decision {
  readonly action: Action;
  readonly why: string;
  /** Only with `fail`. */
  readonly cause?: Failure;
  /** Tasks to be stopped, whatever the action. */
  readonly stop: readonly TaskStop[];
  /** Losses spent of the recovery budget, as derived from the tasks. */
  readonly recoveries: number;
  readonly waitSeconds: number;
  /** Instant of the nearest deadline that nothing else would wake us for. */
  readonly wakeAtMs?: number;
}

export function decide(seen: Observation): Decision {
  const stop = toStop(seen);
  const tasks = afterStops(seen.tasks, stop);
  const lost = lossesOf(tasks);
  const base = { stop, recoveries: lost.length, waitSeconds: 0 };
  const fail = (cause: Failure, why = describeFailure(cause)): Decision => ({ ...base, action: 'fail', why, cause });

  const { run, plan, outcome } = seen;
  if (run.cancelRequestedBy !== undefined) return fail({ kind: 'Cancelled', by: run.cancelRequestedBy });
  if (outcome?.kind === 'trained') {
    const why = outcome.stopped === 'stopWhen' ? 'a stopWhen rule is met' : 'all epochs are trained';
    return { ...base, action: 'finish', why };
  }
  if (outcome?.kind === 'failed') {
    return fail(outcome.failure ?? { kind: 'Unexpected', message: 'the leader ended the training without a reason' });
  }

  const spent = budgetSpent(seen);
  if (spent !== undefined) return fail(spent);
  const hopeless = hopelessLoss(seen, tasks, lost);
  if (hopeless !== undefined) return fail(hopeless);
  const last = lastCause(tasks, seen.launches);
  if (lost.length > plan.recovery.maxRecoveries) {
    return fail(exhausted('recoveries', lost.length, plan.recovery.maxRecoveries, last));
  }

  const missing = missingTasks(plan, tasks, seen.launches);
  const rung = nextRung(plan.cluster.ladder, seen.launches, tasks);
  const below = belowMin(plan, tasks);
  const deadline = capacityDeadline(seen, tasks, rung);
  if (deadline !== undefined && seen.nowMs >= deadline.atMs) return fail(deadline.cause);
  const wakeAtMs = nearest(deadline?.atMs, budgetDeadline(seen));
  const calm = { ...base, ...(wakeAtMs === undefined ? {} : { wakeAtMs }) };

  if (total(missing) === 0) return { ...calm, action: 'continue', why: situation(seen, tasks) };
  if (isTrainedOut(seen, tasks)) {
    return { ...calm, action: 'continue', why: 'the last step is done, the leader is finishing' };
  }
  if (run.launches >= plan.recovery.maxLaunches) {
    if (below > 0) return fail(exhausted('launches', run.launches, plan.recovery.maxLaunches, last));
    return { ...calm, action: 'continue', why: 'no launches are left; the run goes on with the tasks it has' };
  }
  const waitSeconds = pauseSeconds(rung, tasks);
  if (below === 0 && rung.shortOnLast > 0) {
    // Enough to go on: ask again for the rest later, at a turn that comes anyway, instead of holding the run up.
    const lastAtMs = Math.max(...seen.launches.map((launch) => launch.atMs));
    if (seen.nowMs < lastAtMs + growPauseMs(rung)) {
      return {
        ...calm,
        action: 'continue',
        why: 'there is no capacity for more tasks now; the run goes on with what it has',
      };
    }
    return { ...calm, action: launchOrScale(seen, rung), why: 'try again for the tasks that are missing' };
  }
  return {
    ...calm,
    action: launchOrScale(seen, rung),
    waitSeconds,
    why: launchReason(seen, missing, tasks),
  };
}

/** Silent, dropped and late tasks: they are there, but of no use, and keep others from their place. */
function toStop({ tasks, members, plan, silent, progress, beat, nowMs }: Observation): TaskStop[] {
  const gone = new Set(members.filter((member) => member.state === 'gone').map((member) => member.taskId));
  const windowMs = plan.timing.watchHeartbeatSeconds * 1000;
  // Watch may have been shorter than a heartbeat, for a deadline: then silence says nothing yet.
  const still = silent && (progress?.beat ?? -1) === beat && nowMs - (progress?.atMs ?? 0) >= windowMs;
  const stops: TaskStop[] = [];
  for (const { taskId, state, startedAtMs, launchedAtMs } of tasks) {
    if (state === 'starting' && nowMs - launchedAtMs >= plan.cluster.startDeadlineMs) {
      stops.push({ taskId, reason: stopReasons.late });
    } else if (state === 'running' && gone.has(taskId)) {
      stops.push({ taskId, reason: stopReasons.dropped });
    } else if (state === 'running' && still && nowMs - (startedAtMs ?? launchedAtMs) >= windowMs) {
      stops.push({ taskId, reason: stopReasons.silent });
    }
  }
  return stops;
}

function afterStops(tasks: readonly TaskRow[], stops: readonly TaskStop[]): TaskRow[] {
  const reasons = new Map(stops.map((stop) => [stop.taskId, stop.reason]));
  return tasks.map((task) => {
    const reason = reasons.get(task.taskId);
    return reason === undefined ? task : { ...task, state: 'stopping', stop: { code: 'UserInitiated', reason } };
  });
}

/** Lost tasks that spend the recovery budget, oldest first. */
export function lossesOf(tasks: readonly TaskRow[]): TaskRow[] {
  return tasks
    .filter((task) => task.stop !== undefined && spends(task.stop) === 'recoveries')
    .sort((a, b) => (a.stoppedAtMs ?? Number.MAX_SAFE_INTEGER) - (b.stoppedAtMs ?? Number.MAX_SAFE_INTEGER));
}

export const taskLabel = (task: Pick<TaskRow, 'slot' | 'role' | 'taskId'>): string =>
  task.slot ?? `${task.role} (task ${task.taskId.split('/').at(-1) ?? task.taskId})`;

function failureOf(task: TaskRow): Failure | undefined {
  return task.failure ?? (task.stop === undefined ? undefined : failureOfStop(task.stop, taskLabel(task)));
}

function exhausted(
  budget: 'recoveries' | 'launches' | 'time' | 'cost' | 'turns',
  spent: number,
  limit: number,
  because?: string,
): Failure {
  return { kind: 'BudgetExhausted', budget, spent, limit, ...(because === undefined ? {} : { because }) };
}

function budgetSpent({ run, plan, nowMs, spentUsd, turn, tasks, launches }: Observation): Failure | undefined {
  const { maxDurationMs, maxCostUsd } = plan.limits;
  const elapsedMs = nowMs - (run.startedAtMs ?? run.submittedAtMs);
  const last = lastCause(tasks, launches);
  if (elapsedMs >= maxDurationMs)
    return exhausted('time', seconds(elapsedMs), seconds(maxDurationMs), 'limits.maxDuration, in seconds');
  if (maxCostUsd !== undefined && spentUsd >= maxCostUsd) {
    return exhausted('cost', Number(spentUsd.toFixed(4)), maxCostUsd, 'limits.maxCostUsd, in US dollars');
  }
  return turn >= plan.history.maxTurns ? exhausted('turns', turn, plan.history.maxTurns, last) : undefined;
}

const seconds = (ms: number): number => Math.round(ms / 1000);

/** A loss that another launch would only repeat. */
function hopelessLoss(seen: Observation, tasks: readonly TaskRow[], lost: readonly TaskRow[]): Failure | undefined {
  const permanent = tasks.find((task) => task.stop !== undefined && classifyStop(task.stop) === 'permanent');
  if (permanent !== undefined) return failureOf(permanent);
  const refused = seen.launches.flatMap((launch) =>
    launch.failures.filter(isPermanentRefusal).map((reason) => ({ task: launch.role, reason })),
  )[0];
  if (refused !== undefined) return { kind: 'LaunchFailed', ...refused };
  const starved = lost.filter((task) => task.stop !== undefined && classifyStop(task.stop) === 'out-of-memory');
  // Once may be a neighbour's fault; twice in the same size is the size.
  if (starved.length > 1) return failureOf(starved.at(-1) as TaskRow);
  const strict = lost.find((task) => rolePlan(seen.plan, task.role).onLoss === 'fail');
  return strict === undefined ? undefined : failureOf(strict);
}

/** The newest failure of a task or of a launch, in words. */
function lastCause(tasks: readonly TaskRow[], launches: readonly LaunchRow[]): string | undefined {
  const lost = tasks
    .filter((task) => failureOf(task) !== undefined)
    .sort((a, b) => (a.stoppedAtMs ?? a.launchedAtMs) - (b.stoppedAtMs ?? b.launchedAtMs))
    .at(-1);
  const short = launches.filter((launch) => launch.failures.length > 0).at(-1);
  const failure = lost === undefined ? undefined : failureOf(lost);
  if (short !== undefined && short.atMs >= (lost?.stoppedAtMs ?? 0)) return short.failures[0];
  return failure === undefined ? undefined : describeFailure(failure);
}

/** Until when too few tasks are borne: the start deadline before the first gang, the hold deadline after it. */
function capacityDeadline(
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
function shortSince(seen: Observation, tasks: readonly TaskRow[], role: RolePlanRole): number | undefined {
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
type RolePlanRole = (typeof roles)[number];

function budgetDeadline({ run, plan, nowMs, spentUsd, usdPerHour }: Observation): number {
  const time = (run.startedAtMs ?? run.submittedAtMs) + plan.limits.maxDurationMs;
  const { maxCostUsd } = plan.limits;
  if (maxCostUsd === undefined || usdPerHour <= 0) return time;
  return Math.min(time, nowMs + ((maxCostUsd - spentUsd) / usdPerHour) * 3_600_000);
}

function nearest(...instants: readonly (number | undefined)[]): number | undefined {
  const known = instants.filter((instant) => instant !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

/** All steps are done and somebody is there to write the outcome: who has left need not be replaced. */
function isTrainedOut({ progress, plan }: Observation, tasks: readonly TaskRow[]): boolean {
  return progress !== undefined && progress.step >= plan.training.totalSteps && liveOf(tasks, 'worker') > 0;
}

function growPauseMs({ shortOnLast }: Rung): number {
  return Math.min(600_000, 30_000 * 2 ** Math.min(shortOnLast - 1, 5));
}

function launchOrScale({ claim }: Observation, { kind, short }: Rung): 'launch' | 'scale' {
  if (kind !== 'ec2' && kind !== 'ec2-spot') return 'launch';
  return claim?.kind !== kind || short > 0 ? 'scale' : 'launch';
}

function launchReason(
  { gang, launches }: Observation,
  missing: ReturnType<typeof missingTasks>,
  tasks: readonly TaskRow[],
): string {
  const what = roles
    .filter((role) => missing[role] > 0)
    .map((role) => `${missing[role]} ${role}${missing[role] === 1 ? '' : 's'}`)
    .join(' and ');
  if (launches.length === 0) return `start ${what}`;
  const verb = gang === undefined ? 'start' : 'replace';
  const newest = tasks
    .filter((task) => task.stop !== undefined)
    .sort((a, b) => (a.stoppedAtMs ?? Number.MAX_SAFE_INTEGER) - (b.stoppedAtMs ?? Number.MAX_SAFE_INTEGER))
    .at(-1);
  const left = newest !== undefined && failureOf(newest) === undefined;
  const because = left ? `${taskLabel(newest)} has left` : lastCause(tasks, launches);
  return because === undefined ? `${verb} ${what}` : `${verb} ${what}: ${because}`;
}

function situation({ gang }: Observation, tasks: readonly TaskRow[]): string {
  if (tasks.filter(isLive).some((task) => task.state === 'starting')) return 'tasks are starting';
  return gang === undefined ? 'the tasks are finding each other' : 'training goes on';
}
