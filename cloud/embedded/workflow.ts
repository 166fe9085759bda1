/**
 * The workflow of the embedded world: starts, resumes and stops executions, and answers tokens.
 *
 * Invariants
 *  W1  The same name starts once, whoever starts it, in whatever process, also after a crash.
 *  W2  One process at a time steps an execution: it holds the lock `execution/<name>`. The lock of a dead process is free.
 *  W3  Closing ends nothing: what was running goes on at the next `resumeAll`, in this or another process.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CuttlefishError } from '../../core/failure.ts';
import type { Clock, Ids, Log, Workflow } from '../ports.ts';
import { innerFlows } from './asl/check.ts';
import type { Flow, StateMachine } from './asl/definition.ts';
import { bounded, StatesError } from './asl/errors.ts';
import {
  createExecution,
  describeExecution,
  driveExecution,
  type Execution,
  type ExecutionResult,
  type ExecutionWorld,
  executionArnOf,
  readStart,
  requestStop,
  type StatusChangeEvent,
} from './asl/execution.ts';
import { readHistory } from './asl/journal.ts';
import type { WorkflowFunction } from './asl/task.ts';
import { attempt, makeFolder } from './files.ts';
import { createLock } from './lock.ts';
import { createTable } from './table.ts';
import { createTokenStore } from './tokens.ts';

export type { Status } from './asl/history.ts';
export type { ExecutionResult, StatusChangeEvent, WorkflowFunction };

export interface WorkflowHostOptions {
  readonly stateDir: string;
  /** From `loadStateMachine`. */
  readonly definition: StateMachine;
  readonly functions: Readonly<Record<string, WorkflowFunction>>;
  /** Machines that a state may start executions of, by what it calls them. Default: none. */
  readonly machines?: Readonly<Record<string, StateMachine>>;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  /** Told at least once for each end; what is returned is awaited before `wait` answers. */
  readonly onStatusChange?: (event: StatusChangeEvent) => Promise<void> | void;
  /** The Timeout of each Lambda. Default: none. */
  readonly functionTimeoutMs?: (functionName: string) => number | undefined;
}

export interface WorkflowHost extends Workflow {
  /** Takes up every execution that has not ended and that no other living process steps. */
  resumeAll(): Promise<void>;
  /** Takes up one execution, unless it has ended or another living process steps it. */
  resume(name: string): Promise<void>;
  /** The end of an execution, whoever steps it; status RUNNING when this host was closed first. */
  wait(name: string): Promise<ExecutionResult>;
  /** By name or ARN. */
  describe(execution: string): Promise<ExecutionResult | undefined>;
  /** Stops stepping without ending anything; waits a while for functions that are under way. */
  close(): Promise<void>;
}

const lookMs = 50;
const closeGraceMs = 5_000;
const stopDeadlineMs = 30_000;

