/**
 * Observe, decide, act. Gathers what is known of the run, asks core/decide.ts, stops the tasks that are of no use any
 * more, writes down what follows, and answers with the branch to take.
 *
 * Invariants
 *  DC1 The signal is read before anything else: news that comes while we look is seen by the next turn.
 *  DC2 Called again it does the same again: everything written is derived from the rows.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { lastSignal } from '../cloud/signal.ts';
import { updateRow } from '../cloud/update.ts';
import { type ClaimRow, clusterKeys, clusterPartition } from '../core/cluster-rows.ts';
import { spentUsd, usdPerHour } from '../core/cost.ts';
import { type Decision, decide as decideNext, type Observation } from '../core/decide.ts';
import { CuttlefishError } from '../core/failure.ts';
import { metricsOf } from '../core/metrics.ts';
import {
  type CheckpointIndex,
  type GangRow,
  keys,
  type MemberRow,
  type OutcomeRow,
  type ProgressRow,
  prefixes,
  settled,
  type TaskRow,
} from '../core/run.ts';
import { wantedPlan } from '../core/wanted.ts';
import type { DecideInput, DecideOutput } from '../core/workflow.ts';
import { reconcile } from './observe-task.ts';
import { attemptRows, changeRun, isEnded, readPlan, readRun, value, values } from './rows.ts';

export async function decide(input: DecideInput, cloud: Cloud): Promise<DecideOutput> {
  const { runId } = input;
  const seen = await lastSignal(cloud, runId);
  await reconcile(cloud, runId);
  const observation = await observe(input, cloud);
  const decision = decideNext(observation);
  await stopTasks(runId, decision, cloud);
  await writeDown(observation, decision, cloud);
  await measure(observation, decision, cloud);
  return {
    runId,
    action: decision.action,
    why: decision.why.slice(0, 1000),
    turn: observation.turn,
    seen,
    beat: observation.progress?.beat ?? -1,
    waitSeconds: decision.waitSeconds,
    ...waits(observation, decision),
  };
}

async function observe({ runId, turn, beat, silent }: DecideInput, cloud: Cloud): Promise<Observation> {
  const run = await readRun(cloud, runId);
  const plan = wantedPlan(await readPlan(cloud, runId), run);
  if (isEnded(run)) {
    throw new CuttlefishError({ kind: 'Conflict', message: `run "${runId}" has already ended: it is ${run.phase}` });
  }
  const [gang, progress, outcome, claim, members, allTasks, { tasks, launches }] = await Promise.all([
    value<GangRow>(cloud, runId, keys.gang),
    value<ProgressRow>(cloud, runId, keys.progress),
    value<OutcomeRow>(cloud, runId, keys.outcome).then(settled),
    value<ClaimRow>(cloud, clusterPartition, clusterKeys.claim(runId)),
    values<MemberRow>(cloud, runId, prefixes.member),
    values<TaskRow>(cloud, runId, prefixes.task),
    attemptRows(cloud, run),
  ]);
  const nowMs = cloud.clock.now();
  const since = run.startedAtMs ?? run.submittedAtMs;
  return {
    run,
    plan,
    // A gang of an attempt before this one is gone; that there was one does not help this one to start.
    ...(gang !== undefined && gang.atMs >= since ? { gang } : {}),
    ...(progress === undefined ? {} : { progress }),
    ...(outcome === undefined ? {} : { outcome }),
    ...(claim === undefined ? {} : { claim }),
    members,
    tasks,
    launches,
    nowMs,
    turn: turn + 1,
    beat,
    silent,
    spentUsd: spentUsd(plan, allTasks, nowMs),
    usdPerHour: usdPerHour(plan, tasks),
  };
}

/** The row first: should we die in between, the next turn sees a task that is stopping, and Release stops it again. */
async function stopTasks(runId: string, { stop }: Decision, cloud: Cloud): Promise<void> {
  const stoppedAtMs = cloud.clock.now();
  for (const { taskId, reason, gently } of stop) {
    await updateRow<TaskRow>(cloud, runId, keys.task(taskId), (task) =>
      task === undefined || task.state === 'stopped'
        ? undefined
        : { stoppedAtMs, ...task, state: 'stopping', stop: { code: 'UserInitiated', reason } },
    );
    if (gently !== true) await cloud.tasks.stop(taskId, reason);
  }
}

/** What the decision means for the run row; logged when the action or its reason is new (X3). */
async function writeDown(observation: Observation, decision: Decision, cloud: Cloud): Promise<void> {
  const { run, gang, progress } = observation;
  const { action, why, cause, recoveries } = decision;
  const news = run.decision?.action !== action || run.decision.why !== why;
  const training = action === 'continue' && gang !== undefined;
  const phase = training ? 'training' : run.phase;
  if (!news && run.recoveries === recoveries && run.phase === phase && cause === undefined) return;
  await changeRun(cloud, run.runId, () => ({
    phase,
    recoveries,
    decision: { action, why },
    ...(cause === undefined ? {} : { failure: cause }),
  }));
  if (news)
    await record(cloud, run.runId, 'run.decided', {
      by: 'decide',
      action,
      why,
      turn: observation.turn,
      ...(gang === undefined ? {} : { generation: gang.generation }),
      ...(progress === undefined ? {} : { step: progress.step }),
    });
}

async function measure(seen: Observation, { recoveries }: Decision, cloud: Cloud): Promise<void> {
  const { run, gang, progress } = seen;
  const checkpoints = await value<CheckpointIndex>(cloud, run.runId, keys.checkpoints);
  const values = metricsOf({ ...seen, recoveries, ...(checkpoints === undefined ? {} : { checkpoints }) });
  cloud.metrics.put(values, { runId: run.runId, generation: gang?.generation, step: progress?.step });
}

/** No deadline is slept through: a shorter wait also needs a shorter heartbeat, which must be below it. */
function waits(
  { plan, nowMs }: Observation,
  { wakeAtMs }: Decision,
): Pick<DecideOutput, 'watchSeconds' | 'heartbeatSeconds'> {
  const { watchHeartbeatSeconds, watchTimeoutSeconds } = plan.timing;
  const untilDeadline = wakeAtMs === undefined ? watchTimeoutSeconds : Math.ceil((wakeAtMs - nowMs) / 1000);
  const watchSeconds = Math.max(2, Math.min(watchTimeoutSeconds, untilDeadline));
  return { watchSeconds, heartbeatSeconds: Math.min(watchHeartbeatSeconds, watchSeconds - 1) };
}
