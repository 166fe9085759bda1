/**
 * After the end: stops every task of the run, drops its claims, and proves that nothing is left.
 *
 * Invariants
 *  RE1 Not only the rows count: whatever the world lists for this run is stopped as well, and nothing else is (P6).
 *  RE2 It throws while anything still runs, to be called again; called again after it is done it changes nothing. What says
 *      that it is done is written after all that it says, so a crash in between repeats and forgets nothing.
 *  RE3 A run without an end gets one here: no run stays open because the function that should have ended it could not.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { removeRow, updateRow } from '../cloud/update.ts';
import { stopReasons } from '../core/classify.ts';
import { type ClaimRow, clusterKeys, clusterPartition, type OpenRow } from '../core/cluster-rows.ts';
import { CuttlefishError, describeFailure, type Failure, toFailure } from '../core/failure.ts';
import { keys, type LaunchRow, prefixes, type RunRow, type TaskRow } from '../core/run.ts';
import type { RunRef } from '../core/workflow.ts';
import { writeEvents } from './artifacts.ts';
import { fail } from './fail.ts';
import { observeTask } from './observe-task.ts';
import { endRun, isEnded, readRun, value, values } from './rows.ts';
import { setFloor } from './scale.ts';

/** Looks again before asking the workflow to call again: most tasks end within a moment. */
const looks = 12;
const lookPauseMs = 250;

export async function release({ runId }: RunRef, cloud: Cloud): Promise<RunRef & { readonly stopped: number }> {
  // Read before the run: should it be resumed meanwhile, the row that its new attempt writes has another version.
  const open = await cloud.table.get<OpenRow>(clusterPartition, clusterKeys.open(runId));
  const run = await readRun(cloud, runId);
  const stopped = run.releasedAtMs === undefined ? await releaseAll(run, cloud) : 0;
  if (open !== undefined) await cloud.table.delete(clusterPartition, open.key, open.version);
  return { runId, stopped };
}

async function releaseAll(run: RunRow, cloud: Cloud): Promise<number> {
  const { runId } = run;
  if (!isEnded(run)) await end(run, cloud);
  const stopped = await stopAll(runId, cloud);
  await dropIntents(runId, cloud);
  await dropClaim(runId, cloud);
  await record(cloud, runId, 'run.released', { by: 'release', stopped });
  await writeEvents(cloud, runId);
  await updateRow<RunRow>(cloud, runId, keys.run, (row) =>
    row === undefined || row.releasedAtMs !== undefined ? undefined : { ...row, releasedAtMs: cloud.clock.now() },
  );
  return stopped;
}

/** RE3. What it leaves is written as Fail would have; when even that cannot be done, the run ends all the same. */
async function end({ runId, failure }: RunRow, cloud: Cloud): Promise<void> {
  const why: Failure = failure ?? { kind: 'Unexpected', message: 'the workflow ended before it could say why' };
  try {
    await fail({ runId }, cloud);
  } catch (thrown) {
    cloud.log.write('error', 'run.failed', {
      runId,
      why: `it leaves no report: ${describeFailure(toFailure(thrown))}`,
    });
    await endRun(cloud, runId, 'failed', why);
  }
}

async function stopAll(runId: string, cloud: Cloud): Promise<number> {
  const rows = await values<TaskRow>(cloud, runId, prefixes.task);
  const listed = await cloud.tasks.list(runId);
  const known = new Set(rows.map((row) => row.taskId));
  const orphans = listed.filter((task) => task.state !== 'stopped' && !known.has(task.taskId));
  for (const { taskId } of orphans) await record(cloud, runId, 'task.orphaned', { by: 'release', taskId });
  const running = rows.filter((row) => row.state !== 'stopped').map((row) => row.taskId);
  const targets = [...running, ...orphans.map((task) => task.taskId)];
  for (const taskId of running) await markStopping(runId, taskId, cloud);
  await Promise.all(targets.map((taskId) => cloud.tasks.stop(taskId, stopReasons.ended)));
  const left = await waitForEnds(runId, cloud);
  if (left.length > 0) {
    throw new CuttlefishError({
      kind: 'Unexpected',
      message: `${left.length} task(s) of run "${runId}" are still stopping: ${left.slice(0, 5).join(', ')}`,
    });
  }
  await settleRows(runId, targets, cloud);
  return targets.length;
}

async function markStopping(runId: string, taskId: string, cloud: Cloud): Promise<void> {
  await updateRow<TaskRow>(cloud, runId, keys.task(taskId), (task) =>
    task === undefined || task.state === 'stopped' || task.stop !== undefined
      ? undefined
      : { ...task, state: 'stopping', stop: { code: 'UserInitiated', reason: stopReasons.ended } },
  );
}

async function waitForEnds(runId: string, cloud: Cloud): Promise<string[]> {
  for (let look = 0; ; look += 1) {
    const left = (await cloud.tasks.list(runId)).filter((task) => task.state !== 'stopped').map((task) => task.taskId);
    if (left.length === 0 || look === looks) return left;
    await cloud.clock.sleep(lookPauseMs);
  }
}

/** The event of an end may still be under way, or lost: what is not listed as running has stopped. */
async function settleRows(runId: string, targets: readonly string[], cloud: Cloud): Promise<void> {
  const listed = new Map((await cloud.tasks.list(runId)).map((task) => [task.taskId, task]));
  for (const taskId of targets) {
    const task = listed.get(taskId);
    const row = await value<TaskRow>(cloud, runId, keys.task(taskId));
    if (row === undefined) continue;
    const stop = task?.stop ?? { code: 'UserInitiated', reason: stopReasons.ended };
    await observeTask(cloud, runId, { taskId, role: row.role, state: 'stopped', stop });
  }
}

/** An intent that never became a call must not become one when the run is resumed. */
async function dropIntents(runId: string, cloud: Cloud): Promise<void> {
  for (const { n, state } of await values<LaunchRow>(cloud, runId, prefixes.launch)) {
    if (state === 'done') continue;
    await updateRow<LaunchRow>(cloud, runId, keys.launch(n), (row) =>
      row === undefined || row.state === 'done'
        ? undefined
        : { ...row, state: 'done', failures: ['the run ended first'] },
    );
  }
}

export async function dropClaim(runId: string, cloud: Cloud): Promise<void> {
  const claim = await value<ClaimRow>(cloud, clusterPartition, clusterKeys.claim(runId));
  if (claim === undefined) return;
  // The row goes last: until then whoever comes after a crash finds what is left to do.
  await updateRow<ClaimRow>(cloud, clusterPartition, clusterKeys.claim(runId), () => ({ ...claim, instances: 0 }));
  await setFloor(claim.kind, cloud);
  await removeRow(cloud, clusterPartition, clusterKeys.claim(runId));
  await record(cloud, runId, 'capacity.released', { by: 'release', kind: claim.kind, instances: claim.instances });
}
