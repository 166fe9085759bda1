/** What a run has come to: result.json, and the summary of it. */

import type { Cloud } from '../cloud/ports.ts';
import { describeFailure } from '../core/failure.ts';
import { formatCount } from '../core/format-count.ts';
import { objectKeys } from '../core/object-keys.ts';
import type { Receipt, RunResult } from '../core/result.ts';
import { formatMetric, formatSpan, formatTable } from './format.ts';

/** Undefined while there is none. */
export async function readResult(cloud: Pick<Cloud, 'objects'>, runId: string): Promise<RunResult | undefined> {
  const stored = await cloud.objects.get(objectKeys.result(runId));
  if (!stored) return undefined;
  return JSON.parse(Buffer.from(stored.body).toString('utf8')) as RunResult;
}

/** For a person: what came out, how it went, where it lies. */
export function summarise(result: RunResult): string {
  const { metrics, artifacts } = result;
  const facts: [string, string][] = [['run', result.runId]];
  if (result.failure) facts.push(['why', result.failure.message ?? describeFailure(result.failure)]);
  if (metrics.accuracy !== undefined) facts.push(['accuracy', formatMetric(metrics.accuracy)]);
  if (metrics.loss !== undefined) facts.push(['loss', formatMetric(metrics.loss)]);
  facts.push(['epochs', `${result.epochs} (${formatCount(result.steps)} steps)`]);
  facts.push(['time', `${formatSpan(result.durationMs)} (goodput ${Math.round(result.goodput * 100)}%)`]);
  facts.push(['recoveries', recoveries(result)]);
  if (result.receipt.usd > 0) facts.push(['cost', costOf(result.receipt)]);
  if (result.dataExactlyOnce !== undefined) {
    facts.push(['data', result.dataExactlyOnce ? 'each sample once an epoch' : 'not proved to be used once an epoch']);
  }
  if (result.weightsDigest !== undefined) facts.push(['weights', result.weightsDigest]);
  if (result.engine !== undefined) facts.push(['engine', result.engine]);
  for (const name of ['model', 'report', 'metrics', 'events', 'plan', 'result'] as const) {
    const place = artifacts[name];
    if (place !== undefined) facts.push([name, place]);
  }
  return `\n${headline(result.status)}\n${formatTable(facts, '  ')}`;
}

function costOf({ usd, tasks, taskSeconds }: Receipt): string {
  return `$${usd.toFixed(4)} for ${tasks} task(s), ${formatSpan(1000 * taskSeconds)} together`;
}

function headline(status: RunResult['status']): string {
  switch (status) {
    case 'succeeded':
      return 'Trained.';
    case 'failed':
      return 'The run failed.';
    case 'cancelled':
      return 'The run was cancelled.';
  }
}

function recoveries({ recoveries: count, generations, lostSteps }: RunResult): string {
  if (count === 0 && generations <= 1) return 'none';
  return `${count} (${generations} generations, ${lostSteps} steps repeated)`;
}
