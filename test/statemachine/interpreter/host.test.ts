/** The workflow host: starting once, whoever starts; stopping; closing; telling the end; several processes. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { expect, test } from 'vitest';
import { createTokenWorkflow } from '../../../cloud/embedded/tokens.ts';
import type { StatusChangeEvent } from '../../../cloud/embedded/workflow.ts';
import { systemClock } from '../../../cloud/system-clock.ts';
import { after, historyOf, machine, openHost, temporaryFolder } from './machine.ts';
import { virtualClock } from './virtual-clock.ts';

const oneTask = machine(`
  A:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke
    Arguments: {FunctionName: f, Payload: '{% $states.input %}'}
    Output: '{% $states.result.Payload %}'
    End: true
`);
const longWait = machine('\n  A: {Type: Wait, Seconds: 1000000, End: true}\n');
const waitForToken = machine(`
  A:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke.waitForTaskToken
    Arguments: {FunctionName: f, Payload: {token: '{% $states.context.Task.Token %}'}}
    TimeoutSeconds: 60
    End: true
`);

test('start() starts a name once; the input of the first counts', async () => {
  let calls = 0;
  const f = async (input: unknown) => {
    calls += 1;
    return input;
  };
  const host = openHost(oneTask, { functions: { f } });
  const first = await host.start('run-1', { n: 1 });
  expect(first).toEqual({ kind: 'started', executionArn: 'arn:aws:states:local:000000000000:execution:train:run-1' });
  expect(await host.start('run-1', { n: 2 })).toEqual({ ...first, kind: 'exists' });
  expect(await host.wait('run-1')).toMatchObject({ status: 'SUCCEEDED', output: { n: 1 } });
  expect((await host.start('run-1', { n: 3 })).kind).toBe('exists');
  expect(calls).toBe(1);
});

test('two hosts that start one name at once run it once; both see its end', async () => {
  const stateDir = temporaryFolder();
  let calls = 0;
  const functions = {
    f: async () => {
      calls += 1;
      await systemClock.sleep(20);
      return calls;
    },
  };
  const hosts = [1, 2].map(() => openHost(oneTask, { stateDir, functions, clock: systemClock }));
  for (let round = 1; round <= 5; round++) {
    const name = `run-${round}`;
    const kinds = await Promise.all([...hosts, ...hosts].map(async (host) => (await host.start(name, {})).kind));
    expect(kinds.sort()).toEqual(['exists', 'exists', 'exists', 'started']);
    await Promise.all(hosts.map((host) => host.resumeAll()));
    const ends = await Promise.all(hosts.map((host) => host.wait(name)));
    expect(ends.map((end) => end.output)).toEqual([round, round]);
  }
  await Promise.all(hosts.map((host) => host.close()));
});

test.each([
  ['a name that leaves its folder', '../x'],
  ['an empty name', ''],
  ['a name that is too long', 'x'.repeat(81)],
])('start() refuses %s', async (_what, name) => {
  await expect(openHost(longWait).start(name, {})).rejects.toThrow('is no name for an execution');
});

test('start() refuses an input above 256 KiB and starts nothing', async () => {
  const host = openHost(longWait);
  await expect(host.start('big', 'x'.repeat(300_000))).rejects.toThrow('the input of execution big is 300002 bytes');
  expect(existsSync(join(host.stateDir, 'executions', 'big'))).toBe(false);
});

test('stop() ends an execution as ABORTED, tells it, and leaves no token open', async () => {
  const events: StatusChangeEvent[] = [];
  let token = '';
  const host = openHost(waitForToken, {
    clock: systemClock,
    functions: {
      f: async (input) => {
        token = (input as { token: string }).token;
      },
    },
    onStatusChange: (event) => {
      events.push(event);
    },
  });
  const { executionArn } = await host.start('run', { a: 1 });
  while (token === '') await systemClock.sleep(1);
  await host.stop(executionArn, 'not wanted any more');
  expect(await host.wait('run')).toMatchObject({ status: 'ABORTED', cause: 'not wanted any more' });
  expect(await host.succeedTask(token, 1)).toBe('gone');
  expect(readdirSync(join(host.stateDir, 'tokens'))).toEqual([]);
  await host.stop(executionArn, 'again');
  await host.stop('never-started', 'whatever');
  expect(events.map((event) => event.detail.status)).toEqual(['RUNNING', 'ABORTED']);
  expect(events[1]).toMatchObject({
    source: 'aws.states',
    'detail-type': 'Step Functions Execution Status Change',
    resources: [executionArn],
    detail: { name: 'run', executionArn, input: '{"a":1}', output: null, cause: 'not wanted any more' },
  });
  expect(events[1]?.detail.stopDate).toBeGreaterThan(0);
});

test('stop() reaches an execution that another host steps, and one that nobody steps', async () => {
  const stateDir = temporaryFolder();
  const open = () => openHost(longWait, { stateDir, clock: systemClock });
  const [owner, other] = [open(), open()];
  await owner.start('run', {});
  await other.stop('run', 'from outside');
  expect(await owner.wait('run')).toMatchObject({ status: 'ABORTED', cause: 'from outside' });
  await owner.start('left', {});
  await owner.close();
  expect(await other.describe('left')).toMatchObject({ status: 'RUNNING' });
  await other.stop('left', 'nobody there');
  expect(await other.wait('left')).toMatchObject({ status: 'ABORTED', cause: 'nobody there' });
});

test('close() ends nothing: wait() answers RUNNING, start() is refused, the next host goes on', async () => {
  const stateDir = temporaryFolder();
  const clock = virtualClock();
  const functions = { f: after(clock, 1000, 'done') };
  const host = openHost(oneTask, { stateDir, functions, clock: systemClock });
  await host.start('run', {});
  const waiting = host.wait('run');
  await host.close();
  expect(await waiting).toMatchObject({ status: 'RUNNING' });
  await expect(host.start('other', {})).rejects.toThrow('the workflow host is closed');
  const next = openHost(oneTask, { stateDir, functions, clock: systemClock });
  await next.resumeAll();
  expect(await next.wait('run')).toMatchObject({ status: 'SUCCEEDED', output: 'done' });
});

test('resume() takes up one execution and leaves the others', async () => {
  const stateDir = temporaryFolder();
  const functions = { f: async () => 'done' };
  const host = openHost(longWait, { stateDir });
  for (const name of ['one', 'two']) await host.start(name, {});
  await host.close();
  const next = openHost(longWait, { stateDir, functions });
  await next.resume('one');
  expect(await next.wait('one')).toMatchObject({ status: 'SUCCEEDED' });
  expect(await next.describe('two')).toMatchObject({ status: 'RUNNING', events: 2 });
  await next.resume('one');
  expect(await next.wait('one')).toMatchObject({ status: 'SUCCEEDED' });
});

test('wait() for what was never started is an error; describe() answers undefined', async () => {
  const host = openHost(longWait);
  await expect(host.wait('nothing')).rejects.toThrow('there is no execution "nothing"');
  expect(await host.describe('nothing')).toBeUndefined();
});

test('wait() answers after the end was told; an end that could not be told is told at the next open', async () => {
  const stateDir = temporaryFolder();
  const told: string[] = [];
  const open = (refuse: boolean) =>
    openHost(oneTask, {
      stateDir,
      clock: systemClock,
      functions: { f: async () => 1 },
      onStatusChange: async ({ detail }) => {
        await systemClock.sleep(20);
        if (refuse && detail.status !== 'RUNNING') throw new Error('nobody listens');
        told.push(detail.status);
      },
    });
  const host = open(true);
  await host.start('run', {});
  expect(await host.wait('run')).toMatchObject({ status: 'SUCCEEDED' });
  await host.close();
  expect(told).toEqual(['RUNNING']);
  for (const expected of [
    ['RUNNING', 'SUCCEEDED'],
    ['RUNNING', 'SUCCEEDED'],
  ]) {
    const again = open(false);
    await again.resumeAll();
    await again.close();
    expect(told).toEqual(expected);
  }
});

test('another process that answers a token is noticed within 50 ms', async () => {
  let token = '';
  const f = async (input: unknown) => {
    token = (input as { token: string }).token;
  };
  const host = openHost(waitForToken, { clock: systemClock, functions: { f } });
  await host.start('run', {});
  while (!historyOf(host.stateDir, 'run').types.includes('TaskSubmitted')) await systemClock.sleep(1);
  const outside = createTokenWorkflow(host.stateDir, systemClock);
  expect(await outside.heartbeatTask(token)).toBe('accepted');
  const answeredMs = systemClock.now();
  expect(await outside.succeedTask(token, 'from outside')).toBe('accepted');
  const end = await host.wait('run');
  expect(end.output).toBe('from outside');
  // 50 ms, and as much again for a busy machine.
  expect((end.stopMs ?? 0) - answeredMs).toBeLessThan(1000);
});

const script = (() => {
  let built: string | undefined;
  return () => {
    if (built !== undefined && existsSync(built)) return built;
    built = join(temporaryFolder(), 'host-process.mjs');
    buildSync({
      entryPoints: [join(import.meta.dirname, 'host-process.ts')],
      outfile: built,
      ...{ bundle: true, platform: 'node', format: 'esm', logLevel: 'silent' },
      banner: { js: "import{createRequire as r}from'node:module';const require=r(import.meta.url);" },
    });
    return built;
  };
})();

function startProcess(args: readonly string[], killWhen?: () => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script(), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    child.on('error', reject);
    const timer = setInterval(() => {
      if (killWhen?.()) child.kill('SIGKILL');
    }, 3);
    child.on('close', () => {
      clearInterval(timer);
      resolve(out);
    });
  });
}

test('three processes that start one name at once run it once', async () => {
  const folder = temporaryFolder();
  const log = join(folder, 'calls');
  const args = [join(folder, 'state'), 'run', log, '5', '20'];
  const outs = await Promise.all([startProcess(args), startProcess(args), startProcess(args)]);
  const ends = outs.map((out) => JSON.parse(out) as { kind: string; status: string; output: number });
  expect(ends.map((end) => end.kind).sort()).toEqual(['exists', 'exists', 'started']);
  for (const end of ends) expect(end).toMatchObject({ status: 'SUCCEEDED', output: 5 });
  expect(readFileSync(log, 'utf8')).toBe('0\n1\n2\n3\n4\n');
});

test('a process that is killed again and again loses nothing and repeats at most the step under way', async () => {
  const folder = temporaryFolder();
  const log = join(folder, 'calls');
  const args = [join(folder, 'state'), 'run', log, '40', '30'];
  const calls = () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').map(Number) : []);
  const kills = 5;
  for (let kill = 1; kill <= kills; kill++) {
    const enough = calls().length + 3 + kill;
    expect(await startProcess(args, () => calls().length >= enough)).toBe('');
  }
  const out = await startProcess(args);
  expect(JSON.parse(out)).toEqual({ kind: 'exists', status: 'SUCCEEDED', output: 40 });
  const steps = calls();
  expect(steps).toEqual([...steps].sort((a, b) => a - b));
  expect([...new Set(steps)]).toEqual(Array.from({ length: 40 }, (_, n) => n));
  expect(steps.length).toBeLessThanOrEqual(40 + kills);
});
