/** Killing the process at any moment and opening again: same end, same history, nothing done twice that was recorded. */
import { cpSync, readFileSync, truncateSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createTokenStore } from '../../../cloud/embedded/tokens.ts';
import type { StatusChangeEvent, WorkflowHost } from '../../../cloud/embedded/workflow.ts';
import { historyOf, journalPath, machine, NamedError, openHost, temporaryFolder } from './machine.ts';
import { virtualClock } from './virtual-clock.ts';

const lambda = 'Type: Task\n    Resource: arn:aws:states:::lambda:invoke\n    Arguments: {FunctionName: f, Payload: ';
const everything = machine(
  `
  Begin: {Type: Pass, Assign: {n: 0, seen: []}, Next: Flaky}
  Flaky:
    ${lambda}'{% {"fail": $states.context.State.RetryCount < 2, "value": $n} %}'}
    Retry: [{ErrorEquals: [Flaky], JitterStrategy: FULL}]
    Assign: {seen: '{% [$seen, $states.result.Payload] %}'}
    TimeoutSeconds: 60
    Next: Sleep
  Sleep: {Type: Wait, Seconds: 3600, Next: Ask}
  Ask:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke.waitForTaskToken
    Arguments: {FunctionName: ask, Payload: {token: '{% $states.context.Task.Token %}', n: '{% $n %}'}}
    HeartbeatSeconds: 900
    TimeoutSeconds: 7200
    Assign: {answer: '{% $states.result %}'}
    Next: Broken
  Broken:
    ${lambda}{fail: true}}
    Catch: [{ErrorEquals: [States.ALL], Assign: {caught: '{% $states.errorOutput.Error %}'}, Next: Each}]
    Next: Never
  Never: {Type: Fail, Error: Never}
  Each:
    Type: Map
    Items: [1, 2, 3]
    MaxConcurrency: 2
    ItemProcessor:
      StartAt: Nap
      States:
        Nap: {Type: Wait, Seconds: '{% $states.input %}', Assign: {mine: '{% $states.input * 10 %}'}, Next: Work}
        Work:
          ${lambda.replace(/\n/g, '\n      ')}'{% {"fail": $mine = 20 and $states.context.State.RetryCount < 1, "value": $mine} %}'}
          Retry: [{ErrorEquals: [Flaky]}]
          Output: '{% $states.result.Payload %}'
          End: true
    Assign: {each: '{% $states.result %}'}
    Next: Both
  Both:
    Type: Parallel
    Branches:
      - StartAt: Left
        States:
          Left: {Type: Wait, Seconds: 7, Next: Left2}
          Left2: {Type: Succeed, Output: '{% $n %}'}
      - {StartAt: Right, States: {Right: {Type: Pass, Output: right, End: true}}}
    Assign: {both: '{% $states.result %}'}
    Next: Again
  Again:
    Type: Choice
    Choices: [{Condition: '{% $n < 1 %}', Assign: {n: '{% $n + 1 %}'}, Next: Flaky}]
    Default: End
  End: {Type: Succeed, Output: '{% {"n": $n, "seen": $seen, "answer": $answer, "caught": $caught, "each": $each, "both": $both} %}'}
`,
  'TimeoutSeconds: 100000',
);

/** Functions count their calls by what they were asked. */
function openEverything(stateDir?: string) {
  const clock = virtualClock();
  const calls: string[] = [];
  const events: StatusChangeEvent[] = [];
  const host: WorkflowHost & { stateDir: string } = openHost(everything, {
    clock,
    ...(stateDir === undefined ? {} : { stateDir }),
    onStatusChange: (event) => {
      events.push(event);
    },
    functions: {
      f: async (input) => {
        calls.push(JSON.stringify(input));
        const { fail, value } = input as { fail: boolean; value?: number };
        if (fail) throw new NamedError('Flaky');
        return value;
      },
      ask: async (input) => {
        const { token, n } = input as { token: string; n: number };
        calls.push(`ask ${n}`);
        clock.sleep(600_000).then(() => host.heartbeatTask(token));
        clock.sleep(1_200_000).then(() => host.succeedTask(token, { answered: n }));
      },
    },
  });
  return { host, calls, events };
}

const sorted = (types: readonly string[]) => [...types].sort();

test('from every prefix of the journal, also in the middle of a line, the execution comes to the same end', async () => {
  const first = openEverything();
  await first.host.start('test', { in: 1 });
  const whole = await first.host.wait('test');
  expect(whole).toMatchObject({
    status: 'SUCCEEDED',
    output: {
      n: 1,
      seen: [0, 1],
      answer: { answered: 1 },
      caught: 'Flaky',
      each: [10, 20, 30],
      both: [1, 'right'],
    },
  });
  await first.host.close();
  const { types } = historyOf(first.host.stateDir, 'test');
  const journal = readFileSync(journalPath(first.host.stateDir, 'test'));
  const lineEnds = [...journal.keys()].filter((at) => journal[at] === 10).map((at) => at + 1);
  // A line that is cut in the middle is as if it were not there, so some of them will do.
  const halves = lineEnds.filter((_, index) => index % 6 === 0).map((end) => end + 20);
  const cuts = [0, ...lineEnds, ...halves.filter((at) => at < journal.length)];
  expect(cuts.length).toBeGreaterThan(100);

  for (const cut of cuts) {
    const stateDir = temporaryFolder();
    cpSync(first.host.stateDir, stateDir, { recursive: true });
    truncateSync(journalPath(stateDir, 'test'), cut);
    const second = openEverything(stateDir);
    await second.host.resumeAll();
    const resumed = await second.host.wait('test');
    await second.host.close();
    expect(resumed.output, `cut at byte ${cut}`).toEqual(whole.output);
    // The branches of Map and Parallel may have taken their steps in another order.
    expect(sorted(historyOf(stateDir, 'test').types), `cut at byte ${cut}`).toEqual(sorted(types));
    // Only what was under way is done again; what the prefix had recorded is not.
    const kept = journal.subarray(0, lineEnds.findLast((end) => end <= cut) ?? 0).toString();
    const recorded = kept.match(/"type":"Task(Succeeded|Failed)"/g)?.length ?? 0;
    expect(recorded + second.calls.length, `cut at byte ${cut}`).toBe(first.calls.length);
    const delivered = kept.includes('"StatusDelivered"');
    expect(second.events.filter((event) => event.detail.status === 'SUCCEEDED').length).toBe(delivered ? 0 : 1);
  }
}, 120_000);

