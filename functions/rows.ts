/**
 * Reading what a run has left in the table, for the functions: the run, its plan, and the rows of its current attempt.
 *
 * Invariants
 *  Q1  Tasks and launches of attempts before the current one are left out of `attemptRows`: their losses are not counted
 *      twice, and they are all stopped (a run is resumed only after its release).
 */
import type { Cloud } from '../cloud/ports.ts';
import { updateRow } from '../cloud/update.ts';
import { CuttlefishError, type Failure } from '../core/failure.ts';
import { objectKeys } from '../core/object-keys.ts';
import type { RunPlan } from '../core/plan.ts';
import { keys, type LaunchRow, type Phase, prefixes, type RunRow, type TaskRow, terminalPhases } from '../core/run.ts';

export async function readRun({ table }: Pick<Cloud, 'table'>, runId: string): Promise<RunRow> {
  const row = await table.get<RunRow>(runId, keys.run);
  if (row === undefined) throw new CuttlefishError({ kind: 'Unexpected', message: `there is no run "${runId}"` });
  return row.value;
}

export async function findPlan({ objects }: Pick<Cloud, 'objects'>, runId: string): Promise<RunPlan | undefined> {
  const stored = await objects.get(objectKeys.plan(runId));
  if (stored === undefined) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(stored.body)) as RunPlan;
  } catch (error) {
    throw unreadable(objectKeys.plan(runId), 'it is damaged', error);
  }
}

export async function readPlan(cloud: Pick<Cloud, 'objects'>, runId: string): Promise<RunPlan> {
  const plan = await findPlan(cloud, runId);
  if (plan !== undefined) return plan;
  throw unreadable(objectKeys.plan(runId), 'it is not there');
}

export const isEnded = (run: RunRow): boolean => terminalPhases.includes(run.phase);

/** Changes the run row; a run that has ended is left alone (T3) unless `change` says otherwise by itself. */
export async function changeRun(
  cloud: Pick<Cloud, 'table'>,
  runId: string,
  change: (run: RunRow) => Partial<RunRow> | undefined,
): Promise<RunRow | undefined> {
  return updateRow<RunRow>(cloud, runId, keys.run, (run) => {
    if (run === undefined || isEnded(run)) return undefined;
    const changed = change(run);
    return changed === undefined ? undefined : { ...run, ...changed };
  });
}

/** Ends the run; the first end counts (T3), and whoever writes it tells the metrics of a failure. */
export async function endRun(
  cloud: Pick<Cloud, 'table' | 'clock' | 'metrics'>,
  runId: string,
  phase: Phase,
  failure?: Failure,
): Promise<void> {
  let isFirst = false;
  await updateRow<RunRow>(cloud, runId, keys.run, (run) => {
    isFirst = run !== undefined && !isEnded(run);
    if (run === undefined || !isFirst) return undefined;
    return { ...run, phase, endedAtMs: cloud.clock.now(), ...(failure === undefined ? {} : { failure }) };
  });
  if (isFirst && phase === 'failed') cloud.metrics.put({ RunsFailed: 1 }, { runId, kind: failure?.kind });
}

export async function values<T>({ table }: Pick<Cloud, 'table'>, runId: string, prefix: string): Promise<T[]> {
  return (await table.query<T>(runId, prefix)).map((row) => row.value);
}

export async function value<T>({ table }: Pick<Cloud, 'table'>, runId: string, key: string): Promise<T | undefined> {
  return (await table.get<T>(runId, key))?.value;
}

export async function attemptRows(
  cloud: Pick<Cloud, 'table'>,
  run: RunRow,
): Promise<{ readonly tasks: TaskRow[]; readonly launches: LaunchRow[] }> {
  const [tasks, launches] = await Promise.all([
    values<TaskRow>(cloud, run.runId, prefixes.task),
    values<LaunchRow>(cloud, run.runId, prefixes.launch),
  ]);
  const since = run.startedAtMs ?? run.submittedAtMs;
  return {
    tasks: tasks.filter((task) => task.launchedAtMs >= since),
    launches: launches.filter((launch) => launch.atMs >= since),
  };
}

export function unreadable(what: string, reason: string, cause?: unknown): CuttlefishError {
  return new CuttlefishError({ kind: 'StorageFailed', what, reason, reading: true }, { cause });
}
