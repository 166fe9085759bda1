/** Retry, Catch, and which name matches which error. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { State } from '../../../cloud/embedded/asl/definition.ts';
import { lambdaFailure, matches } from '../../../cloud/embedded/asl/errors.ts';
import { react, retryDelayMs } from '../../../cloud/embedded/asl/retry.ts';
import { CuttlefishError } from '../../../core/failure.ts';
import { machine, NamedError, runMachine } from './machine.ts';
import { virtualClock } from './virtual-clock.ts';

const task = (rest: string) => `
  A:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke
    Arguments: {FunctionName: f, Payload: {}}
${rest.replace(/^/gm, '    ')}
`;

describe('matches()', () => {
  // Rows: what ErrorEquals names. Columns: the error that occurred.
  const errors = ['Own', 'States.Timeout', 'States.HeartbeatTimeout', 'States.DataLimitExceeded', 'States.Runtime'];
  const table: Record<string, string> = {
    Own: 'x....',
    Other: '.....',
    'States.ALL': 'xxx..',
    'States.TaskFailed': 'x.x..',
    'States.Timeout': '.xx..',
    'States.HeartbeatTimeout': '..x..',
    'States.DataLimitExceeded': '...x.',
    'States.Runtime': '.....',
  };
  for (const [name, row] of Object.entries(table)) {
    test(`${name} matches ${errors.filter((_, index) => row[index] === 'x').join(', ') || 'nothing'}`, () => {
      expect(errors.map((error) => (matches([name], error) ? 'x' : '.')).join('')).toBe(row);
      expect(errors.map((error) => (matches(['Nothing', name], error) ? 'x' : '.')).join('')).toBe(row);
    });
  }
});

describe('lambdaFailure()', () => {
  test('the kind of a CuttlefishError is the error, its message the cause, without a trace', () => {
    const failure = lambdaFailure(new CuttlefishError({ kind: 'Conflict', message: 'twice' }));
    expect(failure.error).toBe('Conflict');
    expect(JSON.parse(failure.causeText)).toEqual({ errorType: 'Conflict', errorMessage: 'twice' });
  });
  test('any other error has its name and a trace; what is no error has its type', () => {
    const failure = lambdaFailure(new TypeError('x is not a function'));
    expect(failure.error).toBe('TypeError');
    expect(JSON.parse(failure.causeText)).toMatchObject({
      errorMessage: 'x is not a function',
      trace: expect.any(Array),
    });
    expect(lambdaFailure('text').error).toBe('string');
  });
});

describe('react()', () => {
  const state = {
    Type: 'Task',
    Resource: '',
    Retry: [{ ErrorEquals: ['A'], MaxAttempts: 1 }, { ErrorEquals: ['States.ALL'] }],
    Catch: [
      { ErrorEquals: ['A'], Next: 'OnA' },
      { ErrorEquals: ['States.ALL'], Next: 'OnAll' },
    ],
    End: true,
  } as const satisfies State;
  const kindOf = (error: string, tried: number[]) => {
    const reaction = react(state, error, tried, () => 0.5);
    return reaction.kind === 'catch' ? reaction.catcher.Next : reaction.kind;
  };
  test('counts attempts for each retrier and does not go on to the next one', () => {
    expect(kindOf('A', [])).toBe('retry');
    expect(kindOf('A', [1])).toBe('OnA');
    expect(kindOf('B', [1, 2])).toBe('retry');
    expect(kindOf('B', [0, 3])).toBe('OnAll');
    expect(kindOf('States.DataLimitExceeded', [])).toBe('fail');
    expect(kindOf('States.Runtime', [])).toBe('fail');
  });
});

describe('retryDelayMs()', () => {
  test('grows by the rate up to the cap; FULL jitter takes a part of it', () => {
    const retrier = { ErrorEquals: ['A'], IntervalSeconds: 3, BackoffRate: 1.5, MaxDelaySeconds: 10 };
    expect([1, 2, 3, 4, 5].map((n) => retryDelayMs(retrier, n, () => 0))).toEqual([3000, 4500, 6750, 10_000, 10_000]);
    const jittered = { ...retrier, JitterStrategy: 'FULL' } as const;
    expect([0, 0.5].map((chance) => retryDelayMs(jittered, 2, () => chance))).toEqual([0, 2250]);
  });
  test('is never negative, never beyond the cap, and does not shrink with the attempt', () => {
    const retrier = fc.record({
      ErrorEquals: fc.constant(['A']),
      IntervalSeconds: fc.integer({ min: 1, max: 1000 }),
      BackoffRate: fc.double({ min: 1, max: 10, noNaN: true }),
      MaxDelaySeconds: fc.integer({ min: 1, max: 100_000 }),
    });
    fc.assert(
      fc.property(retrier, fc.integer({ min: 1, max: 400 }), (one, n) => {
        const delay = retryDelayMs(one, n, () => 0);
        expect(delay).toBeGreaterThan(0);
        expect(delay).toBeLessThanOrEqual(one.MaxDelaySeconds * 1000);
        expect(retryDelayMs(one, n + 1, () => 0)).toBeGreaterThanOrEqual(delay);
      }),
    );
  });
});

test('a task is tried again at the times that its Retry names; each attempt takes 3 events', async () => {
  const clock = virtualClock();
  const began = clock.now();
  const at: number[] = [];
  const f = async () => {
    at.push((clock.now() - began) / 1000);
    if (at.length < 4) throw new NamedError('Flaky');
    return 'well';
  };
  const text = machine(
    task(`Retry: [{ErrorEquals: [Flaky], IntervalSeconds: 2, BackoffRate: 3, MaxDelaySeconds: 10, MaxAttempts: 3}]
Output: '{% $states.result.Payload & $states.context.State.RetryCount %}'
End: true`),
  );
  const ran = await runMachine(text, { clock, functions: { f } });
  expect(at).toEqual([0, 2, 8, 18]);
  expect(ran).toMatchObject({ status: 'SUCCEEDED', output: 'well3', events: 2 + 5 + 3 * 3 });
});

test('attempts count for one visit of the state', async () => {
  let calls = 0;
  const f = async () => {
    calls += 1;
    if (calls % 3 !== 0) throw new NamedError('Flaky');
  };
  const again = task('Retry: [{ErrorEquals: [Flaky], MaxAttempts: 2}]\nAssign: {n: "{% $n + 1 %}"}\nNext: C');
  const text = machine(`
  S: {Type: Pass, Assign: {n: 0}, Next: A}
${again}
  C: {Type: Choice, Choices: [{Condition: '{% $n < 3 %}', Next: A}], Default: Z}
  Z: {Type: Succeed, Output: '{% $n %}'}
`);
  expect(await runMachine(text, { functions: { f } })).toMatchObject({ status: 'SUCCEEDED', output: 3 });
  expect(calls).toBe(9);
});

test('a catcher gets Error and Cause; its Assign and Output replace those of the state', async () => {
  const text = machine(`
  S: {Type: Pass, Assign: {x: 1}, Next: A}
${task(`Assign: {x: 2}
Catch:
  - ErrorEquals: [Wrong]
    Next: Z
  - ErrorEquals: [ConfigInvalid, Conflict]
    Assign: {x: '{% $x + 10 %}', message: '{% $parse($states.errorOutput.Cause).errorMessage %}'}
    Output: {error: '{% $states.errorOutput.Error %}'}
    Next: Z
End: true`)}
  Z: {Type: Pass, Output: ['{% $states.input %}', '{% $x %}', '{% $message %}'], End: true}
`);
  const f = async () => {
    throw new CuttlefishError({ kind: 'Conflict', message: 'already there' });
  };
  const ran = await runMachine(text, { functions: { f } });
  expect(ran.output).toEqual([{ error: 'Conflict' }, 11, 'already there']);
});

test('a catcher without Output hands on the error output; an error that nothing matches ends the execution', async () => {
  const f = async () => {
    throw new NamedError('Oh', 'no');
  };
  const text = machine(`${task('Catch: [{ErrorEquals: [States.TaskFailed], Next: Z}]\nEnd: true')}
  Z: {Type: Succeed}
`);
  const ran = await runMachine(text, { functions: { f } });
  expect(ran.output).toMatchObject({ Error: 'Oh', Cause: expect.stringContaining('"errorMessage":"no"') });
  const plain = await runMachine(machine(task('End: true')), { functions: { f } });
  expect(plain).toMatchObject({ status: 'FAILED', error: 'Oh' });
  expect(plain.types.slice(-2)).toEqual(['TaskFailed', 'ExecutionFailed']);
});

test('an expression that gives nothing is States.QueryEvaluationError and can be caught', async () => {
  const f = async () => ({ there: 1 });
  const text = (output: string) =>
    machine(`${task(`Output: '{% ${output} %}'
Catch: [{ErrorEquals: [States.QueryEvaluationError], Next: Z}]
End: true`)}
  Z: {Type: Succeed, Output: '{% $states.input.Cause %}'}
`);
  const cases = {
    '$states.result.Payload.absent': 'it gives nothing (undefined)',
    '$uppercase(1)': 'Argument 1 of function "uppercase" does not match function signature',
    $sum: 'it gives a function',
    '{"inside": $sum}': 'it gives a function',
    '($f := function($n) {$f($n) + 1}; $f(0))': 'recursive',
  };
  for (const [expression, why] of Object.entries(cases)) {
    const ran = await runMachine(text(expression), { functions: { f } });
    expect.soft(ran.output, expression).toContain(why);
    expect.soft(ran.output, expression).toContain('A.Output: cannot evaluate');
    expect(ran.types).toContain('EvaluationFailed');
  }
});

test('more than 256 KiB is States.DataLimitExceeded, which States.ALL does not catch', async () => {
  const f = async () => 'x'.repeat(300_000);
  const caught = (name: string) =>
    machine(`${task(`Catch: [{ErrorEquals: [${name}], Next: Z}]\nEnd: true`)}\n  Z: {Type: Succeed, Output: kept}\n`);
  expect(await runMachine(caught('States.ALL'), { functions: { f } })).toMatchObject({
    status: 'FAILED',
    error: 'States.DataLimitExceeded',
    cause: 'what f returns is 300002 bytes; at most 262144 may travel between states: pass a reference instead',
  });
  const explicit = await runMachine(caught('States.DataLimitExceeded'), { functions: { f } });
  expect(explicit.output).toBe('kept');
  const grown = machine(task("Output: '{% $states.result.Payload & $states.result.Payload %}'\nEnd: true"));
  const ran = await runMachine(grown, { functions: { f: async () => 'x'.repeat(200_000) } });
  expect(ran).toMatchObject({ status: 'FAILED', error: 'States.DataLimitExceeded' });
});

test('a function that is not there is Lambda.ResourceNotFoundException', async () => {
  const text = machine(`
  A:
    Type: Task
    Resource: arn:aws:states:::lambda:invoke
    Arguments: {FunctionName: '{% "no" & "ne" %}'}
    End: true
`);
  expect(await runMachine(text)).toMatchObject({ status: 'FAILED', error: 'Lambda.ResourceNotFoundException' });
});

test('a run ends at 25,000 events, and nothing can catch that', async () => {
  const text = machine(`
  P:
    Type: Parallel
    Branches:
      - StartAt: A
        States:
          A: {Type: Pass, Next: B}
          B: {Type: Choice, Choices: [{Condition: true, Next: A}]}
    Catch: [{ErrorEquals: [States.ALL], Next: Z}]
    End: true
  Z: {Type: Succeed}
`);
  const ran = await runMachine(text);
  expect(ran).toMatchObject({ status: 'FAILED', error: 'States.Runtime', events: 25_000 });
  expect(ran.cause).toContain('25000');
});
