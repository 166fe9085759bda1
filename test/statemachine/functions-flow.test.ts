/**
 * Whole runs: the real state machine, interpreter and functions, with tasks that follow a script. Each test is a life of
 * a run, told by the states that were entered and by what is left.
 */
import { afterEach, expect, test } from 'vitest';
import { lastSignal, raise } from '../../cloud/signal.ts';
import { clusterPartition } from '../../core/cluster-rows.ts';
import { executionName } from '../../core/config/run-id.ts';
import { objectKeys } from '../../core/object-keys.ts';
import type { RunResult } from '../../core/result.ts';
import { type GangRow, keys, type LaunchRow, prefixes } from '../../core/run.ts';
import { cancelRun } from '../../functions/cancel.ts';
import { functions } from '../../functions/registry.ts';
import { reopenRun } from '../../functions/resume.ts';
import { value, values } from '../../functions/rows.ts';
import {
  config,
  createHarness,
  type Harness,
  objectCreated,
  type Script,
  taskEvent,
} from '../support/workflow-harness.ts';

/** Ten milliseconds here are half a second of the run. */
const poll = <T>(look: () => Promise<T>) => expect.poll(look, { interval: 5, timeout: 10_000 });

let harness: Harness | undefined;
afterEach(async () => {
  await harness?.close();
  harness = undefined;
});

function harnessWith(script?: Script, kind?: 'aws'): Harness {
  harness = createHarness({ ...(script === undefined ? {} : { script }), ...(kind === undefined ? {} : { kind }) });
  return harness;
}

const text = async (h: Harness, key: string): Promise<string | undefined> => {
  const stored = await h.cloud.objects.get(key);
  return stored === undefined ? undefined : new TextDecoder().decode(stored.body);
};

/** Nothing of the run is left running, claimed or open (P6). */
async function expectReleased(h: Harness, runId: string): Promise<void> {
  expect(await h.alive(runId)).toEqual([]);
  expect(await h.cloud.table.query(clusterPartition, 'open/')).toEqual([]);
  expect(await h.cloud.table.query(clusterPartition, 'claim/')).toEqual([]);
  expect((await h.tasks(runId)).filter((task) => task.state !== 'stopped')).toEqual([]);
  expect((await h.runRow(runId))?.releasedAtMs).toBeGreaterThan(0);
}

test('a config becomes a result, and nothing is left running', async () => {
  const h = harnessWith();
  const { status, output } = await h.run('flow-1', { config: config(), runId: 'flow-1' });
  expect(status).toBe('SUCCEEDED');
  const result = output as RunResult;
  expect(result).toMatchObject({
    status: 'succeeded',
    epochs: 3,
    steps: 30,
    recoveries: 0,
    metrics: { accuracy: 0.99 },
  });
  expect(result.artifacts.model).toContain(objectKeys.model('flow-1'));
  expect(h.calls.slice(0, 5)).toEqual(['validate', 'plan', 'launch', 'watch', 'decide']);
  expect(h.calls.slice(-2)).toEqual(['finish', 'release']);
  expect(h.calls).not.toContain('scale');
  await expectReleased(h, 'flow-1');
  const lines = (await text(h, objectKeys.metrics('flow-1')))?.trim().split('\n') ?? [];
  expect(lines.map((line) => JSON.parse(line).epoch)).toEqual([1, 2, 3]);
  const events = ((await text(h, objectKeys.events('flow-1'))) ?? '')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const names = events.map((event) => event.event);
  expect(names).toEqual(
    expect.arrayContaining(['run.planned', 'launch.done', 'run.decided', 'run.finished', 'run.released']),
  );
  expect(await text(h, objectKeys.report('flow-1'))).toContain('<svg');
  expect(JSON.parse((await text(h, objectKeys.result('flow-1'))) ?? '')).toEqual(result);
  expect(h.world.controls.notices.map((notice) => notice.type)).toEqual([
    'cuttlefish.run.started',
    'cuttlefish.run.succeeded',
  ]);
  // Measured at the turns of the workflow, with what tells the run.
  expect(h.world.controls.metrics).toContainEqual(
    expect.objectContaining({ runId: 'flow-1', generation: 1, step: 20, Loss: 0.5, Recoveries: 0, CostUsd: 0 }),
  );
});

