/** Embedded tasks as what they are: processes that hang, are killed, and lose their host. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { BusEvent } from '../../cloud/embedded/events.ts';
import { startOf } from '../../cloud/embedded/processes.ts';
import type { EmbeddedWorld } from '../../cloud/embedded/world.ts';
import { readTaskChange } from '../../core/platform-events.ts';
import { closeWorlds, newFolder, newWorld, otherProcess, taskEntry } from '../support/embedded.ts';
import { launchRequest } from './task-runner.ts';

const foreign: ChildProcess[] = [];
afterEach(async () => {
  for (const child of foreign.splice(0)) child.kill('SIGKILL');
  await closeWorlds();
});

const runId = launchRequest().runId;
const soon = { timeout: 8000, interval: 20 };
const pidOf = (world: { stateDir: string }, taskId: string): number =>
  JSON.parse(readFileSync(join(world.stateDir, 'tasks', taskId, 'process.json'), 'utf8')).pid;

async function launchOne(world: EmbeddedWorld, change: Parameters<typeof launchRequest>[0] = {}): Promise<string> {
  const { started } = await world.tasks.launch(launchRequest({ count: 1, ...change }));
  return started[0] ?? '';
}

function watch(world: EmbeddedWorld): BusEvent[] {
  const events: BusEvent[] = [];
  world.bus.subscribe((event) => void events.push(event));
  return events;
}

function stoppedOf(events: readonly BusEvent[], taskId: string): BusEvent['detail'] | undefined {
  return events.find(({ detail }) => detail.taskArn === taskId && detail.lastStatus === 'STOPPED')?.detail;
}

async function untilPrinted(world: EmbeddedWorld, taskId: string, text: string): Promise<string> {
  return vi.waitFor(() => {
    const log = readFileSync(world.runner.logPath(taskId), 'utf8');
    expect(log).toContain(text);
    return log;
  }, soon);
}

describe('an embedded task', () => {
  it('has the environment of a task and its output in log.txt', async () => {
    const world = await newWorld();
    const taskId = await launchOne(world, { role: 'parameter-server' });
    const log = await untilPrinted(world, taskId, 'to standard error');
    expect(JSON.parse(log.split('\n').find((line) => line.startsWith('{')) ?? '')).toEqual({
      CUTTLEFISH_WORLD: 'embedded',
      CUTTLEFISH_STATE_DIR: world.stateDir,
      CUTTLEFISH_RUN_ID: runId,
      CUTTLEFISH_ROLE: 'parameter-server',
      CUTTLEFISH_TASK_ID: taskId,
    });
  });

  it('makes events that read as those of ECS', async () => {
    const world = await newWorld({ env: { DO: 'exit 64' } });
    const events = watch(world);
    const taskId = await launchOne(world, { role: 'parameter-server' });
    await vi.waitFor(() => expect(stoppedOf(events, taskId)).toBeDefined(), soon);
    expect(events.map(({ detail }) => detail.lastStatus)).toEqual(['RUNNING', 'STOPPED']);
    expect(events[1]).toMatchObject({ source: 'aws.ecs', 'detail-type': 'ECS Task State Change' });
    const role = 'parameter-server';
    expect(readTaskChange(events[0])).toMatchObject({ taskId, runId, role, state: 'running' });
    expect(readTaskChange(events[1])).toMatchObject({
      taskId,
      runId,
      role,
      state: 'stopped',
      stop: { code: 'EssentialContainerExited', exitCode: 64 },
    });
    const [task] = await world.tasks.list(runId);
    expect(task?.stop).toEqual(readTaskChange(events[1])?.stop);
  });

  it('that is killed from outside ends with 137', async () => {
    const world = await newWorld();
    const events = watch(world);
    const taskId = await launchOne(world);
    process.kill(pidOf(world, taskId), 'SIGKILL');
    await vi.waitFor(() => expect(stoppedOf(events, taskId)).toBeDefined(), soon);
    expect(stoppedOf(events, taskId)).toMatchObject({
      stopCode: 'EssentialContainerExited',
      containers: [{ exitCode: 137, reason: 'ended by SIGKILL' }],
    });
  });

  it('can be stopped, and has stopped, where nothing can be written any more', async () => {
    const world = await newWorld();
    const events = watch(world);
    const taskId = await launchOne(world);
    await untilPrinted(world, taskId, 'to standard error');
    rmSync(world.state.tmp, { recursive: true });
    writeFileSync(world.state.tmp, '');
    await world.tasks.stop(taskId, 'cuttlefish: the run has ended');
    await vi.waitFor(() => expect(stoppedOf(events, taskId)).toBeDefined(), soon);
    expect(stoppedOf(events, taskId)).toMatchObject({ stoppedReason: 'cuttlefish: the run has ended' });
    expect(await world.tasks.list(runId)).toMatchObject([{ taskId, state: 'stopped' }]);
  });

  it('that cannot be started is a task that failed to start, with no containers', async () => {
    const world = await newWorld();
    const { createTasks } = await import('../../cloud/embedded/tasks.ts');
    const { state, bus, clock, ids } = world;
    const tasks = createTasks({ state, bus, clock, ids, taskEntry, execPath: '/no/such/program' });
    const events = watch(world);
    const { started, failures } = await tasks.launch(launchRequest({ count: 2 }));
    expect(failures).toEqual([]);
    await vi.waitFor(() => expect(events).toHaveLength(2), soon);
    expect(stoppedOf(events, started[0] ?? '')).toMatchObject({
      stopCode: 'TaskFailedToStart',
      stoppedReason: expect.stringContaining('ENOENT'),
      containers: [],
    });
    expect((await tasks.list(runId)).map(({ state }) => state)).toEqual(['stopped', 'stopped']);
  });

  it.each([
    ['is deaf to SIGTERM', 'deaf', undefined],
    ['is stopped with SIGSTOP', 'wait', 'SIGSTOP' as const],
  ])('that %s is killed after the stop timeout', async (_, what, signal) => {
    const world = await newWorld({ env: { DO: what }, stopTimeoutMs: 300 });
    const events = watch(world);
    const taskId = await launchOne(world);
    await untilPrinted(world, taskId, what === 'deaf' ? 'deaf' : 'standard error');
    if (signal) process.kill(pidOf(world, taskId), signal);
    const before = performance.now();
    await world.tasks.stop(taskId, 'enough');
    await vi.waitFor(() => expect(stoppedOf(events, taskId)).toBeDefined(), soon);
    expect(performance.now() - before).toBeGreaterThan(290);
    expect(stoppedOf(events, taskId)).toMatchObject({
      stopCode: 'UserInitiated',
      stoppedReason: 'enough',
      containers: [{ exitCode: 137 }],
    });
  });

  it('that is interrupted has the stop code of Spot', async () => {
    const world = await newWorld();
    const events = watch(world);
    const taskId = await launchOne(world);
    await world.runner.interrupt(taskId);
    await vi.waitFor(() => expect(stoppedOf(events, taskId)).toMatchObject({ stopCode: 'SpotInterruption' }), soon);
  });

  it('is refused while failures are injected or there is no capacity of its kind', async () => {
    const world = await newWorld({ capacity: { kinds: { 'fargate-spot': 0 } } });
    world.runner.injectLaunchFailures(2);
    const first = await world.tasks.launch(launchRequest({ count: 3, kind: 'ec2' }));
    expect(first).toMatchObject({ started: [expect.any(String)], failures: ['RESOURCE:MEMORY', 'RESOURCE:MEMORY'] });
    const spot = await world.tasks.launch(launchRequest({ count: 1, kind: 'fargate-spot', clientToken: 'spot' }));
    expect(spot.started).toEqual([]);
    expect(spot.failures[0]).toMatch(/^Capacity is unavailable at this time\./);
    expect(await launchOne(world, { kind: 'fargate', clientToken: 'fargate' })).not.toBe('');
  });
});

describe('capacity.json of the state folder', () => {
  it('limits what is launched from then on, and no longer once it is gone', async () => {
    const world = await newWorld();
    const file = join(world.stateDir, 'capacity.json');
    writeFileSync(file, '{"maxTasks": 1}');
    const scarce = await world.tasks.launch(launchRequest({ count: 3, kind: 'local' }));
    expect([scarce.started.length, scarce.failures.length]).toEqual([1, 2]);
    writeFileSync(file, '{"maxTasks": 9, "kinds": {"local": 0}}');
    expect((await world.tasks.launch(launchRequest({ kind: 'local', clientToken: '2' }))).started).toEqual([]);
    rmSync(file);
    expect((await world.tasks.launch(launchRequest({ kind: 'local', clientToken: '3' }))).failures).toEqual([]);
  });

  it('that says something else is an error, not room without end', async () => {
    const world = await newWorld();
    for (const text of ['{"maxTasks": -1}', '{"max": 3}', '[]', '{"kinds": 3}', 'nonsense']) {
      writeFileSync(join(world.stateDir, 'capacity.json'), text);
      await expect(world.tasks.launch(launchRequest({ clientToken: text })), text).rejects.toThrow(/capacity\.json/);
    }
    expect(await world.tasks.list('run-1')).toEqual([]);
  });

  it('may be there before the folder is a state folder', async () => {
    const stateDir = newFolder();
    writeFileSync(join(stateDir, 'capacity.json'), '{"maxTasks": 0}');
    const world = await newWorld({ stateDir });
    expect((await world.tasks.launch(launchRequest({}))).started).toEqual([]);
  });
});

describe('embedded tasks and their host', () => {
  it('end when the host exits', async () => {
    const stateDir = newFolder();
    const host = otherProcess('host', { stateDir, taskEntry, env: { DO: 'deaf' }, count: 2 });
    const pids = (await host.next<{ started: string[] }>()).started.map((id) => pidOf({ stateDir }, id));
    host.send('exit');
    await host.ended;
    await vi.waitFor(() => expect(pids.map(startOf)).toEqual([undefined, undefined]), soon);
  });

  it('end when the host is killed, and the next host tells how', async () => {
    const stateDir = newFolder();
    const host = otherProcess('host', { stateDir, taskEntry, env: {}, count: 2 });
    const { started } = await host.next<{ started: string[] }>();
    const pids = started.map((id) => pidOf({ stateDir }, id));
    host.child.kill('SIGKILL');
    await host.ended;
    await vi.waitFor(() => expect(pids.map(startOf)).toEqual([undefined, undefined]), soon);

    const world = await newWorld({ stateDir });
    expect((await world.tasks.list('run-1')).map(({ state }) => state)).toEqual(['stopped', 'stopped']);
    const events = watch(world);
    expect([...(await world.runner.reapLeftovers())].sort()).toEqual([...started].sort());
    await world.bus.settled();
    for (const id of started) expect(stoppedOf(events, id)).toMatchObject({ stopCode: 'InfrastructureHealth' });
    expect(await world.runner.reapLeftovers()).toEqual([]);
    // The token still belongs to that launch, so it starts nothing again.
    const again = await world.tasks.launch(launchRequest({ runId: 'run-1', count: 2 }));
    expect([...again.started].sort()).toEqual([...started].sort());
    expect(await world.tasks.list('run-1')).toHaveLength(2);
  });

  it('that hang when the host is killed are ended by the next one; another process with such an id is not', async () => {
    const stateDir = newFolder();
    const host = otherProcess('host', { stateDir, taskEntry, env: {}, count: 2 });
    const { started } = await host.next<{ started: string[] }>();
    const [hanging = '', reused = ''] = started;
    const pid = pidOf({ stateDir }, hanging);
    process.kill(pid, 'SIGSTOP');
    host.child.kill('SIGKILL');
    await host.ended;
    await vi.waitFor(() => expect(startOf(pidOf({ stateDir }, reused))).toBeUndefined(), soon);
    expect(startOf(pid)).toBeDefined();

    // The id of the other task now belongs to a process of somebody else.
    const other = spawn('sleep', ['60']);
    foreign.push(other);
    const { writeFileSync } = await import('node:fs');
    const record = join(stateDir, 'tasks', reused, 'process.json');
    writeFileSync(record, JSON.stringify({ ...JSON.parse(readFileSync(record, 'utf8')), pid: other.pid }));

    const world = await newWorld({ stateDir });
    expect([...(await world.runner.reapLeftovers())].sort()).toEqual([...started].sort());
    expect(startOf(pid)).toBeUndefined();
    expect(startOf(other.pid ?? 0)).toBeDefined();
    expect((await world.tasks.list('run-1')).map(({ state }) => state)).toEqual(['stopped', 'stopped']);
  });

  it('can be stopped from another process, with the reason kept', async () => {
    const stateDir = newFolder();
    const host = otherProcess('host', { stateDir, taskEntry, env: { DO: 'deaf' }, count: 1 });
    const [taskId = ''] = (await host.next<{ started: string[] }>()).started;
    const world = await newWorld({ stateDir, stopTimeoutMs: 200 });
    expect((await world.tasks.list('run-1'))[0]).toMatchObject({ taskId, state: 'running' });
    expect(await world.runner.reapLeftovers()).toEqual([]);
    await untilPrinted(world, taskId, 'deaf');
    await world.tasks.stop(taskId, 'from elsewhere');
    await vi.waitFor(async () => {
      const [task] = await world.tasks.list('run-1');
      expect(task).toMatchObject({ state: 'stopped', stop: { code: 'UserInitiated', exitCode: 137 } });
      expect(task?.stop?.reason).toMatch(/^from elsewhere/);
    }, soon);
  });

  it('are all gone after stopAll', async () => {
    const world = await newWorld({ env: { DO: 'deaf' }, stopTimeoutMs: 200 });
    const { started } = await world.tasks.launch(launchRequest({ count: 3 }));
    const pids = started.map((id) => pidOf(world, id));
    await world.runner.stopAll();
    expect(pids.map(startOf)).toEqual([undefined, undefined, undefined]);
    expect((await world.tasks.list(runId)).every(({ state }) => state === 'stopped')).toBe(true);
  });
});

describe('the bus', () => {
  it('delivers in order, again after an error, and to each listener by itself', async () => {
    const world = await newWorld();
    const seen: unknown[] = [];
    let refusals = 2;
    world.bus.subscribe(async (event) => {
      if (event.detail.n === 1 && refusals-- > 0) throw new Error('not now');
      seen.push(event.detail.n);
    });
    const quick: unknown[] = [];
    const stop = world.bus.subscribe((event) => void quick.push(event.detail.n));
    for (const n of [1, 2, 3]) world.bus.publish({ source: 'test', 'detail-type': 'Test', detail: { n } });
    await vi.waitFor(() => expect(quick).toEqual([1, 2, 3]));
    expect(seen).toEqual([]);
    await world.bus.settled();
    expect(seen).toEqual([1, 2, 3]);
    stop();
    await world.notices.publish('cuttlefish.run.finished', { n: 4 });
    await world.bus.settled();
    expect([seen.at(-1), quick.at(-1)]).toEqual([4, 3]);
    expect(existsSync(world.stateDir)).toBe(true);
  });
});
