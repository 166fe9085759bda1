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
 *  X2  Every loop ends: recoveries bound what crashes (core/incidents.ts), launches bound everything that is started, turns bound the rest (P6).
 *  X3  `why` changes only when the situation does, so that logging it on change gives a readable history.
 */
import { advised, classifyStart, classifyStop, isHopeless, stopReasons } from './classify.ts';
import { budgetDeadline, capacityDeadline, graceEnd, leaveGraceMs, nearest, type TaskStop } from './deadlines.ts';
import { describeFailure, type Failure } from './failure.ts';
import { outgrown, sizeFor } from './growth.ts';
import { incidentsOf } from './incidents.ts';
import {
  belowMin,
  capacityPauseMs,
  growPauseMs,
  instancesWanted,
  isLive,
  liveOf,
  missingTasks,
  nextRung,
  quickPauseSeconds,
  type Rung,
  rolePlan,
  surplusWorkers,
  total,
} from './launching.ts';
import { failureOf, lastCause, lossesOf, type Observation, taskLabel } from './observation.ts';
import { type Role, type RunPlan, roles } from './plan.ts';
import type { TaskRow } from './run.ts';
import { wantedSinceMs } from './wanted.ts';
import type { Action } from './workflow.ts';

export type { Observation, TaskStop };

export interface Decision {
  readonly action: Action;
  readonly why: string;
  /** Only with `fail`. */
  readonly cause?: Failure;
  /** Tasks to be stopped, whatever the action. */
  readonly stop: readonly TaskStop[];
  /** Incidents spent of the recovery budget, as derived from the tasks. */
  readonly recoveries: number;
  readonly waitSeconds: number;
  /** Instant of the nearest deadline that nothing else would wake us for. */
  readonly wakeAtMs?: number;
}

export function decide(seen: Observation): Decision {
  const stop = toStop(seen);
  const tasks = afterStops(seen.tasks, stop, seen.nowMs);
  const lost = lossesOf(tasks);
  const recoveries = incidentsOf(lost, seen.plan.timing, seen.nowMs).length;
  const base = { stop, recoveries, waitSeconds: 0 };
  const fail = (cause: Failure, why = describeFailure(cause)): Decision => ({ ...base, action: 'fail', why, cause });

  const { run, plan, outcome } = seen;
  // Once there is an outcome every member leaves; nobody is to be hurried, Release comes next.
  const over = { ...base, stop: [] };
  if (run.cancelRequestedBy !== undefined) return fail({ kind: 'Cancelled', by: run.cancelRequestedBy });
  if (outcome?.kind === 'trained') {
    const why = outcome.stopped === 'stopWhen' ? 'a stopWhen rule is met' : 'all epochs are trained';
    return { ...over, action: 'finish', why };
  }
  if (outcome?.kind === 'failed') {
    return fail(outcome.failure ?? { kind: 'Unexpected', message: 'the leader ended the training without a reason' });
  }

  const spent = budgetSpent(seen);
  if (spent !== undefined) return fail(spent);
  const hopeless = hopelessLoss(seen, tasks, lost);
  if (hopeless !== undefined) return fail(hopeless);
  const last = lastCause(tasks, seen.launches);
  if (recoveries > plan.recovery.maxRecoveries) {
    return fail(exhausted('recoveries', recoveries, plan.recovery.maxRecoveries, last));
  }

  const missing = missingTasks(plan, tasks, wantedSinceMs(run));
  const rung = nextRung(plan.cluster.ladder, seen.launches, tasks);
  const below = belowMin(plan, tasks);
  const deadline = capacityDeadline(seen, tasks, rung);
  if (deadline !== undefined && seen.nowMs >= deadline.atMs) return fail(deadline.cause);
  const wakeAtMs = nearest(deadline?.atMs, budgetDeadline(seen), graceEnd(tasks, stop, seen.nowMs));
  const calm = { ...base, ...(wakeAtMs === undefined ? {} : { wakeAtMs }) };

  if (total(missing) > 0 && isTrainedOut(seen, tasks)) {
    return { ...calm, action: 'continue', why: 'the last step is done, the leader is finishing' };
  }
  if (total(missing) === 0 && claimsOther(seen, rung)) {
    return { ...calm, action: 'scale', why: `claim instances for ${plan.cluster.worker.max} worker(s)` };
  }
  if (total(missing) === 0) return { ...calm, action: 'continue', why: situation(seen, tasks) };
  if (run.launches >= plan.recovery.maxLaunches) {
    if (below > 0) return fail(exhausted('launches', run.launches, plan.recovery.maxLaunches, last));
    return { ...calm, action: 'continue', why: 'no launches are left; the run goes on with the tasks it has' };
  }
  const patience = forCapacity(seen, rung, below, deadline?.atMs);
  if (patience !== undefined) {
    const next = nearest(wakeAtMs, patience.askAtMs);
    return { ...calm, action: 'continue', why: patience.why, ...(next === undefined ? {} : { wakeAtMs: next }) };
  }
  // No deadline is slept through.
  const untilWake = Math.ceil(((wakeAtMs ?? Number.POSITIVE_INFINITY) - seen.nowMs) / 1000);
  const waitSeconds = Math.min(quickPauseSeconds(tasks, plan.timing), untilWake);
  return { ...calm, action: launchOrScale(seen, rung), waitSeconds, why: launchReason(seen, missing, tasks) };
}