export function createWorkflowHost(options: WorkflowHostOptions): WorkflowHost {
  const { stateDir, clock, ids, definition, functions } = options;
  const folders = {
    executions: join(stateDir, 'executions'),
    locks: join(stateDir, 'locks'),
    temp: join(stateDir, 'tmp'),
  };
  for (const path of Object.values(folders)) attempt(path, () => makeFolder(path));
  for (const [state, name] of functionsOf(definition)) {
    if (!Object.hasOwn(functions, name)) {
      throw unexpected(`state ${state} calls the function "${name}"; there is ${Object.keys(functions).join(', ')}`);
    }
  }
  const world: ExecutionWorld = {
    onStatusChange: () => undefined,
    functionTimeoutMs: () => undefined,
    ...options,
    tokens: createTokenStore(stateDir),
    calls: new Set(),
    nest,
  };
  const lock = createLock({ table: createTable({ folder: folders.locks, temp: folders.temp, ids }), clock });
  /** Undefined inside: another process steps it. */
  const active = new Map<string, Promise<Execution | undefined>>();
  let closed = false;

  /** W2. Begins to step it when nobody does. */
  function drive(name: string): Promise<Execution | undefined> {
    const begun = active.get(name);
    if (begun !== undefined) return begun;
    const beginning = begin(name).catch((error) => {
      active.delete(name);
      throw error;
    });
    beginning.catch(() => undefined);
    active.set(name, beginning);
    return beginning;
  }

  async function begin(name: string): Promise<Execution | undefined> {
    const held = await lock.acquire(`execution/${name}`);
    const start = readStart(stateDir, name);
    if (held.kind === 'busy' || start === undefined || closed) {
      active.delete(name);
      if (held.kind === 'held') await held.release();
      return undefined;
    }
    const execution = await opened(() => driveExecution(world, name, start), held.release);
    const after = async () => {
      // A lock that cannot be given back is free once this process has ended; why we ended matters more.
      await held.release().catch(() => undefined);
      active.delete(name);
    };
    const result = execution.result.finally(after);
    result.catch(() => undefined);
    return { ...execution, result };
  }

  async function nest(
    call: { readonly stateMachineArn: string; readonly name: string; readonly input: unknown },
    signal: AbortSignal,
  ): Promise<ExecutionResult> {
    const { stateMachineArn, name, input } = call;
    const machine = options.machines?.[stateMachineArn];
    if (machine === undefined) {
      const known = Object.keys(options.machines ?? {}).join(', ');
      const cause = `there is no state machine "${stateMachineArn}"; there is ${known === '' ? 'none' : known}`;
      throw new StatesError('StepFunctions.StateMachineDoesNotExistException', cause, 'task');
    }
    createExecution({ ...world, definition: machine }, checkName(name), checkInput(name, input));
    const stop = () => {
      if (signal.reason !== 'closed') requestStop(stateDir, name, 'the execution around it has ended');
    };
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    try {
      await drive(name);
      return await host.wait(name);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  const describe = (name: string) => describeExecution(stateDir, checkName(name));

  const host: WorkflowHost = {
    async start(name, input) {
      if (closed) throw unexpected(`cannot start execution "${name}": the workflow host is closed`);
      const kind = createExecution(world, checkName(name), checkInput(name, input));
      if (kind === 'started') await drive(name);
      return { kind, executionArn: executionArnOf(name) };
    },

    async stop(executionArn, cause) {
      const name = checkName(executionArn.slice(executionArn.lastIndexOf(':') + 1));
      const deadline = clock.monotonic() + stopDeadlineMs;
      for (;;) {
        const found = describe(name);
        if (found === undefined || found.status !== 'RUNNING') return;
        requestStop(stateDir, name, cause);
        const execution = await drive(name);
        if (execution !== undefined) return execution.stepped;
        if (clock.monotonic() > deadline)
          throw unexpected(`execution "${name}" did not stop within ${stopDeadlineMs} ms`);
        await clock.sleep(lookMs);
      }
    },

    succeedTask: async (token, output) => world.tokens.answer(token, output),
    heartbeatTask: async (token) => world.tokens.beat(token),

    async resume(name) {
      const found = describe(name);
      if (found === undefined) throw unexpected(`there is no execution "${name}"`);
      await drive(name);
    },

    async resumeAll() {
      for (const name of readdirSync(folders.executions)) {
        const { summary } = readHistory(join(folders.executions, name, 'journal.jsonl'));
        if (summary.status === 'RUNNING' || !summary.delivered) await drive(name);
      }
    },

    async wait(name) {
      for (;;) {
        const execution = await active.get(name);
        if (execution !== undefined) return execution.result;
        const found = describe(name);
        if (found === undefined) throw unexpected(`there is no execution "${name}"`);
        if (found.status !== 'RUNNING' || closed) return found;
        await clock.sleep(lookMs);
      }
    },

    describe: async (execution) => describe(execution.slice(execution.lastIndexOf(':') + 1)),

    async close() {
      closed = true;
      const executions = await Promise.allSettled(active.values());
      const results = executions.map(async (one) => {
        if (one.status !== 'fulfilled' || one.value === undefined) return;
        one.value.close();
        await one.value.result.catch(() => undefined);
      });
      await Promise.all(results);
      const grace = new AbortController();
      await Promise.race([Promise.all(world.calls), clock.sleep(closeGraceMs, grace.signal).catch(() => undefined)]);
      grace.abort();
    },
  };
  return host;
}

/** A journal that cannot be opened must not keep the lock. */
async function opened<T>(open: () => T, release: () => Promise<void>): Promise<T> {
  try {
    return open();
  } catch (error) {
    await release();
    throw error;
  }
}

/** Every function that a Task names literally, with its state. */
export function functionsOf(flow: Flow): [state: string, functionName: string][] {
  return Object.entries(flow.States).flatMap(([name, state]): [string, string][] => {
    const inner = innerFlows(state).flatMap(([, branch]) => functionsOf(branch));
    if (state.Type !== 'Task') return inner;
    const { FunctionName: called } = state.Arguments as { readonly FunctionName?: string };
    return called === undefined || called.startsWith('{%') ? inner : [[name, called]];
  });
}

/** The names that AWS takes and that a folder may have. */
function checkName(name: string): string {
  if (/^[0-9A-Za-z_-]{1,80}$/.test(name)) return name;
  throw unexpected(`"${name}" is no name for an execution; accepted: 1 to 80 of A-Z a-z 0-9 - _`);
}

function checkInput(name: string, input: unknown): unknown {
  try {
    return bounded(input ?? {}, `the input of execution ${name}`);
  } catch (error) {
    throw error instanceof StatesError ? unexpected(error.causeText) : error;
  }
}

function unexpected(message: string): CuttlefishError {
  return new CuttlefishError({ kind: 'Unexpected', message });
}