test('a config that is wrong is refused with everything that is wrong, and nothing is launched', async () => {
  const h = harnessWith();
  await h.cloud.objects.put('configs/bad.yaml', config('nonsense: 1\nseed: x\n'), 'always');
  const { status, error, cause } = await h.run('bad', { configUri: 'configs/bad.yaml', runId: 'bad' });
  expect([status, error]).toEqual(['FAILED', 'ConfigInvalid']);
  expect(cause).toContain('nonsense');
  expect(h.calls).toEqual(['validate']);
  expect(await text(h, 'configs/bad.yaml.errors.txt')).toMatch(/\d+:\d+ nonsense[\s\S]*seed/);
  expect(await h.runRow('bad')).toBeUndefined();
});

test('data that cannot be used ends the run before a launch, and is told beside the config', async () => {
  const h = harnessWith();
  const bad = config().replace(
    '{ source: digits, samples: 320, testSamples: 40 }',
    '{ source: csv, path: nowhere.csv, label: y }',
  );
  await h.cloud.objects.put('configs/data.yaml', bad, 'always');
  const { status, error } = await h.run('data', { configUri: 'configs/data.yaml', runId: 'data' });
  expect([status, error]).toEqual(['FAILED', 'DataInvalid']);
  expect(h.calls).toEqual(['validate', 'plan', 'fail', 'release']);
  expect(await text(h, 'configs/data.yaml.errors.txt')).toContain('nowhere.csv');
  const result = JSON.parse((await text(h, objectKeys.result('data'))) ?? '') as RunResult;
  expect(result).toMatchObject({ status: 'failed', failure: { kind: 'DataInvalid' } });
  expect(result.artifacts).not.toHaveProperty('plan');
});

test('capacity that is short at first is asked for again, and the run goes on when it is there', async () => {
  const h = harnessWith(async (task) => {
    await task.running();
    if (task.index === 1) await task.lead();
  });
  h.world.controls.capacity = 1;
  setTimeout(() => {
    h.world.controls.capacity = 10;
  }, 100);
  const { status } = await h.run('short', {
    config: config('cluster: { workers: { min: 2, max: 2 } }\n'),
    runId: 'short',
  });
  expect(status).toBe('SUCCEEDED');
  const launches = await values<LaunchRow>(h.cloud, 'short', prefixes.launch);
  expect(launches.length).toBeGreaterThan(1);
  expect(launches[0]?.failures[0]).toContain('Capacity is unavailable');
  expect((await h.events('short')).map((event) => event.event)).toContain('launch.short');
  await expectReleased(h, 'short');
});

test('capacity that never comes ends the run with the reason, and gives back what there was', async () => {
  const h = harnessWith((task) => task.running());
  h.world.controls.capacity = 1;
  const { status, error, cause } = await h.run('never', {
    config: config('cluster: { workers: { min: 2, max: 2 }, startDeadline: 3s }\n'),
    runId: 'never',
  });
  expect([status, error]).toEqual(['FAILED', 'CapacityUnavailable']);
  expect(cause).toContain('only 1 of 2 tasks');
  await expectReleased(h, 'never');
});

test('enough to go on is enough: the run trains with fewer than it aims at', async () => {
  const h = harnessWith();
  h.world.controls.capacity = 1;
  const { status } = await h.run('fewer', {
    config: config('cluster: { workers: { min: 1, max: 4 } }\n'),
    runId: 'fewer',
  });
  expect(status).toBe('SUCCEEDED');
});

test('a worker that is lost is replaced, and the result says so', async () => {
  const h = harnessWith(async (task) => {
    await task.running();
    if (task.index === 0) await task.lead({ stayMs: 500 });
    if (task.index === 1) await task.exit(137);
  });
  const { status, output } = await h.run('lost', { config: config(), runId: 'lost' });
  expect(status).toBe('SUCCEEDED');
  expect(output).toMatchObject({ recoveries: 1 });
  expect(await h.tasks('lost')).toHaveLength(3);
  const decided = (await h.events('lost')).filter((event) => event.event === 'run.decided').map((event) => event.why);
  expect(decided.join('\n')).toMatch(/replace 1 worker: worker .* was lost \(crashed\): exit code 137 \(SIGKILL\)/);
  await expectReleased(h, 'lost');
});

