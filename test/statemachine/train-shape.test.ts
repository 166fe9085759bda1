/**
 * The shape of statemachines/train.asl.yaml, compared with the code that it belongs to: what it names exists, what exists is
 * named, and nothing can hang or escape.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import {
  type ChoiceState,
  invokeResource,
  type State,
  type TaskState,
  tokenResource,
} from '../../cloud/embedded/asl/definition.ts';
import { lambdaErrors, predefinedErrors } from '../../cloud/embedded/asl/errors.ts';
import { loadStateMachine } from '../../cloud/embedded/asl/load.ts';
import { functionsOf } from '../../cloud/embedded/workflow.ts';
import { failureTable } from '../../core/failure.ts';
import { actions } from '../../core/workflow.ts';
import { functionNames } from '../../functions/registry.ts';

interface Validation {
  readonly isValid: boolean;
  errorsText(): string;
}
const validate = createRequire(import.meta.url)('asl-validator') as (definition: unknown) => Validation;

const text = readFileSync(new URL('../../statemachines/train.asl.yaml', import.meta.url), 'utf8');
const machine = loadStateMachine(text);
const states: [string, State][] = Object.entries(machine.States);
const tasks = states.filter((entry): entry is [string, TaskState] => entry[1].Type === 'Task');

/** Called by events and schedules, not by the state machine. */
const eventFunctions = ['start', 'on-task-event', 'on-execution-event', 'sweep', 'control'];

test('it passes asl-validator', () => {
  // The validator writes into what it is given.
  const result = validate(
    structuredClone(loadStateMachine(text, (name) => `arn:aws:lambda:eu-west-1:1:function:${name}`)),
  );
  expect(result.errorsText()).toBe('');
  expect(result.isValid).toBe(true);
});

test.each(tasks)(
  '%s ends by itself: timeout, Retry and Catch, and a heartbeat where a token is awaited',
  (_name, state) => {
    expect(state.TimeoutSeconds).toBeDefined();
    expect(state.Retry?.length).toBeGreaterThan(0);
    expect(state.Catch?.at(-1)?.ErrorEquals).toEqual(['States.ALL']);
    expect([invokeResource, tokenResource]).toContain(state.Resource);
    expect(state.HeartbeatSeconds !== undefined).toBe(state.Resource === tokenResource);
  },
);

test('it calls exactly the functions of the workflow', () => {
  const called = functionsOf(machine).map(([, name]) => name);
  expect([...new Set(called)].sort()).toEqual(functionNames.filter((name) => !eventFunctions.includes(name)).sort());
});

test.each(tasks)('%s is called as its function', (name, state) => {
  const { FunctionName } = state.Arguments as { readonly FunctionName: string };
  expect(FunctionName).toBe(name.replace(/(?!^)([A-Z])/g, '-$1').toLowerCase());
});

test.each(tasks)('%s names only errors that exist, and nothing after States.ALL', (_name, state) => {
  const known: readonly string[] = [...Object.keys(failureTable), ...predefinedErrors, ...lambdaErrors];
  for (const list of [state.Retry ?? [], state.Catch ?? []]) {
    for (const [index, { ErrorEquals: names }] of list.entries()) {
      for (const error of names) expect(known).toContain(error);
      if (names.includes('States.ALL')) expect([names.length, index]).toEqual([1, list.length - 1]);
    }
  }
});

test.each(tasks)('%s retries at spread times, within bounds', (_name, state) => {
  for (const retrier of state.Retry ?? []) {
    expect(['FULL', 'NONE', undefined]).toContain(retrier.JitterStrategy);
    expect(retrier.MaxDelaySeconds).toBeLessThanOrEqual(60);
    expect(retrier.MaxAttempts).toBeLessThanOrEqual(20);
  }
});

test('the Choice after Decide has exactly one branch for each action', () => {
  const decide = machine.States.Decide;
  const next = decide !== undefined && 'Next' in decide ? decide.Next : undefined;
  const route = machine.States[next ?? ''] as ChoiceState;
  expect(route.Type).toBe('Choice');
  const branches = route.Choices.map((rule) => /\$action = '(\w+)'/.exec(String(rule.Condition))?.[1]);
  expect([...branches].sort()).toEqual([...actions].sort());
});

test('every way out of a run that has a plan leads through Release', () => {
  // From any state but Validate and those behind Release, an end is only reached by passing Release.
  const endsWithoutRelease = new Set<string>();
  const visit = (name: string) => {
    if (name === 'Release' || endsWithoutRelease.has(name)) return;
    endsWithoutRelease.add(name);
    for (const target of targetsOf(machine.States[name])) visit(target);
  };
  visit('Plan');
  for (const name of endsWithoutRelease) expect(['Succeed', 'Fail']).not.toContain(machine.States[name]?.Type);
});

function targetsOf(state: State | undefined): string[] {
  if (state === undefined) return [];
  const targets: (string | undefined)[] = ['Next' in state ? state.Next : undefined];
  if ('Catch' in state) for (const catcher of state.Catch ?? []) targets.push(catcher.Next);
  if (state.Type === 'Choice') targets.push(state.Default, ...state.Choices.map((rule) => rule.Next));
  return targets.filter((target) => target !== undefined);
}
