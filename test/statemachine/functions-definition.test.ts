/** The definition against the code: states, functions, errors and actions are the same words in both. */
import { readdirSync, readFileSync } from 'node:fs';
import validate from 'asl-validator';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadStateMachine, resolveFunctionName } from '../../cloud/embedded/asl/load.ts';
import { failureTable } from '../../core/failure.ts';
import { actions } from '../../core/workflow.ts';
import { functionNames } from '../../functions/registry.ts';

interface State {
  readonly Type: string;
  readonly Resource?: string;
  readonly Arguments?: { readonly FunctionName: string };
  readonly TimeoutSeconds?: unknown;
  readonly HeartbeatSeconds?: unknown;
  readonly Retry?: readonly { readonly ErrorEquals: readonly string[]; readonly MaxAttempts: number }[];
  readonly Catch?: readonly { readonly ErrorEquals: readonly string[]; readonly Next: string }[];
  readonly Choices?: readonly { readonly Condition: string; readonly Next: string }[];
  readonly Next?: string;
}

const file = new URL('../../statemachines/train.asl.yaml', import.meta.url);
const source = readFileSync(file, 'utf8');
const definition = parse(source) as { readonly States: Record<string, State> };
const states = Object.entries(definition.States);
const tasks = states.filter(([, state]) => state.Type === 'Task');
const functionOf = (state: State): string =>
  resolveFunctionName(/^\$\{(\w+)\}$/.exec(state.Arguments?.FunctionName ?? '')?.[1] ?? '');

test('the validator of the States Language accepts it, and so does our interpreter', () => {
  const result = validate(definition as never);
  expect(result.isValid, result.errorsText()).toBe(true);
  expect(() => loadStateMachine(source)).not.toThrow();
});

test('no JSONata expression holds what a deployment would substitute', () => {
  for (const [expression] of source.matchAll(/\{%[\s\S]*?%\}/g)) expect(expression).not.toContain('${');
});

describe.each(tasks)('%s', (name, state) => {
  test('has a timeout, a retry and a catch-all', () => {
    expect(state.TimeoutSeconds).toBeDefined();
    expect(state.Retry?.length).toBeGreaterThan(0);
    expect(state.Catch?.at(-1)?.ErrorEquals).toEqual(['States.ALL']);
  });

  test('waits with a heartbeat when it waits for a token', () => {
    expect(state.HeartbeatSeconds !== undefined).toBe(state.Resource?.endsWith('.waitForTaskToken'));
  });

  test('is named as its function', () => {
    expect(functionOf(state)).toBe(name.toLowerCase());
    expect(functionNames).toContain(functionOf(state));
  });

  test('retries only what another try may cure', () => {
    const names = (state.Retry ?? []).flatMap((retrier) => retrier.ErrorEquals);
    for (const error of names.filter((one) => !/^(States|Lambda|Sandbox|Runtime)\./.test(one))) {
      expect(Object.keys(failureTable)).toContain(error);
    }
    for (const never of ['ConfigInvalid', 'DataInvalid', 'Cancelled', 'Conflict']) expect(names).not.toContain(never);
  });
});

test('a state whose run exists ends in Fail and Release, whatever goes wrong', () => {
  for (const [name, state] of tasks) {
    if (['Validate', 'Fail', 'Release'].includes(name)) continue;
    expect(state.Catch?.at(-1)?.Next, name).toBe('Fail');
  }
  expect(definition.States.Fail?.Next).toBe('Release');
  expect(definition.States.Fail?.Catch?.[0]?.Next).toBe('Release');
  expect(definition.States.Finish?.Next).toBe('Release');
});

test('Watch leaves by silence to Decide', () => {
  const [first] = definition.States.Watch?.Catch ?? [];
  expect(first).toMatchObject({ ErrorEquals: ['States.HeartbeatTimeout', 'States.Timeout'], Next: 'Decide' });
});

test('Route has one branch for each action', () => {
  const branches = (definition.States.Route?.Choices ?? []).map((choice) => /= '(\w+)'/.exec(choice.Condition)?.[1]);
  expect(branches).toEqual([...actions]);
});

test('each function is one file, and each file one function', () => {
  const helpers = [
    'artifacts',
    'boundary',
    'cancel',
    'config-source',
    'handlers',
    'observe-task',
    'registry',
    'resize',
    'resume',
    'rows',
  ];
  const files = readdirSync(new URL('../../functions', import.meta.url))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.replace('.ts', ''));
  expect(files.filter((name) => !helpers.includes(name)).sort()).toEqual([...functionNames].sort());
});
