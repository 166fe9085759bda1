/** Every kind of state, its data flow, and how many history events it takes. */
import { expect, test } from 'vitest';
import { after, machine, NamedError, runMachine } from './machine.ts';
import { virtualClock } from './virtual-clock.ts';

const invoke = 'Type: Task\n    Resource: arn:aws:states:::lambda:invoke\n    Arguments:\n      FunctionName:';

test('Pass gives its Output, assigns variables, and both see the values from before', async () => {
  const text = machine(`
  A:
    Type: Pass
    Assign: {count: 1, who: '{% $states.input.who %}'}
    Next: B
  B:
    Type: Pass
    Assign: {count: '{% $count + 1 %}'}
    Output: {seen: '{% $count %}', who: '{% $who %}', list: [1, '{% $states.context.State.Name %}']}
    Next: C
  C:
    Type: Pass
    Output: {after: '{% $count %}', before: '{% $states.input %}'}
    End: true
`);
  const ran = await runMachine(text, { input: { who: 'squid' } });
  expect(ran).toMatchObject({
    status: 'SUCCEEDED',
    output: { after: 2, before: { seen: 1, who: 'squid', list: [1, 'B'] } },
    events: 8,
  });
});

test('Pass without Output hands its input on', async () => {
  const ran = await runMachine(machine('\n  A: {Type: Pass, End: true}\n'), { input: { x: [1] } });
  expect(ran.output).toEqual({ x: [1] });
  expect(ran.types).toEqual(['ExecutionStarted', 'PassStateEntered', 'PassStateExited', 'ExecutionSucceeded']);
});

test('Task calls its function and finds the answer under Payload; it takes 5 events', async () => {
  const text = machine(`
  A:
    ${invoke} add
      Payload: {a: '{% $states.input.a %}', b: 2}
    Output: '{% $states.result.Payload %}'
    Assign: {code: '{% $states.result.StatusCode %}'}
    Next: B
  B: {Type: Pass, Output: '{% {"sum": $states.input.sum, "code": $code} %}', End: true}
`);
  const add = async (input: unknown) => {
    const { a, b } = input as { a: number; b: number };
    return { sum: a + b, nothing: undefined };
  };
  const ran = await runMachine(text, { input: { a: 40 }, functions: { add } });
  expect(ran.output).toEqual({ sum: 42, code: 200 });
  const task = ['TaskStateEntered', 'TaskScheduled', 'TaskStarted', 'TaskSucceeded', 'TaskStateExited'];
  expect(ran.types.slice(1, 6)).toEqual(task);
});

test('a function gets a copy, and what it returns is as JSON would carry it', async () => {
  const text = machine(`
  A:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke
    Arguments: {FunctionName: f, Payload: '{% $states.input %}'}
    Output: {result: '{% $states.result.Payload %}', input: '{% $states.input %}'}
    End: true
`);
  const f = async (input: unknown) => {
    (input as { list: number[] }).list.push(99);
    return undefined;
  };
  const ran = await runMachine(text, { input: { list: [1] }, functions: { f } });
  expect(ran.output).toEqual({ result: null, input: { list: [1] } });
});

test('Choice takes the first rule that holds, with its own Output and Assign', async () => {
  const text = machine(`
  A:
    Type: Choice
    Choices:
      - Condition: '{% $states.input.n > 10 %}'
        Output: large
        Assign: {size: 2}
        Next: End
      - Condition: '{% $states.input.n > 5 %}'
        Output: medium
        Assign: {size: 1}
        Next: End
    Default: End
    Output: small
    Assign: {size: 0}
  End: {Type: Pass, Output: ['{% $states.input %}', '{% $size %}'], End: true}
`);
  for (const [n, output] of [
    [11, ['large', 2]],
    [6, ['medium', 1]],
    [1, ['small', 0]],
  ] as const) {
    const ran = await runMachine(text, { input: { n } });
    expect(ran.output).toEqual(output);
    expect(ran.types.slice(1, 3)).toEqual(['ChoiceStateEntered', 'ChoiceStateExited']);
  }
});

