/**
 * One state, decided: what entering it asks for, and where it goes with a result or an error. Evaluates expressions and
 * nothing else: no clock, no files, no calls. The runner (run.ts) does what these decide.
 *
 * Invariants
 *  D1  Output and Assign both see the variables as they were when the state was entered.
 *  D2  What leaves a state is at most 256 KiB; so is what it assigns.
 *  D3  The same position gives the same decision, except for $now and $millis.
 */
import {
  type Catcher,
  type ChoiceState,
  type Flow,
  limits,
  type MapState,
  nestedResource,
  type ParallelState,
  type State,
  type TaskState,
  waitsForToken,
} from './definition.ts';
import { bounded, errorOutput, StatesError } from './errors.ts';
import { evaluate, type Scope } from './jsonata.ts';

export interface Frame {
  readonly name: string;
  readonly state: State;
  readonly input: unknown;
  /** All that the state can see: its own flow's and those around it. */
  readonly variables: Readonly<Record<string, unknown>>;
  readonly context: Readonly<Record<string, unknown>>;
  readonly nowMs: number;
}

export interface Exit {
  readonly output: unknown;
  readonly assign: Readonly<Record<string, unknown>>;
  /** null: the end of the flow. */
  readonly next: string | null;
}

interface Times {
  readonly timeoutMs: number | undefined;
  readonly heartbeatMs: number | undefined;
}
export interface FunctionCall extends Times {
  readonly kind: 'function';
  readonly functionName: string;
  readonly payload: unknown;
}
export interface NestedCall extends Times {
  readonly kind: 'nested';
  readonly stateMachineArn: string;
  readonly input: unknown;
  /** Absent: one is made. */
  readonly name: string | undefined;
}
export type Call = FunctionCall | NestedCall;

export interface Branch {
  readonly flow: Flow;
  readonly input: unknown;
  /** `$states.context.Map`, in an iteration of a Map. */
  readonly map?: unknown;
}

export type Move =
  | { readonly kind: 'exit'; readonly exit: Exit }
  | { readonly kind: 'wait'; readonly untilMs: number }
  | { readonly kind: 'call'; readonly call: Call }
  | { readonly kind: 'branches'; readonly branches: readonly Branch[]; readonly concurrency: number }
  | { readonly kind: 'fail'; readonly failure: StatesError };

/** `enteredMs` is when the state was entered, which may be long before `frame.nowMs` when it is resumed. */
export async function enter(frame: Frame, enteredMs: number): Promise<Move> {
  const { state } = frame;
  switch (state.Type) {
    case 'Task':
      return { kind: 'call', call: await callOf(frame, state) };
    case 'Choice':
      return { kind: 'exit', exit: await choose(frame, state) };
    case 'Wait': {
      if (state.Timestamp !== undefined) {
        return { kind: 'wait', untilMs: await timestamp(frame, state.Timestamp) };
      }
      const seconds = await whole(frame, 'Seconds', state.Seconds ?? 0, 0);
      return { kind: 'wait', untilMs: enteredMs + seconds * 1000 };
    }
    case 'Pass':
    case 'Succeed':
      return { kind: 'exit', exit: await leave(frame, undefined) };
    case 'Map':
      return mapOf(frame, state);
    case 'Parallel':
      return parallelOf(frame, state);
    case 'Fail': {
      const error = state.Error === undefined ? '' : await textOf(frame, 'Error', state.Error);
      const cause = state.Cause === undefined ? '' : await textOf(frame, 'Cause', state.Cause);
      return { kind: 'fail', failure: new StatesError(error, cause, 'task') };
    }
  }
}

/** Where the state goes; `done` holds the result of a Task, Map or Parallel and is undefined for the others. */
export async function leave(frame: Frame, done: { readonly result: unknown } | undefined): Promise<Exit> {
  const { state } = frame;
  const outputs = state.Type === 'Fail' ? {} : state;
  const next = 'Next' in state ? (state.Next ?? null) : null;
  return exitBy(frame, outputs, next, done === undefined ? frame.input : done.result, done ?? {});
}

/** The exit through a catcher. */
export function leaveCaught(frame: Frame, catcher: Catcher, failure: StatesError): Promise<Exit> {
  const output = errorOutput(failure);
  return exitBy(frame, catcher, catcher.Next, output, { errorOutput: output });
}

async function exitBy(
  frame: Frame,
  outputs: { readonly Output?: unknown; readonly Assign?: Readonly<Record<string, unknown>> },
  next: string | null,
  byDefault: unknown,
  known: { readonly result?: unknown; readonly errorOutput?: unknown },
): Promise<Exit> {
  const scope = scopeOf(frame, known);
  const output = 'Output' in outputs ? await evaluate(outputs.Output, scope, `${frame.name}.Output`) : byDefault;
  const assign = await evaluate(outputs.Assign ?? {}, scope, `${frame.name}.Assign`);
  return {
    output: bounded(output, `${frame.name}: the output`),
    assign: bounded(assign as Record<string, unknown>, `${frame.name}: what is assigned`),
    next,
  };
}

