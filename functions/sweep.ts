/**
 * The safety net, once a minute: for every run that is open it looks whether the tasks are as the rows say, and ends and
 * releases what nobody else will. Then it looks for what is left of runs that are over, and proves that there is nothing.
 *
 * Invariants
 *  SW1 Only what is ours by its tag and by our table is touched: a task or claim of a run that is in the table and has been
 *      released. What is tagged but unknown to the table may be another stage's, and is left alone.
 *  SW2 One run that cannot be swept does not keep the others from it; it is told at the end, as an error of the sweep.
 *  SW3 A run whose execution is over is over: the execution's own end may have been lost, or failed to release it.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { raise } from '../cloud/signal.ts';
import { stopReasons } from '../core/classify.ts';
import { type ClaimRow, clusterKeys, clusterPartition, clusterPrefixes, type OpenRow } from '../core/cluster-rows.ts';
import { spentUsd } from '../core/cost.ts';
import { CuttlefishError } from '../core/failure.ts';
import { metricsOf } from '../core/metrics.ts';
import { type CheckpointIndex, keys, type ProgressRow, prefixes, type RunRow, type TaskRow } from '../core/run.ts';
import { reconcile } from './observe-task.ts';
import { endWith } from './on-execution-event.ts';
import { dropClaim, release } from './release.ts';
import { findPlan, isEnded, value, values } from './rows.ts';

/** The workflow releases by itself; only when it has not for so long is it done here. */
const patienceMs = 120_000;

export interface SweepOutput {
  readonly open: number;
  readonly signalled: readonly string[];
  readonly released: readonly string[];
  /** Tasks and claims of runs that are over, found and removed. */
  readonly orphans: readonly string[];
}

type Swept = 'signalled' | 'released' | 'well';

export async function sweep(_input: unknown, cloud: Cloud): Promise<SweepOutput> {
  const open = await cloud.table.query<OpenRow>(clusterPartition, clusterPrefixes.open);
  const swept: Record<Swept, string[]> = { signalled: [], released: [], well: [] };
  const failed: string[] = [];
  const attempt = async <T>(what: string, act: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await act();
    } catch (thrown) {
      failed.push(`${what}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
      return undefined;
    }
  };
  for (const row of open) {
    const { runId } = row.value;
    const outcome = await attempt(runId, () => sweepRun(row.value, row.version, cloud));
    if (outcome !== undefined) swept[outcome].push(runId);
  }
  const orphans = [
    ...((await attempt('tasks', () => stopOrphans(cloud))) ?? []),
    ...((await attempt('claims', () => dropOrphans(cloud))) ?? []),
  ];
  if (orphans.length > 0) cloud.metrics.put({ OrphansFound: orphans.length }, { orphans });
  if (failed.length > 0) {
    throw new CuttlefishError({ kind: 'Unexpected', message: `the sweep could not look after ${failed.join('; ')}` });
  }
  return { open: open.length, signalled: swept.signalled, released: swept.released, orphans };
}

async function sweepRun({ runId, sinceMs }: OpenRow, version: number, cloud: Cloud): Promise<Swept> {
  const run = await value<RunRow>(cloud, runId, keys.run);
  const nowMs = cloud.clock.now();
  if (run === undefined) {
    // Validate died between the two rows, and nobody called it again.
    if (nowMs - sinceMs >= patienceMs) await cloud.table.delete(clusterPartition, clusterKeys.open(runId), version);
    return 'well';
  }
  if (isEnded(run)) {
    if (nowMs - (run.endedAtMs ?? 0) < patienceMs) return 'well';
    await release({ runId }, cloud);
    return 'released';
  }
  const { executionArn } = run;
  const execution = executionArn === undefined ? undefined : await cloud.workflow.describe(executionArn);
  if (execution !== undefined && execution.status !== 'RUNNING') {
    await endWith(run, execution, cloud);
    return 'released';
  }
  const wake = (why: string): Promise<unknown> => raise(cloud, runId, `the sweep found that ${why}`);
  const changed = await reconcile(cloud, runId, wake);
  await measure(run, nowMs, cloud);
  return changed > 0 ? 'signalled' : 'well';
}

/** Between two turns of the workflow, which may be hours apart, somebody must see that no checkpoint comes. */
async function measure(run: RunRow, nowMs: number, cloud: Cloud): Promise<void> {
  const { runId, recoveries } = run;
  const plan = await findPlan(cloud, runId);
  if (plan === undefined) return;
  const [progress, checkpoints, tasks] = await Promise.all([
    value<ProgressRow>(cloud, runId, keys.progress),
    value<CheckpointIndex>(cloud, runId, keys.checkpoints),
    values<TaskRow>(cloud, runId, prefixes.task),
  ]);
  const measured = {
    ...{ plan, recoveries, nowMs, spentUsd: spentUsd(plan, tasks, nowMs) },
    ...(progress === undefined ? {} : { progress }),
    ...(checkpoints === undefined ? {} : { checkpoints }),
  };
  cloud.metrics.put(metricsOf(measured), { runId, generation: progress?.generation, step: progress?.step });
}

/** SW1. */
async function stopOrphans(cloud: Cloud): Promise<string[]> {
  const orphans: string[] = [];
  for (const { taskId, runId } of await cloud.tasks.listLive()) {
    if (!(await isOver(runId, cloud))) continue;
    await cloud.tasks.stop(taskId, stopReasons.orphaned);
    await record(cloud, runId, 'task.orphaned', { by: 'sweep', taskId });
    orphans.push(taskId);
  }
  return orphans;
}

async function dropOrphans(cloud: Cloud): Promise<string[]> {
  const orphans: string[] = [];
  for (const { key, value: claim } of await cloud.table.query<ClaimRow>(clusterPartition, clusterPrefixes.claim)) {
    if (!(await isOver(claim.runId, cloud))) continue;
    await dropClaim(claim.runId, cloud);
    orphans.push(key);
  }
  return orphans;
}

async function isOver(runId: string, cloud: Cloud): Promise<boolean> {
  return (await value<RunRow>(cloud, runId, keys.run))?.releasedAtMs !== undefined;
}
