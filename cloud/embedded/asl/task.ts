/**
 * One attempt at one Task: the function is called, its answer or that of the token awaited, within its times.
 *
 * Invariants
 *  K1  An attempt ends once: with a result, or with a StatesError; what comes later changes nothing.
 *  K2  The times of a task run from the moment it is scheduled. A heartbeat starts the heartbeat's time anew.
 *  K3  What is missed by a moment counts: before a timeout is declared, the token is closed, and an answer that is there wins.
 */
import type { Clock } from '../../ports.ts';
import type { TokenStore } from '../tokens.ts';
import { bounded, lambdaFailure, lambdaTimedOut, StatesError } from './errors.ts';
import type { ExecutionResult } from './execution.ts';
import { anyOf, pause, until } from './interrupt.ts';
import type { Call, FunctionCall, NestedCall } from './steps.ts';

export type WorkflowFunction = (input: unknown) => Promise<unknown>;

export interface TaskWorld {
  readonly clock: Clock;
  readonly tokens: TokenStore;
  readonly functions: Readonly<Record<string, WorkflowFunction>>;
  /** The Timeout of the Lambda; undefined: none. */
  readonly functionTimeoutMs: (functionName: string) => number | undefined;
  /** Runs an execution of another machine to its end, or takes up the one of that name. An abort that is no `closed` stops it. */
  readonly nest: (call: NestedCall & { readonly name: string }, signal: AbortSignal) => Promise<ExecutionResult>;
  /** Calls under way, also those that nobody waits for any more. */
  readonly calls: Set<Promise<unknown>>;
}

/** The result of the state. `submitted` is called when a function that was given a token has returned. */
export async function attemptTask(
  world: TaskWorld,
  call: Call,
  /** Of a nested execution that is given none: the same when it is called again. */
  nestedName: string,
  token: string | undefined,
  submitted: () => void,
  signal: AbortSignal,
): Promise<unknown> {
  const over = new AbortController();
  const inner = anyOf(signal, over.signal);
  const watched = token === undefined ? undefined : watchToken(world, token);
  const racers = [
    call.kind === 'nested'
      ? nested(world, { ...call, name: call.name ?? nestedName }, inner)
      : watched === undefined
        ? invoke(world, call, inner)
        : invokeAndWait(world, call, watched, submitted, inner),
  ];
  if (call.timeoutMs !== undefined) racers.push(timeOut(world.clock, call.timeoutMs, inner));
  if (call.heartbeatMs !== undefined && watched !== undefined) {
    racers.push(missHeartbeat(world.clock, watched, call.heartbeatMs, inner));
  }
  for (const racer of racers) racer.catch(() => undefined);
  try {
    return await until(Promise.race(racers), signal);
  } catch (thrown) {
    // K3
    const end = thrown instanceof StatesError && token !== undefined ? world.tokens.close(token) : undefined;
    if (end?.kind === 'answered') return end.output;
    throw thrown;
  } finally {
    over.abort('over');
    watched?.stop();
  }
}

interface WatchedToken {
  readonly answered: Promise<unknown>;
  /** On the monotonic clock; at first, when the task was scheduled. */
  lastBeatMs(): number;
  look(): void;
  stop(): void;
}

function watchToken({ clock, tokens }: TaskWorld, token: string): WatchedToken {
  let lastBeatMs = clock.monotonic();
  let resolve: (output: unknown) => void = () => undefined;
  const answered = new Promise<unknown>((settle) => {
    resolve = settle;
  });
  const beat = () => {
    lastBeatMs = clock.monotonic();
  };
  const stop = tokens.listen(token, { answered: resolve, beat });
  return { answered, lastBeatMs: () => lastBeatMs, look: () => tokens.look(token), stop };
}

/** Its result is what DescribeExecution says of it, its output as JSON; a failure carries the same in its cause. */
async function nested(
  { nest }: TaskWorld,
  call: NestedCall & { readonly name: string },
  signal: AbortSignal,
): Promise<unknown> {
  const { name, executionArn, status, input, output, error, cause, startMs, stopMs } = await nest(call, signal);
  const told = {
    ExecutionArn: executionArn,
    Input: JSON.stringify(input),
    Name: name,
    StartDate: startMs,
    StateMachineArn: call.stateMachineArn,
    Status: status,
    ...(stopMs === undefined ? {} : { StopDate: stopMs }),
  };
  if (status === 'SUCCEEDED') return bounded({ ...told, Output: output }, `the output of ${name}`, 'task');
  const why = { ...(error === undefined ? {} : { Error: error }), ...(cause === undefined ? {} : { Cause: cause }) };
  throw new StatesError('States.TaskFailed', JSON.stringify({ ...told, ...why }), 'task');
}

async function invoke(world: TaskWorld, call: FunctionCall, signal: AbortSignal): Promise<unknown> {
  const { functionName, payload } = call;
  const run = Object.hasOwn(world.functions, functionName) ? world.functions[functionName] : undefined;
  if (run === undefined) {
    const known = Object.keys(world.functions).join(', ');
    const cause = `there is no function "${functionName}"; there is ${known}`;
    throw new StatesError('Lambda.ResourceNotFoundException', cause, 'task');
  }
  const running = Promise.resolve().then(() => run(payload));
  const settled = running.catch(() => undefined).finally(() => world.calls.delete(settled));
  world.calls.add(settled);
  const finished = running.then(
    (value) => bounded(value ?? null, `what ${functionName} returns`, 'task'),
    (thrown) => {
      throw lambdaFailure(thrown);
    },
  );
  const timeoutMs = world.functionTimeoutMs(functionName);
  const over = new AbortController();
  const racers: Promise<unknown>[] = [finished];
  if (timeoutMs !== undefined) {
    const late = pause(world.clock, timeoutMs, anyOf(signal, over.signal));
    racers.push(
      late.then(() => {
        throw lambdaTimedOut(timeoutMs);
      }),
    );
  }
  for (const racer of racers) racer.catch(() => undefined);
  try {
    const result = await until(Promise.race(racers), signal);
    return { ExecutedVersion: '$LATEST', Payload: result, StatusCode: 200 };
  } finally {
    over.abort('over');
  }
}

/** The token's answer, which may come before the function returns; a function that fails fails the task. */
function invokeAndWait(
  world: TaskWorld,
  call: FunctionCall,
  { answered }: WatchedToken,
  submitted: () => void,
  signal: AbortSignal,
): Promise<unknown> {
  const returned = invoke(world, call, signal).then(() => {
    if (!signal.aborted) submitted();
    return answered;
  });
  return Promise.race([answered, returned]);
}

async function timeOut(clock: Clock, timeoutMs: number, signal: AbortSignal): Promise<never> {
  await pause(clock, timeoutMs, signal);
  throw new StatesError('States.Timeout', `the task did not end within ${timeoutMs / 1000} s`, 'timeout');
}

async function missHeartbeat(
  clock: Clock,
  token: WatchedToken,
  heartbeatMs: number,
  signal: AbortSignal,
): Promise<never> {
  for (;;) {
    await pause(clock, token.lastBeatMs() + heartbeatMs - clock.monotonic(), signal);
    token.look();
    if (clock.monotonic() - token.lastBeatMs() >= heartbeatMs) {
      throw new StatesError('States.HeartbeatTimeout', `no heartbeat for ${heartbeatMs / 1000} s`, 'timeout');
    }
  }
}