test('a worker that exits at once every time ends the run within its recovery budget, with the reason', async () => {
  const h = harnessWith(async (task) => {
    await task.running();
    await task.exit(70);
  });
  const { status, error, cause } = await h.run('loop', {
    config: config('cluster: { workers: 1 }\nrecovery: { maxRecoveries: 3 }\n'),
    runId: 'loop',
  });
  expect([status, error]).toEqual(['FAILED', 'BudgetExhausted']);
  expect(cause).toMatch(/recoveries is used up \(4 of 3\).*exit code 70/s);
  expect(await h.tasks('loop')).toHaveLength(4);
  await expectReleased(h, 'loop');
});

test('a task that cannot use its config is not started again', async () => {
  const h = harnessWith(async (task) => {
    await task.running();
    await task.exit(64);
  });
  const { status, cause } = await h.run('hopeless', { config: config('cluster: { workers: 1 }\n'), runId: 'hopeless' });
  expect(status).toBe('FAILED');
  expect(cause).toContain('exit code 64');
  expect(await h.tasks('hopeless')).toHaveLength(1);
});

test('a worker that runs out of memory is replaced by one with more', async () => {
  const h = harnessWith(async (task) => {
    await task.running();
    if (task.index === 0) await task.exit(137, { reason: 'OutOfMemoryError: Container killed due to memory usage' });
    else await task.lead();
  }, 'aws');
  const { status } = await h.run('hungry', { config: config('cluster: { workers: 1 }\n'), runId: 'hungry' });
  expect(status).toBe('SUCCEEDED');
  const launches = await values<LaunchRow>(h.cloud, 'hungry', prefixes.launch);
  expect(launches.map(({ size }) => size.memoryMiB)).toEqual([2048, 4096]);
  expect((await h.tasks('hungry')).map(({ size }) => size?.memoryMiB).sort()).toEqual([2048, 4096]);
});

test('tasks that say nothing for a whole heartbeat are stopped and replaced', async () => {
  const h = harnessWith(async (task) => {
    await task.running();
    if (task.index === 1) await task.lead();
  });
  const { status, output } = await h.run('silent', { config: config('cluster: { workers: 1 }\n'), runId: 'silent' });
  expect(status).toBe('SUCCEEDED');
  expect(output).toMatchObject({ recoveries: 1 });
  const failures = (await h.tasks('silent')).map((task) => task.failure);
  expect(failures).toContainEqual(expect.objectContaining({ kind: 'TaskLost', reason: 'silent' }));
});

test('a cancelled run stops its tasks, keeps what it has, and can be resumed', async () => {
  const h = harnessWith(async (task) => {
    await task.running();
    if (task.index === 0) await task.lead({ epochs: 1 });
    if (task.index === 2) await task.lead();
  });
  const ended = h.run('stop', { config: config(), runId: 'stop' });
  await poll(async () => (await h.runRow('stop'))?.phase).toBe('training');
  expect(await cancelRun(h.cloud, 'stop', 'a person')).toEqual({ kind: 'requested' });
  const { status, error } = await ended;
  expect([status, error]).toEqual(['FAILED', 'Cancelled']);
  expect(await h.runRow('stop')).toMatchObject({ phase: 'cancelled', failure: { kind: 'Cancelled', by: 'a person' } });
  await expectReleased(h, 'stop');
  expect(await cancelRun(h.cloud, 'stop', 'a person')).toEqual({ kind: 'ended' });

  const reopened = await reopenRun(h.cloud, 'stop');
  expect(reopened.execution).toBe(executionName('stop', 1));
  const again = await h.run(reopened.execution, reopened.input);
  expect(again.status).toBe('SUCCEEDED');
  expect(await h.runRow('stop')).toMatchObject({ phase: 'succeeded', attempt: 1 });
  await expectReleased(h, 'stop');
});

test('the same bytes dropped again, or twice at once, are one run', async () => {
  const h = harnessWith();
  const stored = await h.cloud.objects.put('configs/run.yaml', config(), 'always');
  if (stored.kind !== 'stored') throw new Error('not stored');
  const event = objectCreated('configs/run.yaml', stored.version);
  const both = (await Promise.all([functions.start(event, h.cloud), functions.start(event, h.cloud)])) as {
    kind: string;
    runId: string;
  }[];
  expect(both.map((one) => one.kind).sort()).toEqual(['exists', 'started']);
  const runId = both[0]?.runId ?? '';
  expect((await h.workflow.wait(runId)).status).toBe('SUCCEEDED');
  expect(await functions.start(event, h.cloud)).toMatchObject({ kind: 'exists', runId });
  expect(h.calls.filter((name) => name === 'validate')).toHaveLength(1);
  expect((await h.events(runId)).filter((one) => one.event === 'run.duplicate')).toHaveLength(2);
});