test('Choice without a rule that holds and without Default is States.NoChoiceMatched', async () => {
  const text = machine('\n  A: {Type: Choice, Choices: [{Condition: false, Next: B}]}\n  B: {Type: Succeed}\n');
  expect(await runMachine(text)).toMatchObject({ status: 'FAILED', error: 'States.NoChoiceMatched' });
});

test('Choice whose condition is no boolean is States.QueryEvaluationError', async () => {
  const text = machine("\n  A: {Type: Choice, Choices: [{Condition: '{% 1 %}', Next: B}]}\n  B: {Type: Succeed}\n");
  const ran = await runMachine(text);
  expect(ran).toMatchObject({ status: 'FAILED', error: 'States.QueryEvaluationError' });
  expect(ran.cause).toBe('A.Choices[0].Condition: 1; accepted: true or false');
});

test('Wait takes its seconds, or lasts until its timestamp', async () => {
  const clock = virtualClock();
  const began = clock.now();
  const text = machine(`
  A: {Type: Wait, Seconds: '{% $states.input.s %}', Next: B}
  B: {Type: Wait, Timestamp: '{% $fromMillis($millis() + 60000) %}', Next: C}
  C: {Type: Wait, Timestamp: '2001-01-01T00:00:00Z', Output: done, End: true}
`);
  const ran = await runMachine(text, { clock, input: { s: 30 } });
  expect(ran).toMatchObject({ status: 'SUCCEEDED', output: 'done', events: 8 });
  expect(clock.now() - began).toBe(90_000);
});

test('Succeed ends with its Output; Fail with its error and cause', async () => {
  const succeed = machine("\n  A: {Type: Succeed, Output: '{% $states.input.x %}'}\n");
  expect(await runMachine(succeed, { input: { x: 7 } })).toMatchObject({ status: 'SUCCEEDED', output: 7, events: 4 });
  const fail = machine('\n  A: {Type: Fail, Error: Oh, Cause: \'{% "because " & $states.input.x %}\'}\n');
  const ran = await runMachine(fail, { input: { x: 'of it' } });
  expect(ran).toMatchObject({ status: 'FAILED', error: 'Oh', cause: 'because of it' });
  expect(ran.types).toEqual(['ExecutionStarted', 'FailStateEntered', 'ExecutionFailed']);
});

test('Map runs every item within its concurrency and keeps the order of results', async () => {
  const clock = virtualClock();
  let running = 0;
  let most = 0;
  const f = async (input: unknown) => {
    running += 1;
    most = Math.max(most, running);
    const { value, index } = input as { value: number; index: number };
    await clock.sleep(1000 - index);
    running -= 1;
    return value * 10;
  };
  const text = machine(`
  A:
    Type: Map
    Items: '{% $states.input.items %}'
    ItemSelector: {value: '{% $states.context.Map.Item.Value %}', index: '{% $states.context.Map.Item.Index %}'}
    MaxConcurrency: 2
    ItemProcessor:
      ProcessorConfig: {Mode: INLINE}
      StartAt: I
      States:
        I:
          Type: Task
          Resource: arn:aws:states:::lambda:invoke
          Arguments: {FunctionName: f, Payload: '{% $states.input %}'}
          Output: '{% $states.result.Payload %}'
          End: true
    Output: {results: '{% $states.result %}'}
    End: true
`);
  const ran = await runMachine(text, { clock, input: { items: [1, 2, 3, 4, 5] }, functions: { f } });
  expect(ran.output).toEqual({ results: [10, 20, 30, 40, 50] });
  expect(most).toBe(2);
  // 2 of the execution, 4 of the Map, and for each item 2 and the 5 of its Task.
  expect(ran.events).toBe(2 + 4 + 5 * (2 + 5));
});

test('Map over nothing gives nothing, over no list is an error', async () => {
  const text = machine(`
  A:
    Type: Map
    ItemProcessor: {StartAt: I, States: {I: {Type: Pass, End: true}}}
    End: true
`);
  expect(await runMachine(text, { input: [] })).toMatchObject({ status: 'SUCCEEDED', output: [], events: 6 });
  const ran = await runMachine(text, { input: { no: 'list' } });
  expect(ran).toMatchObject({ status: 'FAILED', error: 'States.QueryEvaluationError' });
});

