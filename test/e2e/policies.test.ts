/** What becomes of a run that loses workers, by what its config says of it: replace, shrink, fail; and hold below the minimum. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RunResult } from '../../core/result.ts';
import { calm, Lab, small } from './harness.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.close());

interface Document extends RunResult {
  readonly status: RunResult['status'];
}

async function train(config: string, ...args: readonly string[]) {
  const ended = await lab.run(['train', config, '--json', ...args]);
  return { ...ended, result: JSON.parse(ended.stdout) as Document };
}

const paced = (more: string, workers = '2'): string => small({ name: 'policy', pace: '20ms', workers, more });

test('onWorkerLoss: shrink goes on with fewer, to the same weights; nothing is launched again', async () => {
  const shrink = lab.config('shrink', paced('recovery: {onWorkerLoss: shrink, hungAfter: 20s}\n'));
  const { code, stderr, result } = await train(shrink, '--workers', '1:3', '--chaos', 'kill worker 1 at step 10');
  expect(code, stderr).toBe(0);
  const undisturbed = await train(shrink, '--workers', '1:1');
  expect(result.weightsDigest).toBe(undisturbed.result.weightsDigest);
  expect(result).toMatchObject({ recoveries: 1, lostSteps: 0 });
  const events = lab.events(result.runId);
  expect(events.filter(({ event }) => event === 'launch.intended')).toHaveLength(1);
  expect(lab.leftovers()).toEqual([]);
}, 60_000);

test('onWorkerLoss: fail ends the run with the loss, and what it had is kept', async () => {
  const config = lab.config('fail', paced('recovery: {onWorkerLoss: fail, hungAfter: 20s}\n'));
  const { code, stderr, result } = await train(config, '--chaos', 'kill worker 1 at step 20');
  expect(code, stderr).toBe(1);
  expect(result).toMatchObject({ status: 'failed', failure: { kind: 'TaskLost', reason: 'crashed' } });
  expect(stderr).toMatch(/worker\/1 was lost \(crashed\).*SIGKILL/);
  const status = JSON.parse((await lab.run(['status', result.runId, '--json'])).stdout);
  expect(status.checkpoint.step).toBeGreaterThanOrEqual(20);
  expect(lab.leftovers()).toEqual([]);
}, 60_000);

test('onParameterServerLoss: fail ends the run as well', async () => {
  const config = lab.config('fail-ps', paced('recovery: {onParameterServerLoss: fail, hungAfter: 20s}\n'));
  const { code, result } = await train(
    config,
    '--parameter-servers',
    '1',
    '--chaos',
    'kill parameter-server 0 at step 10',
  );
  expect(code).toBe(1);
  expect(result.failure).toMatchObject({ kind: 'TaskLost' });
  expect(result.failure?.message).toMatch(/parameter-server\/0/);
  expect(lab.leftovers()).toEqual([]);
}, 60_000);

test('below workers.min it waits and asks for machines, gives up at the hold deadline with a checkpoint, and can be resumed', async () => {
  // No checkpoint but the one that is taken on leaving.
  const hold = small({
    name: 'hold',
    pace: '20ms',
    workers: '{min: 2, max: 2}\n  holdDeadline: 3s',
    everySteps: 1_000_000,
    epochs: 4,
  });
  const config = lab.config('hold', hold);
  const capacity = join(lab.stateDir, 'capacity.json');
  mkdirSync(lab.stateDir, { recursive: true });
  const running = lab.start(['train', config, '--json', '--chaos', 'kill worker 1 at step 30']);
  // Room for one: the replacement of the other will be refused.
  const deadline = Date.now() + 30_000;
  while (lab.leftovers().length < 2 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  writeFileSync(capacity, '{"maxTasks": 1}');
  const ended = await running.ended;
  expect(ended.code, ended.stderr).toBe(1);
  const result = JSON.parse(ended.stdout) as Document;
  expect(result).toMatchObject({
    status: 'failed',
    failure: { kind: 'CapacityUnavailable', wanted: 2, granted: 1 },
    lostSteps: 0,
  });
  expect(ended.stderr).toMatch(/only 1 of 2 tasks could be started: .*Capacity is unavailable/);
  // It asked more than once, and it did not wait for ever.
  const names = lab.events(result.runId).map(({ event }) => event);
  expect(names.filter((name) => name === 'launch.short').length).toBeGreaterThan(1);
  const status = JSON.parse((await lab.run(['status', 'hold', '--json'])).stdout);
  expect(status.checkpoint.step).toBeGreaterThanOrEqual(30);
  expect(lab.leftovers()).toEqual([]);

  rmSync(capacity);
  const resumed = await lab.run(['resume', 'hold', '--json']);
  expect(resumed.code, resumed.stderr).toBe(0);
  const again = JSON.parse(resumed.stdout) as Document;
  const other = new Lab();
  try {
    const undisturbed = await other.train(other.config('hold', hold));
    expect(again.weightsDigest).toBe(undisturbed.weightsDigest);
  } finally {
    other.close();
  }
  expect(again.lostSteps).toBe(0);
  expect(existsSync(capacity)).toBe(false);
}, 90_000);

test('capacity that comes while it holds ends the wait: the same weights, no step lost', async () => {
  const hold = small({ name: 'hold', pace: '20ms', workers: '{min: 2, max: 2}\n  holdDeadline: 20s', more: calm });
  const capacity = join(lab.stateDir, 'capacity.json');
  mkdirSync(lab.stateDir, { recursive: true });
  const running = lab.start(['train', lab.config('hold', hold), '--json', '--chaos', 'kill worker 0 at step 10']);
  const deadline = Date.now() + 30_000;
  while (lab.leftovers().length < 2 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  writeFileSync(capacity, '{"maxTasks": 1}');
  while (!/not all tasks could be started/.test(running.text()) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  rmSync(capacity);
  const ended = await running.ended;
  expect(ended.code, ended.stderr).toBe(0);
  const result = JSON.parse(ended.stdout) as Document;
  const undisturbed = await lab.train(lab.config('hold', hold), '--workers', '1:1');
  expect(result.weightsDigest).toBe(undisturbed.weightsDigest);
  expect(result).toMatchObject({ recoveries: 1, lostSteps: 0 });
}, 60_000);