test('a broken file in the bucket gets an errors file, a good one takes it away', async () => {
  const h = harnessWith();
  const drop = async (body: string): Promise<unknown> => {
    const stored = await h.cloud.objects.put('configs/run.yaml', body, 'always');
    if (stored.kind !== 'stored') throw new Error('not stored');
    return objectCreated('configs/run.yaml', stored.version);
  };
  const bad = await drop('version: 1\nname: [\n');
  expect(await functions.start(bad, h.cloud)).toEqual({ kind: 'rejected' });
  expect(await text(h, 'configs/run.yaml.errors.txt')).toMatch(/\d+:\d+ /);
  const good = await drop(config());
  const started = (await functions.start(good, h.cloud)) as { runId: string };
  expect(await text(h, 'configs/run.yaml.errors.txt')).toBeUndefined();
  // The event of the bad version comes again, late: the answer to the newer one stays.
  expect(await functions.start(bad, h.cloud)).toEqual({ kind: 'rejected' });
  expect(await text(h, 'configs/run.yaml.errors.txt')).toBeUndefined();
  expect((await h.workflow.wait(started.runId)).status).toBe('SUCCEEDED');
});

test('what is too large to be a config is refused by its size, unread', async () => {
  const h = harnessWith();
  const event = objectCreated('configs/film.yaml', 'v1', 5_000_000_000);
  expect(await functions.start(event, h.cloud)).toEqual({ kind: 'rejected' });
  expect(await text(h, 'configs/film.yaml.errors.txt')).toMatch(/4882813 KiB; accepted: at most 64 KiB/);
});

test('what is no config in the bucket is left alone', async () => {
  const h = harnessWith();
  for (const key of ['runs/x/config.yaml', 'configs/a.yaml.errors.txt', 'configs/readme.md', 'other.yaml']) {
    const stored = await h.cloud.objects.put(key, config(), 'always');
    if (stored.kind === 'stored') {
      expect(await functions.start(objectCreated(key, stored.version), h.cloud)).toEqual({ kind: 'ignored' });
    }
  }
  expect(await functions.start({ hello: 'world' }, h.cloud)).toEqual({ kind: 'ignored' });
  expect(await functions.start(objectCreated('configs/gone.yaml', 'v0'), h.cloud)).toEqual({ kind: 'ignored' });
});

test('a second execution of the same run is refused and does not touch the first', async () => {
  const h = harnessWith(async (task) => {
    await task.running();
    if (task.index === 0) await task.lead({ stayMs: 1000 });
  });
  const first = h.run('one', { config: config(), runId: 'one' });
  await poll(async () => (await h.runRow('one'))?.phase).toBe('training');
  const second = await h.run('two', { config: config(), runId: 'one' });
  expect([second.status, second.error]).toEqual(['FAILED', 'Conflict']);
  expect((await first).status).toBe('SUCCEEDED');
});

test('an execution that is stopped from outside is cancelled and released', async () => {
  const h = harnessWith((task) => task.running());
  const ended = h.run('aborted', { config: config(), runId: 'aborted' });
  await poll(() => h.alive('aborted')).toHaveLength(2);
  await h.workflow.stop((await h.runRow('aborted'))?.executionArn ?? '', 'a person in the console');
  expect((await ended).status).toBe('ABORTED');
  await poll(async () => (await h.runRow('aborted'))?.releasedAtMs).toBeGreaterThan(0);
  expect(await h.runRow('aborted')).toMatchObject({ phase: 'cancelled' });
  await expectReleased(h, 'aborted');
});