test('Parallel runs its branches at once; they read the variables around them and keep their own', async () => {
  const clock = virtualClock();
  const began = clock.now();
  const text = machine(`
  A: {Type: Pass, Assign: {base: 100}, Next: P}
  P:
    Type: Parallel
    Arguments: {n: 1}
    Branches:
      - StartAt: L
        States:
          L: {Type: Wait, Seconds: 10, Assign: {mine: '{% $base + $states.input.n %}'}, Next: L2}
          L2: {Type: Pass, Output: '{% $mine %}', End: true}
      - StartAt: R
        States:
          R: {Type: Wait, Seconds: 20, Assign: {mine: '{% $base + 2 %}'}, Next: R2}
          R2: {Type: Pass, Output: '{% $mine %}', End: true}
    Assign: {both: '{% $sum($states.result) %}'}
    Next: Z
  Z: {Type: Pass, Output: ['{% $states.input %}', '{% $both %}'], End: true}
`);
  const ran = await runMachine(text, { clock });
  expect(ran.output).toEqual([[101, 102], 203]);
  expect(clock.now() - began).toBe(20_000);
});

test('a branch that fails ends its siblings and fails the Parallel with its own error', async () => {
  const clock = virtualClock();
  const began = clock.now();
  const text = machine(`
  P:
    Type: Parallel
    Branches:
      - {StartAt: L, States: {L: {Type: Wait, Seconds: 1000, End: true}}}
      - StartAt: R
        States:
          R: {Type: Wait, Seconds: 5, Next: R2}
          R2: {Type: Fail, Error: Bad, Cause: branch}
    Catch:
      - {ErrorEquals: [Bad], Output: '{% $states.errorOutput %}', Next: Z}
    End: true
  Z: {Type: Pass, End: true}
`);
  const ran = await runMachine(text, { clock });
  expect(ran).toMatchObject({ status: 'SUCCEEDED', output: { Error: 'Bad', Cause: 'branch' } });
  expect(clock.now() - began).toBe(5_000);
  expect(ran.types).toContain('ParallelStateFailed');
});

test('an iteration that fails aborts the others; a Map can be retried whole', async () => {
  let calls = 0;
  const f = async (input: unknown) => {
    calls += 1;
    if (input === 2 && calls < 4) throw new NamedError('Once');
    return input;
  };
  const text = machine(`
  A:
    Type: Map
    MaxConcurrency: 1
    ItemProcessor:
      StartAt: I
      States:
        I:
          Type: Task
          Resource: arn:aws:states:::lambda:invoke
          Arguments: {FunctionName: f, Payload: '{% $states.input %}'}
          Output: '{% $states.result.Payload %}'
          End: true
    Retry: [{ErrorEquals: [Once], IntervalSeconds: 1}]
    End: true
`);
  const ran = await runMachine(text, { input: [1, 2, 3], functions: { f } });
  expect(ran.output).toEqual([1, 2, 3]);
  expect(calls).toBe(5);
  expect(ran.types.filter((type) => type.startsWith('MapIteration'))).toEqual([
    ...['MapIterationStarted', 'MapIterationSucceeded', 'MapIterationStarted', 'MapIterationFailed'],
    ...Array.from({ length: 3 }, () => ['MapIterationStarted', 'MapIterationSucceeded']).flat(),
  ]);
});

test('two days of waiting take milliseconds', async () => {
  const clock = virtualClock();
  const began = clock.now();
  const text = machine(`
  A: {Type: Pass, Assign: {n: 0}, Next: W}
  W: {Type: Wait, Seconds: 600, Next: F}
  F:
    ${invoke} slow
      Payload: {}
    TimeoutSeconds: 300
    Next: C
  C:
    Type: Choice
    Choices: [{Condition: '{% $n < 240 %}', Assign: {n: '{% $n + 1 %}'}, Next: W}]
    Default: Z
  Z: {Type: Succeed, Output: '{% $n %}'}
`);
  const real = performance.now();
  const ran = await runMachine(text, { clock, functions: { slow: after(clock, 120_000, {}) } });
  expect(ran).toMatchObject({ status: 'SUCCEEDED', output: 240 });
  expect((clock.now() - began) / 3_600_000).toBeGreaterThan(48);
  expect(performance.now() - real).toBeLessThan(5_000);
});