/**
 * There was no capacity the last time: when to ask again, if not now. It is waited for in Watch, where a person who
 * cancels or scales is heard. What the run only would like to have may spend half of the launches; what it needs
 * spreads the rest over the time until it would give up.
 */
function forCapacity(
  { run, plan, launches, nowMs }: Observation,
  rung: Rung,
  below: number,
  deadlineMs: number | undefined,
): { readonly why: string; readonly askAtMs?: number } | undefined {
  if (rung.shortOnLast === 0) return undefined;
  const { maxLaunches } = plan.recovery;
  const lastAtMs = Math.max(...launches.map((launch) => launch.atMs));
  if (below > 0) {
    const spreadMs = deadlineMs === undefined ? 0 : (deadlineMs - lastAtMs) / (maxLaunches - run.launches);
    const askAtMs = lastAtMs + Math.max(capacityPauseMs(rung), Math.ceil(spreadMs));
    const why = 'there is no capacity for the tasks that the run needs; it is asked for again and again';
    return nowMs < askAtMs ? { why, askAtMs } : undefined;
  }
  const why = 'there is no capacity for more tasks now; the run goes on with what it has';
  if (2 * run.launches >= maxLaunches) return { why };
  const askAtMs = lastAtMs + growPauseMs(rung);
  return nowMs < askAtMs ? { why, askAtMs } : undefined;
}

/** Silent, dropped and late tasks: they are there, but of no use, and keep others from their place. */
function toStop({ tasks, members, plan, silent, progress, beat, nowMs }: Observation): TaskStop[] {
  const gone = new Set(members.filter((member) => member.state === 'gone').map((member) => member.taskId));
  const windowMs = plan.timing.watchHeartbeatSeconds * 1000;
  // Watch may have been shorter than a heartbeat, for a deadline: then silence says nothing yet.
  const still = silent && (progress?.beat ?? -1) === beat && nowMs - (progress?.atMs ?? 0) >= windowMs;
  const stops: TaskStop[] = [];
  for (const { taskId, state, startedAtMs, launchedAtMs, ...task } of tasks) {
    if (state === 'stopping' && task.stop?.reason === stopReasons.dropped) {
      if (nowMs - (task.stoppedAtMs ?? 0) >= leaveGraceMs) stops.push({ taskId, reason: stopReasons.dropped });
    } else if (state === 'starting' && nowMs - launchedAtMs >= plan.cluster.startDeadlineMs) {
      stops.push({ taskId, reason: stopReasons.late });
    } else if (state === 'running' && gone.has(taskId)) {
      stops.push({ taskId, reason: stopReasons.dropped, gently: true });
    } else if (state === 'running' && still && nowMs - (startedAtMs ?? launchedAtMs) >= windowMs) {
      stops.push({ taskId, reason: stopReasons.silent });
    }
  }
  const left = afterStops(tasks, stops, nowMs);
  return [...stops, ...surplusWorkers(plan, left).map(({ taskId }) => ({ taskId, reason: stopReasons.surplus }))];
}