test.each([
  ['by Fail', 0],
  ['by Release, when Fail cannot write its report', 1_000],
])('a run that ends as failed counts as one: %s', async (_, times) => {
  const h = harnessWith();
  const key = objectKeys.result('failing');
  if (times > 0) h.world.controls.failNext('objects.put', new Error('no room'), { times, keyPrefix: key });
  const bad = config().replace(
    '{ source: digits, samples: 320, testSamples: 40 }',
    '{ source: csv, path: no, label: y }',
  );
  await h.run('failing', { config: bad, runId: 'failing' });
  expect(await h.runRow('failing')).toMatchObject({ phase: 'failed', failure: { kind: 'DataInvalid' } });
  expect((await text(h, key)) === undefined).toBe(times > 0);
  const counted = h.world.controls.metrics.filter((one) => 'RunsFailed' in one);
  expect(counted).toEqual([expect.objectContaining({ RunsFailed: 1, runId: 'failing', kind: 'DataInvalid' })]);
  await expectReleased(h, 'failing');
});

test('task events that come twice, late and out of order change nothing twice', async () => {
  const h = harnessWith(async (task, { deliver }) => {
    if (task.index !== 1) {
      await task.running();
      if (task.index === 0) await task.lead({ stayMs: 500 });
      return;
    }
    const stop = { code: 'EssentialContainerExited', reason: 'gone', exitCode: 137 };
    await task.exit(137, { reason: 'gone' });
    await deliver(taskEvent(task.runId, task.taskId, 'RUNNING'));
    await deliver(taskEvent(task.runId, task.taskId, 'STOPPED', stop));
    await deliver(taskEvent(task.runId, task.taskId, 'STOPPED', stop));
  });
  const { status, output } = await h.run('events', { config: config(), runId: 'events' });
  expect(status).toBe('SUCCEEDED');
  expect(output).toMatchObject({ recoveries: 1 });
  const lost = (await h.events('events')).filter((event) => event.event === 'task.lost');
  expect(lost).toHaveLength(1);
});

test('events of tasks that are not ours are ignored', async () => {
  const h = harnessWith();
  expect(await h.deliver(taskEvent('somebody-else', 'task-9', 'STOPPED'))).toEqual({ kind: 'ignored' });
  expect(await h.deliver({ 'detail-type': 'ECS Task State Change', detail: { taskArn: 'a' } })).toEqual({
    kind: 'ignored',
  });
  expect(await h.deliver('nonsense')).toEqual({ kind: 'ignored' });
});

test('a sweep finds a task whose event was lost and wakes the run', async () => {
  const h = harnessWith(async (task) => {
    await task.running();
    if (task.index === 0) await task.lead({ stayMs: 2000 });
  });
  const ended = h.run('swept', { config: config(), runId: 'swept' });
  await poll(async () => (await h.tasks('swept')).filter((task) => task.state === 'running').length).toBe(2);
  await poll(async () => (await h.runRow('swept'))?.phase).toBe('training');
  const { leader } = (await value<GangRow>(h.cloud, 'swept', keys.gang)) ?? {};
  const second = (await h.tasks('swept')).find((task) => task.taskId !== leader)?.taskId ?? '';
  h.world.controls.changeTask(second, { state: 'stopped', stop: { code: 'SpotInterruption', reason: 'Spot' } });
  const before = await lastSignal(h.cloud, 'swept');
  expect(await functions.sweep({}, h.cloud)).toMatchObject({ open: 1, signalled: ['swept'] });
  expect(await lastSignal(h.cloud, 'swept')).toBeGreaterThan(before);
  expect((await ended).status).toBe('SUCCEEDED');
  expect(await h.tasks('swept')).toHaveLength(3);
});

