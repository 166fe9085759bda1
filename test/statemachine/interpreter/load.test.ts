/** What is refused at load, with the state and the field; and what expressions may do. */
import { expect, test } from 'vitest';
import { evaluate } from '../../../cloud/embedded/asl/jsonata.ts';
import { loadStateMachine, resolveFunctionName } from '../../../cloud/embedded/asl/load.ts';
import { createWorkflowHost } from '../../../cloud/embedded/workflow.ts';
import { countingIds, machine, silentLog, temporaryFolder } from './machine.ts';
import { virtualClock } from './virtual-clock.ts';

const load = (text: string) => loadStateMachine(text, (placeholder) => placeholder);
const task = 'Type: Task, Resource: "arn:aws:states:::lambda:invoke", Arguments: {FunctionName: f}';

test.each([
  ['no YAML', 'a: [1', 'Flow sequence'],
  ['a key twice', 'StartAt: A\nStartAt: B', 'Map keys must be unique'],
  ['no definition', '[]', 'the definition: []; accepted: an object'],
  [
    'JSONPath',
    'QueryLanguage: JSONPath\nStartAt: A\nStates: {A: {Type: Succeed}}',
    '"JSONPath" is not implemented here',
  ],
  [
    'the query language of one state',
    machine('\n  A: {Type: Succeed, QueryLanguage: JSONPath}\n'),
    'state A.QueryLanguage',
  ],
  ['an unknown type', machine('\n  A: {Type: Jump, End: true}\n'), 'state A.Type: "Jump" is not implemented here'],
  ['an unknown field', machine('\n  A: {Type: Pass, Result: 1, End: true}\n'), 'state A.Result: not implemented here'],
  ['paths', machine('\n  A: {Type: Pass, ResultPath: $.a, End: true}\n'), 'state A.ResultPath: not implemented here'],
  [
    'another resource',
    machine(
      '\n  A: {Type: Task, Resource: "arn:aws:states:::sqs:sendMessage", Arguments: {FunctionName: f}, End: true}\n',
    ),
    'state A.Resource: "arn:aws:states:::sqs:sendMessage"',
  ],
  [
    'another argument',
    machine(`\n  A: {${task.replace('f}', 'f, Qualifier: x}')}, End: true}\n`),
    'state A.Arguments.Qualifier: not implemented',
  ],
  [
    'a distributed Map',
    machine(
      '\n  A: {Type: Map, ItemProcessor: {ProcessorConfig: {Mode: DISTRIBUTED}, StartAt: I, States: {I: {Type: Pass, End: true}}}, End: true}\n',
    ),
    'state A.ItemProcessor.ProcessorConfig.Mode: "DISTRIBUTED"',
  ],
  [
    'tolerated failures',
    machine(
      '\n  A: {Type: Map, ToleratedFailureCount: 1, ItemProcessor: {StartAt: I, States: {I: {Type: Pass, End: true}}}, End: true}\n',
    ),
    'state A.ToleratedFailureCount',
  ],
  ['a missing target', machine('\n  A: {Type: Pass, Next: B}\n'), 'state A.Next: there is no state "B" in this flow'],
  [
    'a target in another flow',
    machine('\n  A: {Type: Parallel, Branches: [{StartAt: I, States: {I: {Type: Pass, Next: A}}}], End: true}\n'),
    'state I.Next: there is no state "A"',
  ],
  [
    'a state that nothing leads to',
    machine('\n  A: {Type: Succeed}\n  B: {Type: Succeed}\n'),
    'state B: nothing leads to it',
  ],
  [
    'a name used twice',
    machine('\n  A: {Type: Parallel, Branches: [{StartAt: A, States: {A: {Type: Pass, End: true}}}], End: true}\n'),
    'state A: the name is used twice',
  ],
  ['neither Next nor End', machine('\n  A: {Type: Pass}\n'), 'state A: accepted: exactly one of Next and End'],
  [
    'neither Seconds nor Timestamp',
    machine('\n  A: {Type: Wait, End: true}\n'),
    'exactly one of Seconds and Timestamp',
  ],
  [
    'States.ALL with others',
    machine(`\n  A: {${task}, Retry: [{ErrorEquals: [States.ALL, X]}], End: true}\n`),
    'state A.Retry[0].ErrorEquals: States.ALL must stand alone',
  ],
  [
    'something after States.ALL',
    machine(`\n  A: {${task}, Retry: [{ErrorEquals: [States.ALL]}, {ErrorEquals: [X]}], End: true}\n`),
    'state A.Retry[0]: nothing may follow States.ALL',
  ],
  [
    'a wrong jitter',
    machine(`\n  A: {${task}, Retry: [{ErrorEquals: [X], JitterStrategy: HALF}], End: true}\n`),
    'state A.Retry[0].JitterStrategy: "HALF"',
  ],
  [
    'a rate below 1',
    machine(`\n  A: {${task}, Retry: [{ErrorEquals: [X], BackoffRate: 0.5}], End: true}\n`),
    'state A.Retry[0].BackoffRate: 0.5; accepted: a number from 1',
  ],
  [
    'no time at all',
    machine(`\n  A: {${task}, TimeoutSeconds: 0, End: true}\n`),
    'state A.TimeoutSeconds: 0; accepted: a whole number from 1',
  ],
  [
    'a heartbeat without a token',
    machine(`\n  A: {${task}, HeartbeatSeconds: 5, End: true}\n`),
    'only a task with a token can send heartbeats',
  ],
  [
    'a heartbeat that is no shorter than the timeout',
    machine(
      `\n  A: {${task.replace('invoke"', 'invoke.waitForTaskToken"')}, HeartbeatSeconds: 5, TimeoutSeconds: 5, End: true}\n`,
    ),
    'accepted: less than TimeoutSeconds (5)',
  ],
  [
    'no expression',
    machine("\n  A: {Type: Pass, Output: '{% 1 + %}', End: true}\n"),
    'state A.Output: not a JSONata expression',
  ],
  [
    'half an expression',
    machine("\n  A: {Type: Pass, Output: '{% 1', End: true}\n"),
    'state A.Output: "{% 1"; accepted: an expression',
  ],
  [
    'a condition that is text',
    machine('\n  A: {Type: Choice, Choices: [{Condition: yes!, Next: B}]}\n  B: {Type: Succeed}\n'),
    'state A.Choices[0].Condition: "yes!"',
  ],
  [
    'a variable that nothing assigns',
    machine("\n  A: {Type: Pass, Output: '{% $state.input %}', End: true}\n"),
    '$state is neither assigned by a state nor a function',
  ],
  [
    'an unknown function',
    machine("\n  A: {Type: Pass, Output: '{% $no(1) %}', End: true}\n"),
    '$no is neither assigned',
  ],
  [
    'chance',
    machine("\n  A: {Type: Pass, Output: '{% $random() %}', End: true}\n"),
    '$random is not supported: a resumed state would get another answer',
  ],
  [
    'a result where there is none',
    machine("\n  A: {Type: Pass, Output: '{% $states.result %}', End: true}\n"),
    '$states.result does not exist here; there is $states.input, $states.context',
  ],
  [
    'an error output where there is none',
    machine(`\n  A: {${task}, Output: "{% $states.errorOutput %}", End: true}\n`),
    '$states.errorOutput does not exist here',
  ],
  [
    'a bad name of a variable',
    machine('\n  A: {Type: Pass, Assign: {"a b": 1, states: 2}, End: true}\n'),
    'state A.Assign.states: not a name',
  ],
  [
    'an inner flow that assigns an outer variable',
    machine(
      '\n  A: {Type: Parallel, Assign: {x: 1}, Branches: [{StartAt: I, States: {I: {Type: Pass, Assign: {x: 2}, End: true}}}], End: true}\n',
    ),
    'assigns "x", which belongs to the flow around it',
  ],
])('refuses %s', (_what, text, message) => {
  expect(() => load(text)).toThrow(message);
});

