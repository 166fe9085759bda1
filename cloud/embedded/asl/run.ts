/**
 * Steps an execution: asks steps.ts and retry.ts what to do, does it, records it. A flow is the execution itself, a branch
 * of a Parallel or an iteration of a Map; each goes on from its own position.
 *
 * Invariants
 *  N1  What happened is recorded before what follows from it is done; whatever position is found, stepping goes on from it.
 *  N2  A function is called again only when its call was begun and its end not recorded.
 *  N3  Of a token that was issued before an interruption: its answer counts if it was given, else it is closed and the
 *      function is called again with a new one.
 *  N4  A Map or Parallel ends when all its branches have: when one fails the others are interrupted first.
 *  N5  Event 25,000 is the end of the execution, whatever it would have been.
 */
import { createHash } from 'node:crypto';
import type { Clock, Ids, Log } from '../../ports.ts';
import { type Flow, limits, type State, type StateMachine } from './definition.ts';
import { bounded, StatesError } from './errors.ts';
import { beginning, type Position, type RecordBody } from './history.ts';
import { anyOf, checkInterrupted, Interrupted, pauseUntil } from './interrupt.ts';
import type { Journal } from './journal.ts';
import { react } from './retry.ts';
import { type Branch, type Exit, enter, type Frame, leave, leaveCaught, needsToken } from './steps.ts';
import { attemptTask, type TaskWorld } from './task.ts';

export interface Run extends TaskWorld {
  readonly name: string;
  readonly definition: StateMachine;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  /** `Execution` and `StateMachine` of the context object. */
  readonly context: Readonly<Record<string, unknown>>;
  interrupt(reason: 'history'): void;
}

/** Appends a counted event; answers its number. */
export function record(run: Run, flow: string, type: string, body: RecordBody = {}): number {
  const id = run.journal.history.summary.events + 1;
  if (id >= limits.historyEvents && !type.startsWith('Execution')) {
    run.interrupt('history');
    throw new Interrupted('history');
  }
  run.journal.append({ id, at: run.clock.now(), type, flow, ...body });
  return id;
}

/** Bookkeeping that AWS does not have; not counted. */
export function note(run: Run, flow: string, type: string, body: RecordBody = {}): void {
  run.journal.append({ at: run.clock.now(), type, flow, ...body });
}

interface Around {
  readonly variables: Readonly<Record<string, unknown>>;
  readonly map?: unknown;
}

/** Steps a flow to its end; answers its output or throws its StatesError. */
export async function runFlow(
  run: Run,
  path: string,
  flow: Flow,
  input: unknown,
  around: Around,
  signal: AbortSignal,
): Promise<unknown> {
  for (;;) {
    checkInterrupted(signal);
    const position = run.journal.history.positions.get(path) ?? beginning(flow.StartAt, input);
    if (position.ended !== undefined) {
      if ('output' in position.ended) return position.ended.output;
      throw new StatesError(position.ended.error, position.ended.cause, 'branch');
    }
    const state = flow.States[position.state];
    if (state === undefined)
      throw new Error(`the journal of ${run.name} names state "${position.state}", which does not exist`);
    if (position.enteredMs === undefined) {
      record(run, path, `${state.Type}StateEntered`, { state: position.state, input: position.input });
    } else await step(run, path, state, position, position.enteredMs, around, signal);
  }
}

/** From the position to the next one that is worth recording: an attempt that will be repeated, or the exit. */
async function step(
  run: Run,
  path: string,
  state: State,
  position: Position,
  enteredMs: number,
  around: Around,
  signal: AbortSignal,
): Promise<void> {
  const { pending } = position;
  const frame = frameOf(run, state, position, enteredMs, around);
  try {
    if (pending.kind === 'error') throw new StatesError(pending.error, pending.cause, 'task');
    const exit =
      pending.kind === 'result'
        ? await leave(frame, pending)
        : await work(run, path, frame, position, enteredMs, signal);
    if (exit !== undefined) {
      record(run, path, `${state.Type}StateExited`, { state: position.state, ...withoutNothing(exit) });
    }
  } catch (thrown) {
    if (!(thrown instanceof StatesError)) throw thrown;
    await fail(run, path, frame, position, thrown);
  }
}

