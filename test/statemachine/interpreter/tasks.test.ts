/** Timeouts, heartbeats and tokens of Task states. */
import { expect, test } from 'vitest';
import { createTokenStore, createTokenWorkflow } from '../../../cloud/embedded/tokens.ts';
import type { WorkflowFunction } from '../../../cloud/embedded/workflow.ts';
import { after, machine, NamedError, openHost, runMachine, temporaryFolder } from './machine.ts';
import { virtualClock } from './virtual-clock.ts';

const state = (resource: string, rest: string) =>
  machine(`
  A:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke${resource}
    Arguments: {FunctionName: f, Payload: {token: '{% $states.context.${resource === '' ? 'State.Name' : 'Task.Token'} %}'}}
    ${rest}
    Catch:
      - {ErrorEquals: [States.HeartbeatTimeout], Output: '{% "heartbeat: " & $states.errorOutput.Cause %}', Next: Z}
      - {ErrorEquals: [States.Timeout], Output: '{% "timeout: " & $states.errorOutput.Cause %}', Next: Z}
    End: true
  Z: {Type: Succeed}
`);
const invoked = (rest: string) => state('', rest);
const waiting = (rest: string) => state('.waitForTaskToken', rest);
const tokenOf = (input: unknown) => (input as { token: string }).token;

test('TimeoutSeconds ends a task that takes longer, at that time; also as an expression', async () => {
  for (const seconds of ['30', "'{% $states.input.limit %}'"]) {
    const clock = virtualClock();
    const began = clock.now();
    const functions = { f: after(clock, 60_000, 'late') };
    const ran = await runMachine(invoked(`TimeoutSeconds: ${seconds}`), { clock, functions, input: { limit: 30 } });
    expect(ran.output).toBe('timeout: the task did not end within 30 s');
    expect(ran.types).toContain('TaskTimedOut');
    // Of the execution: what is tidied up afterwards takes time of its own.
    expect((ran.stopMs ?? Number.POSITIVE_INFINITY) - began).toBeLessThan(40_000);
  }
});

test('TimeoutSeconds that is no whole number is States.QueryEvaluationError', async () => {
  const options = { functions: { f: async () => 1 }, input: { limit: 0.5 } };
  const ran = await runMachine(invoked("TimeoutSeconds: '{% $states.input.limit %}'"), options);
  expect(ran).toMatchObject({ status: 'FAILED', error: 'States.QueryEvaluationError' });
  expect(ran.cause).toBe('A.TimeoutSeconds: 0.5; accepted: a whole number from 1 to 99999999');
});

test('a function beyond its own timeout is Sandbox.Timedout', async () => {
  const clock = virtualClock();
  const functions = { f: after(clock, 60_000, 'late') };
  const ran = await runMachine(invoked('TimeoutSeconds: 50'), { clock, functions, functionTimeoutMs: () => 3000 });
  expect(ran).toMatchObject({ status: 'FAILED', error: 'Sandbox.Timedout' });
  expect(JSON.parse(ran.cause ?? '').errorMessage).toBe('Task timed out after 3.00 seconds');
});

test('a token state waits for its answer, which is its result; it takes 6 events', async () => {
  const clock = virtualClock();
  const host = openHost(waiting('TimeoutSeconds: 1000'), {
    clock,
    functions: {
      f: async (input) => {
        clock.sleep(500_000).then(() => host.succeedTask(tokenOf(input), { signal: 3 }));
        return 'ignored';
      },
    },
  });
  await host.start('test', {});
  expect(await host.wait('test')).toMatchObject({ status: 'SUCCEEDED', output: { signal: 3 }, events: 2 + 6 });
});

test('an answer counts that is given before the function returns', async () => {
  const clock = virtualClock();
  const host = openHost(waiting('TimeoutSeconds: 1000'), {
    clock,
    functions: {
      f: async (input) => {
        expect(await host.succeedTask(tokenOf(input), 'first')).toBe('accepted');
        expect(await host.succeedTask(tokenOf(input), 'second')).toBe('gone');
        expect(await host.heartbeatTask(tokenOf(input))).toBe('gone');
      },
    },
  });
  await host.start('test', {});
  expect((await host.wait('test')).output).toBe('first');
});

test('a function that fails fails its token state, and the token is gone', async () => {
  let token = '';
  const f: WorkflowFunction = async (input) => {
    token = tokenOf(input);
    throw new NamedError('Oh');
  };
  const host = openHost(waiting('TimeoutSeconds: 1000'), { functions: { f } });
  await host.start('test', {});
  expect(await host.wait('test')).toMatchObject({ status: 'FAILED', error: 'Oh' });
  expect(await host.succeedTask(token, 1)).toBe('gone');
});