function afterStops(tasks: readonly TaskRow[], stops: readonly TaskStop[], nowMs: number): TaskRow[] {
  const reasons = new Map(stops.map((stop) => [stop.taskId, stop.reason]));
  return tasks.map((task) => {
    const reason = reasons.get(task.taskId);
    if (reason === undefined) return task;
    return { stoppedAtMs: nowMs, ...task, state: 'stopping', stop: { code: 'UserInitiated', reason } };
  });
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
  const permanent = tasks.find((task) => task.stop !== undefined && isHopeless(classifyStop(task.stop)));
  if (permanent !== undefined) return failureOf(permanent);
  const refused = seen.launches.flatMap(({ role, failures }) => failures.map((reason) => ({ task: role, reason })));
  const hopeless = refused.find(({ reason }) => isHopeless(classifyStart(reason)));
  if (hopeless !== undefined) {
    return { kind: 'LaunchFailed', task: hopeless.task, reason: advised(hopeless.reason, 'bad-deployment') };
  }
  const starved = outgrown(seen.plan, lost);
  if (starved !== undefined) return failureOf(starved);
  const strict = lost.find((task) => rolePlan(seen.plan, task.role).onLoss === 'fail');
  return strict === undefined ? undefined : failureOf(strict);
}

/** All steps are done and somebody is there to write the outcome: who has left need not be replaced. */
function isTrainedOut({ progress, plan }: Observation, tasks: readonly TaskRow[]): boolean {
  return progress !== undefined && progress.step >= plan.training.totalSteps && liveOf(tasks, 'worker') > 0;
}

/** More or fewer instances are claimed than are wanted now. */
function claimsOther({ claim, plan }: Observation, { kind }: Rung): boolean {
  return claim !== undefined && claim.kind === kind && claim.instances !== instancesWanted(plan);
}

function launchOrScale(seen: Observation, rung: Rung): 'launch' | 'scale' {
  const { kind, short } = rung;
  if (kind !== 'ec2' && kind !== 'ec2-spot') return 'launch';
  return seen.claim?.kind !== kind || short > 0 || claimsOther(seen, rung) ? 'scale' : 'launch';
}

function launchReason(
  { gang, launches, run, plan }: Observation,
  missing: ReturnType<typeof missingTasks>,
  tasks: readonly TaskRow[],
): string {
  const what = roles
    .filter((role) => missing[role] > 0)
    .map((role) => `${missing[role]} ${role}${missing[role] === 1 ? '' : 's'}${grownSize(plan, role, tasks)}`)
    .join(' and ');
  if (launches.length === 0) return `start ${what}`;
  const verb = gang === undefined ? 'start' : 'replace';
  const newest = tasks
    .filter((task) => task.stop !== undefined)
    .sort((a, b) => (a.stoppedAtMs ?? Number.MAX_SAFE_INTEGER) - (b.stoppedAtMs ?? Number.MAX_SAFE_INTEGER))
    .at(-1);
  const asked = run.workers;
  if (asked !== undefined && asked.atMs >= (newest?.stoppedAtMs ?? 0)) {
    return `start ${what}: ${asked.by} asked for ${asked.count} workers`;
  }
  if (newest?.stop?.reason === stopReasons.surplus) return `start ${what}`;
  const left = newest !== undefined && failureOf(newest) === undefined;
  const because = left ? `${taskLabel(newest)} has left` : lastCause(tasks, launches);
  return because === undefined ? `${verb} ${what}` : `${verb} ${what}: ${because}`;
}

function grownSize(plan: RunPlan, role: Role, tasks: readonly TaskRow[]): string {
  const { memoryMiB } = sizeFor(plan, role, tasks);
  return memoryMiB > rolePlan(plan, role).memoryMiB ? ` with ${memoryMiB} MiB` : '';
}

function situation({ gang }: Observation, tasks: readonly TaskRow[]): string {
  if (tasks.filter(isLive).some((task) => task.state === 'starting')) return 'tasks are starting';
  return gang === undefined ? 'the tasks are finding each other' : 'training goes on';
}
