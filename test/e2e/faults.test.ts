/** P3, P4, P6: what happens when things die, with real processes and real signals. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RunResult } from '../../core/result.ts';
import { Lab, small, until } from './harness.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.close());

/** Two epochs of 20 steps at 30 ms: slow enough to act in the middle, fast enough for a test. */
const slow = small({ name: 'slow', pace: '30ms' });

test('--chaos "kill worker 1 at step 15": the run goes on by itself to the same weights', async () => {
  const config = lab.config('slow', slow);
  const undisturbed = await lab.train(config, '--workers', '2:2');
  const disturbed = await lab.train(config, '--workers', '2:2', '--chaos', 'kill worker 1 at step 15');
  expect(disturbed.weightsDigest).toBe(undisturbed.weightsDigest);
  expect(disturbed.recoveries).toBeGreaterThanOrEqual(1);
  expect(disturbed.generations).toBeGreaterThanOrEqual(2);
  const names = lab.events(disturbed.runId).map(({ event }) => event);
  expect(names).toContain('chaos.injected');
  expect(names).toContain('task.lost');
  expect(lab.leftovers()).toEqual([]);
}, 60_000);

test('a worker that hangs without dying is replaced, and what it does when it wakes up changes nothing', async () => {
  const config = lab.config('slow', slow);
  const undisturbed = await lab.train(config, '--workers', '2:2');
  // Longer than the second after which a silent member is given up on a laptop.
  const disturbed = await lab.train(config, '--workers', '2:2', '--chaos', 'pause worker 1 at step 15 for 4s');
  expect(disturbed.weightsDigest).toBe(undisturbed.weightsDigest);
  expect(disturbed.generations).toBeGreaterThanOrEqual(2);
  expect(lab.leftovers()).toEqual([]);
}, 60_000);

test('kill -9 of the train command, then resume: the same weights, and no process of the first attempt', async () => {
  const config = lab.config('slow', slow);
  const killed = lab.start(['train', config]);
  await until('a checkpoint', 30_000, () => /checkpoint at step/.test(killed.text()));
  const before = lab.leftovers();
  expect(before.length).toBeGreaterThan(0);
  killed.child.kill('SIGKILL');
  await killed.ended;
  await until('the tasks to end with their parent', 5000, () => lab.leftovers().length === 0);

  const status = await lab.run(['status', 'slow', '--json']);
  expect(JSON.parse(status.stdout)).toMatchObject({ driver: null });

  const resumed = await lab.run(['resume', 'slow', '--json']);
  expect(resumed.code, resumed.stderr).toBe(0);
  const result = JSON.parse(resumed.stdout) as RunResult;
  const other = new Lab();
  try {
    const undisturbed = await other.train(other.config('slow', slow));
    expect(result.weightsDigest).toBe(undisturbed.weightsDigest);
    expect(result.runId).toBe(undisturbed.runId);
  } finally {
    other.close();
  }
  for (const pid of lab.leftovers()) expect(before).not.toContain(pid);
  expect(lab.leftovers()).toEqual([]);
}, 60_000);

test('Ctrl-C leaves a run that the same command continues; exit code 3', async () => {
  const config = lab.config('slow', slow);
  const stopped = lab.start(['train', config, '--json']);
  await until('a checkpoint', 30_000, () => /checkpoint at step/.test(stopped.text()));
  stopped.child.kill('SIGINT');
  const ended = await stopped.ended;
  expect(ended.code, ended.stderr).toBe(3);
  expect(ended.stderr).toContain('cuttlefish resume');
  expect(JSON.parse(ended.stdout)).toMatchObject({ status: 'interrupted' });
  expect(lab.leftovers()).toEqual([]);
  const result = await lab.train(config);
  expect(result.status).toBe('succeeded');
}, 60_000);