test('tells all problems at once', () => {
  const text = machine('\n  A: {Type: Pass, Result: 1, Next: B}\n  B: {Type: Wait, Seconds: soon, End: true}\n');
  expect(() => load(text)).toThrow(
    'the state machine definition has 2 problem(s)\n  state A.Result: not implemented here; accepted: Type, Comment, QueryLanguage, Next, End, Output, Assign\n  state B.Seconds: "soon"',
  );
});

test('accepts variables bound inside an expression', () => {
  const expression = '($f := function($n) {$n + 1}; $x := [1..3]; $map($x, $f)[$ > 2] ~> $sum())';
  expect(() => load(machine(`\n  A: {Type: Pass, Output: "{% ${expression} %}", End: true}\n`))).not.toThrow();
  expect(() =>
    load(machine('\n  A: {Type: Pass, Output: "{% $states.input.a@$l.b#$i.($l & $i) %}", End: true}\n')),
  ).not.toThrow();
});

test('placeholders become function names; an unknown one is an error', () => {
  expect(resolveFunctionName('ValidateFunctionArn')).toBe('validate');
  expect(resolveFunctionName('OnTaskEventFunctionArn')).toBe('on-task-event');
  expect(() => resolveFunctionName('BucketName')).toThrow('cannot resolve $' + '{BucketName}');
  const text = machine(`\n  A: {${task.replace('f}', '"$' + '{OnTaskEventFunctionArn}"}')}, End: true}\n`);
  expect(loadStateMachine(text).States.A).toMatchObject({ Arguments: { FunctionName: 'on-task-event' } });
});

test('createWorkflowHost() refuses a definition that names a function it does not have', () => {
  const options = { stateDir: temporaryFolder(), clock: virtualClock(), ids: countingIds(), log: silentLog };
  const definition = load(machine(`\n  A: {${task}, End: true}\n`));
  expect(() => createWorkflowHost({ ...options, definition, functions: { g: async () => 1 } })).toThrow(
    'state A calls the function "f"; there is g',
  );
});

test('expressions have what AWS adds: $parse, $range, $partition, $hash; $now and $millis tell the given time', async () => {
  const nowMs = Date.UTC(2026, 10, 1, 12);
  const scope = { states: { input: { a: [1] }, context: {} }, variables: { v: 5 }, nowMs };
  const value = (expression: string) => evaluate(`{% ${expression} %}`, scope, 'A.Output');
  expect(await value('$parse("{\\"a\\": [1]}")')).toEqual({ a: [1] });
  expect(await value('$range(0, 10, 5)')).toEqual([0, 5, 10]);
  expect(await value('$partition([1, 2, 3], 2)')).toEqual([[1, 2], [3]]);
  expect(await value('$hash("x", "SHA-256")')).toMatch(/^2d711642b726b04401627ca9fbac32f5/);
  expect(await value('[$now(), $millis()]')).toEqual(['2026-11-01T12:00:00.000Z', nowMs]);
  expect(await value('$v + $states.input.a[0]')).toBe(6);
  await expect(value('$range(1, 10000, 1)')).rejects.toThrow('$range gives 10000 items; at most 1000');
  await expect(value('$parse("no")')).rejects.toThrow('States.QueryEvaluationError: A.Output: cannot evaluate');
});