/** Undefined when it only came to a new position, such as a result. */
async function work(
  run: Run,
  path: string,
  frame: Frame,
  position: Position,
  enteredMs: number,
  signal: AbortSignal,
): Promise<Exit | undefined> {
  const { pending } = position;
  if (pending.kind === 'retry') await pauseUntil(run.clock, pending.dueMs, signal);
  const earlier = pending.kind === 'called' ? pending : undefined;
  const before = earlier?.token === undefined ? undefined : run.tokens.close(earlier.token);
  if (before?.kind === 'answered') {
    succeed(run, path, frame, earlier?.token, before.output);
    return undefined;
  }
  const token = needsToken(frame) ? run.ids.hex(16) : undefined;
  const asked = token === undefined ? frame : { ...frame, context: { ...frame.context, Task: { Token: token } } };
  const move = await enter({ ...asked, nowMs: run.clock.now() }, enteredMs);
  switch (move.kind) {
    case 'exit':
      return move.exit;
    case 'wait':
      await pauseUntil(run.clock, move.untilMs, signal);
      return leave({ ...frame, nowMs: run.clock.now() }, undefined);
    case 'fail':
      throw move.failure;
    case 'branches': {
      const { state } = frame;
      if (pending.kind !== 'branches') {
        record(run, path, `${state.Type}StateStarted`, { state: frame.name });
        return undefined;
      }
      const base = `${path === '' ? '' : `${path}/`}${pending.startedId}`;
      const results = await runBranches(run, base, frame, move.branches, move.concurrency, signal);
      const result = bounded(results, `${frame.name}: the results`, 'branch');
      record(run, path, `${state.Type}StateSucceeded`, { state: frame.name, result });
      return undefined;
    }
    case 'call': {
      const body = { state: frame.name, ...(token === undefined ? {} : { token }) };
      if (earlier === undefined) record(run, path, 'TaskScheduled', body);
      else note(run, path, 'TaskCalledAgain', body);
      if (earlier?.token !== undefined) run.tokens.forget(earlier.token);
      if (token !== undefined) run.tokens.open(token, run.name);
      if (earlier === undefined || earlier.stage === 'scheduled')
        record(run, path, 'TaskStarted', { state: frame.name });
      const submitted = () => {
        if (earlier?.stage !== 'submitted') record(run, path, 'TaskSubmitted', { state: frame.name });
      };
      const result = await attemptTask(
        run,
        move.call,
        nestedName(run, path, frame, position),
        token,
        submitted,
        signal,
      ).catch((thrown) => {
        // 'closed' leaves the token as it is: it may still be answered until the execution is taken up again (N3).
        if (token !== undefined && thrown instanceof Interrupted && thrown.reason !== 'closed') {
          run.tokens.close(token);
          run.tokens.forget(token);
        }
        throw thrown;
      });
      succeed(run, path, frame, token, result);
      return undefined;
    }
  }
}

/** One for each attempt at this visit of the state, within the 80 characters that a name may have. */
function nestedName(run: Run, path: string, frame: Frame, position: Position): string {
  const attempt = position.tried.reduce((total, count) => total + count, 0);
  const visit = createHash('sha256').update(`${run.name} ${path} ${frame.name} ${position.enteredMs} ${attempt}`);
  return `${run.name.slice(0, 60)}-${visit.digest('hex').slice(0, 16)}`;
}

function succeed(run: Run, path: string, frame: Frame, token: string | undefined, result: unknown): void {
  record(run, path, 'TaskSucceeded', { state: frame.name, result });
  if (token !== undefined) run.tokens.forget(token);
}