test('cancel from another process ends the run within seconds, exit code 3; its checkpoint is kept; resume goes on', async () => {
  const config = lab.config('slow', small({ name: 'slow', pace: '50ms', epochs: 3 }));
  const training = lab.start(['train', config, '--json']);
  await until('a checkpoint', 30_000, () => /checkpoint at step/.test(training.text()));
  const asked = Date.now();
  const cancel = await lab.run(['cancel', 'slow', '--json']);
  expect(cancel.code, cancel.stderr).toBe(0);
  const ended = await training.ended;
  expect(Date.now() - asked).toBeLessThan(10_000);
  expect(ended.code, ended.stderr).toBe(3);
  expect(JSON.parse(ended.stdout)).toMatchObject({ status: 'cancelled' });
  expect(lab.leftovers()).toEqual([]);

  const status = JSON.parse((await lab.run(['status', 'slow', '--json'])).stdout);
  expect(status).toMatchObject({ phase: 'cancelled' });
  expect(status.checkpoint.step).toBeGreaterThan(0);

  const again = await lab.run(['cancel', 'slow', '--json']);
  expect(again.code).toBe(2);
  expect(again.stderr).toContain('already');

  const resumed = await lab.run(['resume', 'slow', '--json']);
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(JSON.parse(resumed.stdout)).toMatchObject({ status: 'succeeded' });
}, 60_000);

test('cancel of a run that no process drives ends it as well', async () => {
  const config = lab.config('slow', slow);
  const killed = lab.start(['train', config]);
  await until('a checkpoint', 30_000, () => /checkpoint at step/.test(killed.text()));
  killed.child.kill('SIGKILL');
  await killed.ended;
  const cancel = await lab.run(['cancel', 'slow', '--json']);
  expect(cancel.code, cancel.stderr).toBe(0);
  expect(JSON.parse((await lab.run(['status', 'slow', '--json'])).stdout)).toMatchObject({ phase: 'cancelled' });
  expect(lab.leftovers()).toEqual([]);
}, 60_000);

test('two trains with one state folder: the same config is refused with the process that has it, another runs', async () => {
  const config = lab.config('slow', slow);
  const first = lab.start(['train', config, '--json']);
  await until('training', 30_000, () => /training/.test(first.text()));
  const second = await lab.run(['train', config, '--json']);
  expect(second.code).toBe(2);
  expect(second.stderr).toContain(`process ${first.child.pid}`);
  expect(JSON.parse(second.stdout)).toMatchObject({ status: 'error' });
  const other = await lab.train(lab.config('other', small({ name: 'other', epochs: 1 })));
  expect(other.status).toBe('succeeded');
  const ended = await first.ended;
  expect(ended.code, ended.stderr).toBe(0);
  expect(lab.leftovers()).toEqual([]);
}, 60_000);

test('a worker that exits at once every time ends the run within its budget, with the reason', async () => {
  const broken = join(lab.folder, 'broken-task.mjs');
  writeFileSync(broken, "process.stderr.write('cannot start: no engine\\n'); process.exit(70);\n");
  const config = lab.config(
    'broken',
    small({ name: 'broken', more: 'recovery: {maxRecoveries: 2, maxLaunches: 4}\n' }),
  );
  const ended = await lab.run(['train', config, '--json'], { CUTTLEFISH_TASK_ENTRY: broken });
  expect(ended.code, ended.stderr).toBe(1);
  const result = JSON.parse(ended.stdout) as RunResult;
  expect(result).toMatchObject({ status: 'failed', failure: { kind: 'BudgetExhausted' } });
  expect(ended.stderr).toMatch(/budget/);
  expect(lab.leftovers()).toEqual([]);
}, 60_000);

test('a closed pipe does not end the run', async () => {
  const config = lab.config('piped', small({ name: 'piped', pace: '10ms' }));
  const training = lab.start(['train', config]);
  await until('training', 30_000, () => /training/.test(training.text()));
  training.child.stderr?.destroy();
  training.child.stdout?.destroy();
  expect((await training.ended).code).toBe(0);
  const status = JSON.parse((await lab.run(['status', 'piped', '--json'])).stdout);
  expect(status).toMatchObject({ phase: 'succeeded' });
}, 60_000);

test('a state folder made by another version is refused, and left as it is', async () => {
  const config = lab.config('any', small({ name: 'any', epochs: 1 }));
  await lab.train(config);
  const stamp = join(lab.stateDir, 'VERSION');
  writeFileSync(stamp, '{"layout":99}\n');
  for (const args of [['train', config], ['status'], ['serve']]) {
    const ended = await lab.run(args);
    expect(ended.code, args.join(' ')).toBe(2);
    expect(ended.stderr).toMatch(/layout 99/);
    expect(ended.stderr).not.toMatch(/\n\s+at /);
  }
  expect(readFileSync(stamp, 'utf8')).toBe('{"layout":99}\n');
}, 60_000);