async function choose(frame: Frame, state: ChoiceState): Promise<Exit> {
  for (const [index, rule] of state.Choices.entries()) {
    const where = `Choices[${index}].Condition`;
    const met = await field(frame, where, rule.Condition);
    if (typeof met !== 'boolean') throw wrongType(frame, where, met, 'true or false');
    if (met) return exitBy(frame, rule, rule.Next, frame.input, {});
  }
  if (state.Default === undefined) {
    throw new StatesError(
      'States.NoChoiceMatched',
      `${frame.name}: no rule matched and there is no Default`,
      'evaluation',
    );
  }
  return exitBy(frame, state, state.Default, frame.input, {});
}

async function callOf(frame: Frame, state: TaskState): Promise<Call> {
  const values = (await field(frame, 'Arguments', state.Arguments ?? {})) as Record<string, unknown>;
  const { TimeoutSeconds: timeout, HeartbeatSeconds: heartbeat } = state;
  const times: Times = {
    timeoutMs: timeout === undefined ? undefined : 1000 * (await whole(frame, 'TimeoutSeconds', timeout, 1)),
    heartbeatMs: heartbeat === undefined ? undefined : 1000 * (await whole(frame, 'HeartbeatSeconds', heartbeat, 1)),
  };
  const named = (field: string): string => {
    const value = values[field];
    if (typeof value !== 'string') throw wrongType(frame, `Arguments.${field}`, value, 'text');
    return value;
  };
  if (state.Resource !== nestedResource) {
    const payload = bounded(values.Payload ?? {}, `${frame.name}: the payload`);
    return { kind: 'function', functionName: named('FunctionName'), payload, ...times };
  }
  const input = bounded(values.Input ?? {}, `${frame.name}: the input`);
  const name = values.Name === undefined ? undefined : named('Name');
  return { kind: 'nested', stateMachineArn: named('StateMachineArn'), input, name, ...times };
}

async function mapOf(frame: Frame, state: MapState): Promise<Move> {
  const items = state.Items === undefined ? frame.input : await field(frame, 'Items', state.Items);
  if (!Array.isArray(items)) throw wrongType(frame, 'Items', items, 'a list');
  const wanted = await whole(frame, 'MaxConcurrency', state.MaxConcurrency ?? 0, 0);
  const branches: Branch[] = [];
  for (const [index, value] of items.entries()) {
    const map = { Item: { Index: index, Value: value } };
    const scope = scopeOf({ ...frame, context: { ...frame.context, Map: map } }, {});
    const selector = state.ItemSelector;
    const input = selector === undefined ? value : await evaluate(selector, scope, `${frame.name}.ItemSelector`);
    branches.push({ flow: state.ItemProcessor, input: bounded(input, `${frame.name}: item ${index}`), map });
  }
  return {
    kind: 'branches',
    branches,
    concurrency: Math.min(wanted || limits.inlineMapConcurrency, limits.inlineMapConcurrency),
  };
}

async function parallelOf(frame: Frame, state: ParallelState): Promise<Move> {
  const value = 'Arguments' in state ? await field(frame, 'Arguments', state.Arguments) : frame.input;
  const input = bounded(value, `${frame.name}: the arguments`);
  const branches = state.Branches.map((flow) => ({ flow, input }));
  return { kind: 'branches', branches, concurrency: branches.length };
}

export function needsToken(frame: Frame): boolean {
  return waitsForToken(frame.state);
}

function scopeOf(frame: Frame, known: { readonly result?: unknown; readonly errorOutput?: unknown }): Scope {
  return {
    states: { input: frame.input, context: frame.context, ...known },
    variables: frame.variables,
    nowMs: frame.nowMs,
  };
}

function field(frame: Frame, name: string, template: unknown): Promise<unknown> {
  return evaluate(template, scopeOf(frame, {}), `${frame.name}.${name}`);
}

async function textOf(frame: Frame, name: string, template: unknown): Promise<string> {
  const value = await field(frame, name, template);
  if (typeof value !== 'string') throw wrongType(frame, name, value, 'text');
  return value;
}

async function timestamp(frame: Frame, template: unknown): Promise<number> {
  const text = await textOf(frame, 'Timestamp', template);
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw wrongType(frame, 'Timestamp', text, 'an instant as 2026-01-31T23:59:59Z');
  return at;
}

async function whole(frame: Frame, name: string, template: unknown, least: number): Promise<number> {
  const value = await field(frame, name, template);
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > limits.maxSeconds) {
    throw wrongType(frame, name, value, `a whole number from ${least} to ${limits.maxSeconds}`);
  }
  return value as number;
}

function wrongType(frame: Frame, name: string, value: unknown, accepted: string): StatesError {
  const found = JSON.stringify(value) ?? String(value);
  return new StatesError(
    'States.QueryEvaluationError',
    `${frame.name}.${name}: ${found.slice(0, 200)}; accepted: ${accepted}`,
    'evaluation',
  );
}
