/** P2, P3: the number of workers changes while a run trains, from another process, and the weights stay the same bits. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { stopReasons } from '../../core/classify.ts';
import type { RunResult } from '../../core/result.ts';
import { calm, Lab, type Running, small, until } from './harness.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.close());

/** 200 steps of at least 30 ms: six seconds, time enough for workers to come and go. */
const long = small({ name: 'long', pace: '30ms', epochs: 10, workers: '{min: 1, max: 4}', more: calm });

async function training(workers: number): Promise<number | undefined> {
  const status = JSON.parse((await lab.run(['status', 'long', '--json'])).stdout);
  return status.progress?.worldSize === workers ? status.progress.step : undefined;
}

/** Polls the real command: a few times a second is enough. */
async function untilTraining(running: Running, workers: number): Promise<number> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const step = await training(workers);
    if (step !== undefined) return step;
    if (Date.now() > deadline || running.child.exitCode !== null) {
      throw new Error(`never ${workers} workers\n${running.text()}`);
    }
  }
}

function eventsOf(runId: string): readonly Record<string, unknown>[] {
  const path = join(lab.stateDir, 'bucket', 'runs', runId, 'events.jsonl');
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('scale down to 1 and up to 4 while it trains: the same bits, no recovery, no lost step', async () => {
  const undisturbed = new Lab();
  const other = undisturbed
    .train(undisturbed.config('long', long), '--workers', '1:1')
    .finally(() => undisturbed.close());
  const running = lab.start(['train', lab.config('long', long), '--json']);
  await untilTraining(running, 4);
  const down = await lab.run(['scale', 'long', '1', '--json']);
  expect(down.code, down.stderr).toBe(0);
  expect(JSON.parse(down.stdout)).toMatchObject({
    status: 'changed',
    workers: 1,
    before: 4,
  });
  const shrunkAt = await untilTraining(running, 1);
  await until('three processes to go', 10_000, () => lab.leftovers().length === 1);
  const up = await lab.run(['scale', 'long', '3']);
  expect(up.code, up.stderr).toBe(0);
  expect(up.stdout).toMatch(/aims at 3 worker\(s\) now; it was 1\./);
  expect(await untilTraining(running, 3)).toBeGreaterThan(shrunkAt);

  const ended = await running.ended;
  expect(ended.code, ended.stderr).toBe(0);
  const result = JSON.parse(ended.stdout) as RunResult;
  const expected = await other;
  expect(result.weightsDigest).toBe(expected.weightsDigest);
  expect(result.metrics).toEqual(expected.metrics);
  expect(result).toMatchObject({ recoveries: 0, lostSteps: 0, dataExactlyOnce: true });
  expect(lab.leftovers()).toEqual([]);

  const events = eventsOf(result.runId);
  expect(events.filter(({ event }) => event === 'run.scaled')).toHaveLength(2);
  expect(events.filter(({ event }) => event === 'task.lost')).toEqual([]);
  // The highest slots went, because they were asked to.
  const surplus = events.filter(({ why }) => why === stopReasons.surplus).map(({ slot }) => slot);
  expect(surplus.sort()).toEqual(['worker/1', 'worker/2', 'worker/3']);
}, 90_000);

test('what the run was not planned for is refused with what would be accepted; exit code 2', async () => {
  const running = lab.start(['train', lab.config('long', long), '--workers', '2:3', '--json']);
  await untilTraining(running, 3);
  for (const [wanted, why] of [
    ['4', /planned for at most 3; accepted: 2 to 3/],
    ['1', /does not train with fewer than cluster.workers.min, 2; accepted: 2 to 3/],
    ['2:3', /is a range, and the minimum of a run is fixed by its plan \(cluster.workers.min, 2\)/],
  ] as const) {
    const refused = await lab.run(['scale', 'long', wanted, '--json']);
    expect(refused.code, wanted).toBe(2);
    expect(refused.stderr, wanted).toMatch(why);
    expect(JSON.parse(refused.stdout)).toMatchObject({ status: 'error' });
  }
  for (const wanted of ['0', 'many', '3:2', '-1', '2.5']) {
    const refused = await lab.run(['scale', 'long', wanted]);
    expect(refused.code, wanted).toBe(2);
    expect(refused.stderr).not.toMatch(/\n\s+at /);
  }
  const same = await lab.run(['scale', 'long', '3', '--json']);
  expect(JSON.parse(same.stdout)).toMatchObject({ status: 'unchanged' });
  running.child.kill('SIGINT');
  expect((await running.ended).code).toBe(3);

  // Nobody drives it now: the wish is kept for the next who does.
  const later = await lab.run(['scale', 'long', '2', '--json']);
  expect(later.code, later.stderr).toBe(0);
  expect(JSON.parse(later.stdout)).toMatchObject({ status: 'changed', driver: null });
  expect(later.stderr).toContain('cuttlefish resume');
  const resumed = lab.start(['resume', 'long', '--json']);
  await untilTraining(resumed, 2);
  const done = await resumed.ended;
  expect(done.code, done.stderr).toBe(0);
  const ended = await lab.run(['scale', 'long', '3']);
  expect(ended.code).toBe(2);
  expect(ended.stderr).toMatch(/has ended/);
}, 90_000);