test('without a heartbeat the state ends at its HeartbeatSeconds; every heartbeat starts the time anew', async () => {
  for (const [beats, ended] of [
    [0, 60],
    [3, 210],
  ] as const) {
    const clock = virtualClock();
    const began = clock.now();
    let token = '';
    const host = openHost(waiting('HeartbeatSeconds: 60\n    TimeoutSeconds: 1000'), {
      clock,
      functions: {
        f: async (input) => {
          token = tokenOf(input);
          const beat = async () => {
            for (let count = 0; count < beats; count++) {
              await clock.sleep(50_000);
              expect(await host.heartbeatTask(token)).toBe('accepted');
            }
          };
          void beat();
        },
      },
    });
    await host.start('test', {});
    expect((await host.wait('test')).output).toBe('heartbeat: no heartbeat for 60 s');
    expect((clock.now() - began) / 1000).toBe(ended);
    expect(await host.heartbeatTask(token)).toBe('gone');
    expect(await host.succeedTask(token, 1)).toBe('gone');
  }
});

test('TimeoutSeconds ends a token state however often it is alive', async () => {
  const clock = virtualClock();
  const host = openHost(waiting('HeartbeatSeconds: 60\n    TimeoutSeconds: 100'), {
    clock,
    functions: {
      f: async (input) => {
        const beat = async () => {
          while ((await host.heartbeatTask(tokenOf(input))) === 'accepted') await clock.sleep(30_000);
        };
        void beat();
      },
    },
  });
  await host.start('test', {});
  expect((await host.wait('test')).output).toBe('timeout: the task did not end within 100 s');
});

test('TimeoutSeconds of the machine ends the execution as TIMED_OUT, past every Catch', async () => {
  const clock = virtualClock();
  const states = '\n  A: {Type: Wait, Seconds: 50, Next: B}\n  B: {Type: Wait, Seconds: 50, Next: A}\n';
  const ran = await runMachine(machine(states, 'TimeoutSeconds: 180'), { clock });
  expect(ran).toMatchObject({ status: 'TIMED_OUT', error: 'States.Timeout' });
  expect((ran.stopMs ?? 0) - ran.startMs).toBe(180_000);
});

test('a token is answered once, by whoever comes first, and never after it was closed', async () => {
  const stateDir = temporaryFolder();
  const [store, other] = [createTokenStore(stateDir), createTokenStore(stateDir)];
  expect(store.answer('00112233', 1)).toBe('gone');
  for (const bad of ['../../etc/passwd', '', 'x', '0011223344/..']) expect(store.answer(bad, 1)).toBe('gone');
  store.open('00112233', 'test');
  expect([other.answer('00112233', 1), store.answer('00112233', 2)]).toEqual(['accepted', 'gone']);
  expect(store.close('00112233')).toEqual({ kind: 'answered', output: 1 });
  store.forget('00112233');
  expect([other.answer('00112233', 1), other.beat('00112233')]).toEqual(['gone', 'gone']);
  store.open('44556677', 'test');
  expect(store.close('44556677')).toEqual({ kind: 'closed' });
  expect([other.answer('44556677', 1), other.beat('44556677')]).toEqual(['gone', 'gone']);
  expect(store.close('44556677')).toEqual({ kind: 'closed' });
});

test('an answer above 256 KiB is refused', () => {
  const store = createTokenStore(temporaryFolder());
  store.open('00112233', 'test');
  expect(() => store.answer('00112233', 'x'.repeat(300_000))).toThrow('300002 bytes; accepted: at most 262144');
  expect(store.answer('00112233', 'x')).toBe('accepted');
});

test('createTokenWorkflow() answers tokens and refuses to start or stop', async () => {
  const stateDir = temporaryFolder();
  const workflow = createTokenWorkflow(stateDir, virtualClock());
  createTokenStore(stateDir).open('00112233', 'test');
  expect(await workflow.heartbeatTask('00112233')).toBe('accepted');
  expect(await workflow.succeedTask('00112233', { signal: 1 })).toBe('accepted');
  expect(await workflow.succeedTask('00112233', { signal: 1 })).toBe('gone');
  await expect(workflow.start('x', {})).rejects.toThrow('there is no workflow host in this process');
  await expect(workflow.stop('x', 'y')).rejects.toThrow('there is no workflow host in this process');
});