test('a sweep stops what is left of runs that are over, and leaves alone what is not ours', async () => {
  const h = harnessWith(async (task) => {
    await task.running();
    if (task.index === 0) await task.lead();
  });
  expect((await h.run('over', { config: config('cluster: { workers: 1 }\n'), runId: 'over' })).status).toBe(
    'SUCCEEDED',
  );
  // RunTask of a launch that was thought dead takes effect late; the others are of a run that the table does not know.
  const request = { role: 'worker', kind: 'local', count: 1, cpu: 1024, memoryMiB: 2048 } as const;
  const late = await h.world.tasks.launch({ ...request, runId: 'over', clientToken: 'late' });
  const foreign = await h.world.tasks.launch({ ...request, runId: 'somebody-else', clientToken: 'foreign' });
  await h.cloud.table.put(
    clusterPartition,
    'claim/over',
    { runId: 'over', kind: 'ec2', instances: 2 },
    { absent: true },
  );
  await h.cloud.table.put(
    clusterPartition,
    'claim/other',
    { runId: 'other', kind: 'ec2', instances: 1 },
    { absent: true },
  );
  expect(await functions.sweep({}, h.cloud)).toMatchObject({ orphans: [late.started[0], 'claim/over'] });
  expect(await h.alive('over')).toEqual([]);
  expect(await h.alive('somebody-else')).toEqual(foreign.started);
  expect(await h.cloud.table.query(clusterPartition, 'claim/')).toMatchObject([{ key: 'claim/other' }]);
  expect(h.world.controls.floors.get('ec2')?.floor).toBe(1);
  expect((await h.events('over')).map((event) => event.event)).toContain('task.orphaned');
  expect(await functions.sweep({}, h.cloud)).toMatchObject({ orphans: [] });
});

test('a run is looked at, scaled, cancelled and resumed through the control function', async () => {
  const h = harnessWith(async (task) => {
    await task.running();
    if (task.index === 0) await task.lead({ epochs: 1 });
    if (task.index === 3) await task.lead();
  });
  const ask = (request: object) => functions.control({ runId: 'asked', ...request }, h.cloud);
  expect(await ask({ action: 'status' })).toEqual({ kind: 'unknown' });
  const ended = h.run('asked', { config: config('cluster: { workers: { min: 1, max: 3 } }\n'), runId: 'asked' });
  await poll(async () => (await h.runRow('asked'))?.phase).toBe('training');
  expect(await ask({ action: 'scale', workers: 2 })).toEqual({ kind: 'changed', workers: 2, before: 3 });
  expect(await ask({ action: 'scale', workers: '1:2' })).toMatchObject({ kind: 'refused', why: /a range/ });
  expect(await ask({ action: 'resume' })).toMatchObject({ kind: 'refused', why: /has not ended/ });
  expect(await ask({ action: 'cancel', by: 'a person' })).toEqual({ kind: 'requested' });
  expect((await ended).error).toBe('Cancelled');
  expect(await ask({ action: 'cancel' })).toEqual({ kind: 'ended' });
  expect(await ask({ action: 'status' })).toMatchObject({ kind: 'status', run: { phase: 'cancelled' } });
  expect(await ask({ action: 'resume' })).toMatchObject({ kind: 'resumed' });
  expect((await h.workflow.wait(executionName('asked', 1))).status).toBe('SUCCEEDED');
  for (const wrong of [{ action: 'explode' }, { action: 'scale' }, { action: 'cancel', image: 'mine' }]) {
    expect(await ask(wrong)).toMatchObject({ kind: 'refused', why: /accepted: / });
  }
});

test('a resume that died before its execution began is answered the same again', async () => {
  const h = harnessWith((task) => task.running());
  const ended = h.run('twice', { config: config('cluster: { workers: 1 }\n'), runId: 'twice' });
  await poll(() => h.alive('twice')).toHaveLength(1);
  await cancelRun(h.cloud, 'twice', 'a person');
  await ended;
  const first = await reopenRun(h.cloud, 'twice');
  expect(await reopenRun(h.cloud, 'twice')).toEqual(first);
});

test('a launch that died between intent and call is finished with the same token', async () => {
  const h = harnessWith();
  h.world.controls.failNext('tasks.launch', new Error('the function died here'));
  const { status } = await h.run('died', { config: config(), runId: 'died' });
  expect(status).toBe('SUCCEEDED');
  const launches = await values<LaunchRow>(h.cloud, 'died', prefixes.launch);
  expect(launches).toHaveLength(1);
  expect(launches[0]).toMatchObject({ state: 'done', count: 2 });
  expect(h.calls.filter((name) => name === 'launch')).toHaveLength(2);
});

test('a signal is never lost between two turns', async () => {
  const h = harnessWith();
  expect(await raise(h.cloud, 'free', 'first')).toEqual({ seq: 1, woken: false });
  h.world.controls.openToken('t');
  await functions.watch(
    { runId: 'free', taskToken: 't', turn: 0, seen: 0 },
    { ...h.cloud, workflow: h.world.workflow },
  );
  expect(h.world.controls.answers.get('t')).toEqual({ signal: 1 });
});
