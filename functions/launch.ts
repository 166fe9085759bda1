/**
 * Starts the tasks that are missing, in batches that RunTask accepts.
 *
 * Invariants
 *  L1  A batch is written as an intent before the call and completed after it; an intent without an outcome is called
 *      again with the same token and the same parameters, so a crash in between starts nothing twice (T2).
 *  L2  Two launches at the same time share their intents: the second finds the number taken and completes it.
 *  L3  What RunTask refuses is part of the answer, not an error: Decide sees it and chooses the next rung or the end.
 */
import { createHash } from 'node:crypto';
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { updateRow } from '../cloud/update.ts';
import { sizeFor } from '../core/growth.ts';
import { batches, missingTasks, nextRung, total } from '../core/launching.ts';
import { type Role, roles } from '../core/plan.ts';
import { keys, type LaunchRow, prefixes, type TaskRow } from '../core/run.ts';
import { wantedPlan, wantedSinceMs } from '../core/wanted.ts';
import type { LaunchOutput, RunRef } from '../core/workflow.ts';
import { attemptRows, changeRun, readPlan, readRun, values } from './rows.ts';

export async function launch({ runId }: RunRef, cloud: Cloud): Promise<LaunchOutput> {
  const run = await readRun(cloud, runId);
  const plan = wantedPlan(await readPlan(cloud, runId), run);
  const sinceMs = wantedSinceMs(run);
  let started = await finishIntents(runId, cloud);
  const { tasks, launches } = await attemptRows(cloud, run);
  const missing = missingTasks(plan, tasks, sinceMs);
  if (total(missing) > 0) {
    const all = await values<LaunchRow>(cloud, runId, prefixes.launch);
    const round = Math.max(-1, ...all.map((row) => row.round)) + 1;
    const { kind } = nextRung(plan.cluster.ladder, launches, tasks);
    await changeRun(cloud, runId, (row) => ({
      phase: launches.length === 0 ? 'launching' : 'recovering',
      launches: row.launches + 1,
    }));
    let n = Math.max(-1, ...all.map((row) => row.n)) + 1;
    for (const role of roles) {
      for (const count of batches(missing[role])) {
        const intent: LaunchRow = {
          n,
          round,
          role,
          count,
          kind,
          size: sizeFor(plan, role, tasks),
          clientToken: clientToken(runId, n, role),
          state: 'intended',
          atMs: cloud.clock.now(),
          started: [],
          failures: [],
        };
        n += 1;
        await cloud.table.put(runId, keys.launch(intent.n), intent, { absent: true });
      }
    }
    await record(cloud, runId, 'launch.intended', { by: 'launch', round, kind, missing });
    started += await finishIntents(runId, cloud);
  }
  const after = await attemptRows(cloud, run);
  return { runId, launched: started, missing: total(missingTasks(plan, after.tasks, sinceMs)) };
}

function clientToken(runId: string, n: number, role: Role): string {
  return createHash('sha256').update(`${runId}\n${n}\n${role}`).digest('hex').slice(0, 64);
}

async function finishIntents(runId: string, cloud: Cloud): Promise<number> {
  const rows = await cloud.table.query<LaunchRow>(runId, prefixes.launch);
  let started = 0;
  for (const { key, value: intent, version } of rows) {
    if (intent.state === 'done') continue;
    const { role, count, kind, size } = intent;
    const outcome = await cloud.tasks.launch({
      runId,
      role,
      count,
      clientToken: intent.clientToken,
      kind,
      ...size,
    });
    for (const taskId of outcome.started) await keepTask(cloud, runId, taskId, intent);
    await cloud.table.put(runId, key, { ...intent, state: 'done', ...outcome } satisfies LaunchRow, { version });
    started += outcome.started.length;
    const short = outcome.failures.length > 0;
    await record(cloud, runId, short ? 'launch.short' : 'launch.done', {
      by: 'launch',
      role,
      kind,
      started: outcome.started.length,
      ...(short ? { wanted: count, why: outcome.failures[0] ?? '' } : {}),
    });
  }
  return started;
}

/** An event of the task may have come first: what it said is kept. */
async function keepTask(
  cloud: Cloud,
  runId: string,
  taskId: string,
  { n, role, kind, size }: LaunchRow,
): Promise<void> {
  const launchedAtMs = cloud.clock.now();
  await updateRow<TaskRow>(cloud, runId, keys.task(taskId), (current) => {
    if (current === undefined) return { taskId, role, launch: n, kind, size, state: 'starting', launchedAtMs };
    return current.launch === n ? undefined : { ...current, role, launch: n, kind, size };
  });
}