/** Records the failure with what follows from it; throws it when nothing in this state answers it. */
async function fail(run: Run, path: string, frame: Frame, position: Position, failure: StatesError): Promise<void> {
  const { state } = frame;
  const chance = () => Number.parseInt(run.ids.hex(4), 16) / 2 ** 32;
  const reaction = react(state, failure.error, position.tried, chance);
  const { error, causeText: cause } = failure;
  const current = run.journal.history.positions.get(path);
  if (position.pending.kind !== 'error' && state.Type !== 'Fail') {
    const retry =
      reaction.kind === 'retry'
        ? { retry: { retrier: reaction.retrier, dueMs: run.clock.now() + reaction.delayMs } }
        : {};
    record(run, path, failureEvent(state, failure), { state: frame.name, error, cause, ...retry });
    const used = current?.pending.kind === 'called' ? current.pending.token : undefined;
    if (used !== undefined) run.tokens.forget(used);
  }
  const detail = { execution: run.name, state: frame.name, error, cause: cause.slice(0, 500) };
  if (reaction.kind === 'retry') {
    run.log.write('info', 'workflow.retried', { ...detail, attempt: reaction.attempt, delayMs: reaction.delayMs });
  } else if (reaction.kind === 'catch') {
    const exit = await leaveCaught(frame, reaction.catcher, failure);
    run.log.write('info', 'workflow.caught', { ...detail, next: reaction.catcher.Next });
    record(run, path, `${state.Type}StateExited`, { state: frame.name, ...withoutNothing(exit) });
  } else throw failure;
}

function failureEvent(state: State, failure: StatesError): string {
  if (failure.origin === 'evaluation') return 'EvaluationFailed';
  if (state.Type === 'Map' || state.Type === 'Parallel') return `${state.Type}StateFailed`;
  return failure.origin === 'timeout' ? 'TaskTimedOut' : 'TaskFailed';
}

async function runBranches(
  run: Run,
  base: string,
  frame: Frame,
  branches: readonly Branch[],
  concurrency: number,
  signal: AbortSignal,
): Promise<unknown[]> {
  const siblings = new AbortController();
  const inner = anyOf(signal, siblings.signal);
  const results: unknown[] = [];
  // A failure that was recorded before an interruption is the failure of the whole.
  const known = branches.map((_, index) => run.journal.history.positions.get(`${base}.${index}`)?.ended);
  const failed = known.find((ended) => ended !== undefined && 'error' in ended);
  if (failed !== undefined && 'error' in failed) throw new StatesError(failed.error, failed.cause, 'branch');
  const failures: unknown[] = [];
  const waiting = branches.entries();
  const lane = async () => {
    for (const [index, branch] of waiting) {
      if (inner.aborted) return;
      try {
        results[index] = await runBranch(run, `${base}.${index}`, frame, branch, inner);
      } catch (thrown) {
        failures.push(thrown);
        siblings.abort('sibling');
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, branches.length) }, lane));
  checkInterrupted(signal);
  const [first] = failures;
  if (first instanceof StatesError) throw new StatesError(first.error, first.causeText, 'branch');
  if (first !== undefined) throw first;
  return results;
}

async function runBranch(run: Run, path: string, frame: Frame, branch: Branch, signal: AbortSignal): Promise<unknown> {
  const isMap = frame.state.Type === 'Map';
  const iteration = () => run.journal.history.positions.get(path)?.iteration ?? 'none';
  if (isMap && iteration() === 'none') {
    record(run, path, 'MapIterationStarted', { state: branch.flow.StartAt, input: branch.input });
  }
  const around = { variables: frame.variables, ...(branch.map === undefined ? {} : { map: branch.map }) };
  const end = (type: string, body: RecordBody = {}) => {
    if (isMap && iteration() === 'started') record(run, path, type, body);
  };
  try {
    const output = await runFlow(run, path, branch.flow, branch.input, around, signal);
    end('MapIterationSucceeded');
    return output;
  } catch (thrown) {
    if (thrown instanceof StatesError) end('MapIterationFailed', { error: thrown.error, cause: thrown.causeText });
    else if (thrown instanceof Interrupted && thrown.reason === 'sibling') end('MapIterationAborted');
    throw thrown;
  }
}

function frameOf(run: Run, state: State, position: Position, enteredMs: number, around: Around): Frame {
  const retries = position.tried.reduce((total, count) => total + count, 0);
  return {
    name: position.state,
    state,
    input: position.input,
    variables: { ...around.variables, ...position.variables },
    nowMs: run.clock.now(),
    context: {
      ...run.context,
      State: { Name: position.state, EnteredTime: new Date(enteredMs).toISOString(), RetryCount: retries },
      ...(around.map === undefined ? {} : { Map: around.map }),
    },
  };
}

/** The journal's lines stay short where nothing was assigned. */
function withoutNothing(exit: Exit): RecordBody {
  const { assign, ...rest } = exit;
  return Object.keys(assign).length === 0 ? rest : { ...rest, assign };
}
