/**
 * Gathers the rows of a run that ends and writes what it leaves in the bucket: metrics.jsonl, events.jsonl, report.html
 * and, last, result.json. Used by finish and fail; writing it again gives the same files.
 */
import type { Cloud } from '../cloud/ports.ts';
import type { Failure } from '../core/failure.ts';
import { objectKeys } from '../core/object-keys.ts';
import { composeResult, eventLines, metricsLines, type RunRows } from '../core/report.ts';
import { reportHtml } from '../core/report-page.ts';
import type { RunResult } from '../core/result.ts';
import {
  type CheckpointIndex,
  type EpochRow,
  type EventRow,
  type GangRow,
  keys,
  type LaunchRow,
  type OutcomeRow,
  type ProgressRow,
  prefixes,
  settled,
  type TaskRow,
  type WatchRow,
} from '../core/run.ts';
import { findPlan, readRun, value, values } from './rows.ts';

type World = Pick<Cloud, 'table' | 'objects' | 'clock'>;

export async function writeArtifacts(
  cloud: World,
  runId: string,
  status: RunResult['status'],
  failure?: Failure,
): Promise<RunResult> {
  const rows = await gather(cloud, runId);
  const events = await values<EventRow>(cloud, runId, prefixes.event);
  const result = composeResult(status, rows, failure);
  const { epochs, plan, run } = rows;
  const page = reportHtml({ result, name: run.name, epochs, events, ...(plan === undefined ? {} : { plan }) });
  const { objects } = cloud;
  await Promise.all([
    objects.put(objectKeys.metrics(runId), metricsLines(epochs), 'always'),
    objects.put(objectKeys.events(runId), eventLines(events), 'always'),
    objects.put(objectKeys.report(runId), page, 'always'),
  ]);
  // Last: whoever finds the result finds all that it names.
  await objects.put(objectKeys.result(runId), `${JSON.stringify(result, null, 2)}\n`, 'always');
  return result;
}

/** Again after Release, so that the file has the very last events too. */
export async function writeEvents(cloud: Pick<Cloud, 'table' | 'objects'>, runId: string): Promise<void> {
  const events = await values<EventRow>(cloud, runId, prefixes.event);
  await cloud.objects.put(objectKeys.events(runId), eventLines(events), 'always');
}

async function gather(cloud: World, runId: string): Promise<RunRows> {
  const [run, plan, outcome, progress, gang, checkpoints, watch, epochs, tasks, launches] = await Promise.all([
    readRun(cloud, runId),
    findPlan(cloud, runId),
    value<OutcomeRow>(cloud, runId, keys.outcome).then(settled),
    value<ProgressRow>(cloud, runId, keys.progress),
    value<GangRow>(cloud, runId, keys.gang),
    value<CheckpointIndex>(cloud, runId, keys.checkpoints),
    value<WatchRow>(cloud, runId, keys.watch),
    values<EpochRow>(cloud, runId, prefixes.epoch),
    values<TaskRow>(cloud, runId, prefixes.task),
    values<LaunchRow>(cloud, runId, prefixes.launch),
  ]);
  const endedAtMs = run.endedAtMs ?? cloud.clock.now();
  const locate = (key: string): string => cloud.objects.locate(key);
  return {
    run,
    ...(plan === undefined ? {} : { plan }),
    ...(outcome === undefined ? {} : { outcome }),
    ...(progress === undefined ? {} : { progress }),
    ...(gang === undefined ? {} : { gang }),
    ...(checkpoints === undefined ? {} : { checkpoints }),
    epochs,
    tasks,
    launches,
    turns: (watch?.turn ?? -1) + 1,
    endedAtMs,
    artifacts: {
      model: locate(objectKeys.model(runId)),
      metrics: locate(objectKeys.metrics(runId)),
      report: locate(objectKeys.report(runId)),
      result: locate(objectKeys.result(runId)),
      events: locate(objectKeys.events(runId)),
      plan: locate(objectKeys.plan(runId)),
    },
  };
}