test('an execution that is interrupted over and over comes to the same end', async () => {
  const stateDir = temporaryFolder();
  const begun = openEverything(stateDir);
  await begun.host.start('test', {});
  let rounds = 0;
  for (;;) {
    const { host } = rounds === 0 ? begun : openEverything(stateDir);
    await host.resumeAll();
    const ended = host.wait('test');
    for (let turn = 0; turn < 4 + (rounds % 7); turn++) await new Promise((resolve) => setImmediate(resolve));
    await host.close();
    rounds += 1;
    if ((await ended).status !== 'RUNNING') break;
    expect(rounds).toBeLessThan(500);
  }
  expect(rounds).toBeGreaterThan(5);
  const { host } = openEverything(stateDir);
  expect(await host.wait('test')).toMatchObject({
    status: 'SUCCEEDED',
    output: { n: 1, seen: [0, 1], each: [10, 20, 30] },
  });
});

const asking = machine(`
  Ask:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke.waitForTaskToken
    Arguments: {FunctionName: ask, Payload: {token: '{% $states.context.Task.Token %}'}}
    TimeoutSeconds: 1000
    End: true
`);

async function interruptedWhileAsking() {
  const stateDir = temporaryFolder();
  const tokens: string[] = [];
  const ask = async (input: unknown) => {
    tokens.push((input as { token: string }).token);
  };
  // A clock that stands still: nothing may time out while the test acts.
  const clock = { ...virtualClock(), sleep: () => new Promise<void>(() => undefined) };
  const open = () => openHost(asking, { stateDir, clock, functions: { ask }, ids: { hex: (n) => randomHex(n) } });
  const host = open();
  await host.start('test', {});
  while (!historyOf(stateDir, 'test').types.includes('TaskSubmitted')) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  clock.sleep = () => Promise.resolve();
  await host.close();
  clock.sleep = () => new Promise<void>(() => undefined);
  return { stateDir, tokens, open };
}

let randomCount = 0;
const randomHex = (bytes: number) => (++randomCount).toString(16).padStart(bytes * 2, 'a');

test('an answer that was accepted while no host was running counts; the function is not called again', async () => {
  const { stateDir, tokens, open } = await interruptedWhileAsking();
  expect(createTokenStore(stateDir).answer(tokens[0] ?? '', 'while away')).toBe('accepted');
  const host = open();
  await host.resumeAll();
  expect(await host.wait('test')).toMatchObject({ status: 'SUCCEEDED', output: 'while away', events: 8 });
  expect(tokens.length).toBe(1);
});

test('without an answer the function is called again with a new token, and the old one is gone', async () => {
  const { tokens, open } = await interruptedWhileAsking();
  const host = open();
  await host.resumeAll();
  while (tokens.length < 2) await new Promise((resolve) => setImmediate(resolve));
  expect(tokens[1]).not.toBe(tokens[0]);
  expect(await host.succeedTask(tokens[0] ?? '', 'old')).toBe('gone');
  expect(await host.succeedTask(tokens[1] ?? '', 'new')).toBe('accepted');
  expect(await host.wait('test')).toMatchObject({ status: 'SUCCEEDED', output: 'new', events: 8 });
});

test('time without a host does not count for TimeoutSeconds of the machine, but for a Wait', async () => {
  const stateDir = temporaryFolder();
  const text = machine(
    '\n  A: {Type: Wait, Seconds: 100, Next: B}\n  B: {Type: Wait, Seconds: 100, End: true}\n',
    'TimeoutSeconds: 150',
  );
  const before = openHost(text, { stateDir });
  await before.start('test', {});
  await before.close();
  const clock = virtualClock(Date.UTC(2026, 0, 2));
  const host = openHost(text, { stateDir, clock });
  const began = clock.now();
  await host.resumeAll();
  // A had long ended when the host came back; B takes its 100 s.
  expect(await host.wait('test')).toMatchObject({ status: 'SUCCEEDED' });
  expect(clock.now() - began).toBe(100_000);
});

test('an execution keeps the definition that it was started with', async () => {
  const stateDir = temporaryFolder();
  const version = (n: number) =>
    machine(`\n  A: {Type: Wait, Seconds: 10, Next: B}\n  B: {Type: Pass, Output: ${n}, End: true}\n`);
  const before = openHost(version(1), { stateDir });
  await before.start('old', {});
  await before.close();
  const host = openHost(version(2), { stateDir });
  await host.resumeAll();
  await host.start('new', {});
  expect([(await host.wait('old')).output, (await host.wait('new')).output]).toEqual([1, 2]);
});
