/** Hours of a run in moments: budgets end it, and what it may cost it does not pass (R6, R8). Virtual time. */
import { afterEach, expect, test } from 'vitest';
import { objectKeys } from '../../core/object-keys.ts';
import { hourUsd } from '../../core/price.ts';
import type { RunResult } from '../../core/result.ts';
import { type LaunchRow, prefixes } from '../../core/run.ts';
import { readPlan, values } from '../../functions/rows.ts';
import { config, createHarness, type Harness, type HarnessOptions, type Script } from '../support/workflow-harness.ts';
import { virtualClock } from './interpreter/virtual-clock.ts';

let harness: Harness | undefined;
afterEach(async () => {
  await harness?.close();
  harness = undefined;
});

const long = (more: string): string => config(more).replace('epochs: 3', 'epochs: 1000');
/** An epoch every two minutes. */
const slow: Script = async (task) => {
  await task.running();
  if (task.index === 0) await task.lead({ stayMs: 120_000 });
};

async function live(text: string, options: HarnessOptions = {}): Promise<{ harness: Harness; result: RunResult }> {
  const opened = createHarness({ kind: 'aws', clock: virtualClock(), script: slow, ...options });
  harness = opened;
  await opened.run('bounded', { config: text, runId: 'bounded' });
  const stored = await opened.cloud.objects.get(objectKeys.result('bounded'));
  return { harness: opened, result: JSON.parse(new TextDecoder().decode(stored?.body)) as RunResult };
}

test('limits.maxCostUsd ends the run within a minute of the cap, and the receipt says what it cost', async () => {
  const cap = 0.05;
  const { harness: h, result } = await live(
    long(`cluster: { launch: fargate, workers: { min: 2, max: 2 } }\nlimits: { maxCostUsd: ${cap} }\n`),
  );
  expect(result).toMatchObject({ status: 'failed', failure: { kind: 'BudgetExhausted', budget: 'cost', limit: cap } });
  expect(result.receipt.tasksUsd).toBeGreaterThanOrEqual(cap);
  // R8: at most one task-minute more for each task.
  const minuteUsd = hourUsd('fargate', [{ count: 2, cpu: 1024, memoryMiB: 2048 }]) / 60;
  expect(result.receipt.tasksUsd).toBeLessThanOrEqual(cap + minuteUsd);
  expect(result.receipt).toMatchObject({ tasks: 2 });
  expect(result.steps).toBeGreaterThan(0);
  // Its tasks were asked to leave, and so could save where they were.
  expect((await h.tasks('bounded')).map(({ stop }) => stop?.code)).toEqual(['UserInitiated', 'UserInitiated']);
  expect(await h.alive('bounded')).toEqual([]);
});

test('limits.maxDuration ends the run on time, by the clock on the wall', async () => {
  const { result } = await live(long('cluster: { launch: fargate, workers: 1 }\nlimits: { maxDuration: 2h }\n'));
  expect(result).toMatchObject({ failure: { kind: 'BudgetExhausted', budget: 'time' } });
  expect(result.durationMs).toBeGreaterThanOrEqual(7_200_000);
  expect(result.durationMs).toBeLessThan(7_260_000);
});

test('the quota of the stage ends a run that set itself no cap', async () => {
  const { result } = await live(long('cluster: { launch: fargate, workers: 1 }\n'), { quotas: { maxCostUsd: 0.1 } });
  expect(result).toMatchObject({ failure: { kind: 'BudgetExhausted', budget: 'cost', limit: 0.1 } });
});

test('many workers are asked for in batches of ten, each with a token of its own', async () => {
  const text = config('cluster: { launch: fargate, workers: { min: 23, max: 23 } }\n').replace(
    'batchSize: 32',
    'batchSize: 32, shards: 32',
  );
  const script: Script = async (task) => {
    await task.running();
    if (task.index === 22) await task.lead();
  };
  const { harness: h, result } = await live(text, { script });
  expect(result.status).toBe('succeeded');
  const launches = await values<LaunchRow>(h.cloud, 'bounded', prefixes.launch);
  expect(launches.map(({ count }) => count)).toEqual([10, 10, 3]);
  expect(new Set(launches.map(({ clientToken }) => clientToken)).size).toBe(3);
  expect(new Set(launches.map(({ round }) => round)).size).toBe(1);
});

test('Spot that is not there is asked for once, then on demand', async () => {
  const text = config('cluster: { launch: fargate-spot, workers: 1 }\n');
  const opened = createHarness({ kind: 'aws', clock: virtualClock() });
  harness = opened;
  opened.world.controls.capacity = 0;
  const ended = opened.run('ladder', { config: text, runId: 'ladder' });
  await opened.cloud.clock.sleep(1_000);
  opened.world.controls.capacity = 10;
  expect((await ended).status).toBe('SUCCEEDED');
  const launches = await values<LaunchRow>(opened.cloud, 'ladder', prefixes.launch);
  expect(launches.map(({ kind, started }) => [kind, started.length])).toEqual([
    ['fargate-spot', 0],
    ['fargate', 0],
    ['fargate', 1],
  ]);
  expect((await readPlan(opened.cloud, 'ladder')).cluster.ladder).toEqual(['fargate-spot', 'fargate']);
});
