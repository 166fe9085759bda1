/**
 * One execution, from wherever its journal stands to its end: what surrounds the stepping. Owns the folder
 * `executions/<name>/`:
 *
 *   input.json     name, time, input and definition; its creation is the start of the execution
 *   journal.jsonl  everything that happened since; its last ending is the status
 *   stop.json      somebody asked to stop it
 *
 * Invariants
 *  X1  input.json is created exclusively: of all who start a name exactly one does.
 *  X2  An execution keeps the definition that it was started with, as on AWS, also when it is resumed by a newer version.
 *  X3  The end is recorded before it is told; it is told again until telling it has succeeded.
 *  X4  A wish to stop is on disk before it is acted on, so it outlives whoever should act on it.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Ids, Log } from '../../ports.ts';
import { embeddedAccount, embeddedRegion } from '../events.ts';
import { attempt, makeFolder, publish, readJson } from '../files.ts';
import type { StateMachine } from './definition.ts';
import { StatesError } from './errors.ts';
import type { Status, Summary } from './history.ts';
import { anyOf, Interrupted, pause, type Reason } from './interrupt.ts';
import { openJournal, readHistory } from './journal.ts';
import { asStateMachine } from './load.ts';
import { note, type Run, record, runFlow } from './run.ts';
import type { TaskWorld } from './task.ts';

export const stateMachineArn = `arn:aws:states:${embeddedRegion}:${embeddedAccount}:stateMachine:train`;
export const executionArnOf = (name: string) =>
  `arn:aws:states:${embeddedRegion}:${embeddedAccount}:execution:train:${name}`;

interface StartFile {
  readonly name: string;
  readonly startedMs: number;
  readonly definitionDigest: string;
  readonly input: unknown;
  readonly definition: unknown;
}

export interface ExecutionResult {
  readonly name: string;
  readonly executionArn: string;
  readonly status: Status;
  readonly input: unknown;
  readonly output?: unknown;
  readonly error?: string;
  readonly cause?: string;
  readonly startMs: number;
  readonly stopMs?: number;
  /** History events, counted as AWS counts them. */
  readonly events: number;
}

/** `Step Functions Execution Status Change`, as EventBridge delivers it. */
export interface StatusChangeEvent {
  readonly version: '0';
  readonly id: string;
  readonly source: 'aws.states';
  readonly 'detail-type': 'Step Functions Execution Status Change';
  readonly account: string;
  readonly region: string;
  readonly time: string;
  readonly resources: readonly string[];
  readonly detail: {
    readonly executionArn: string;
    readonly stateMachineArn: string;
    readonly name: string;
    readonly status: Status;
    readonly startDate: number;
    readonly stopDate: number | null;
    readonly input: string;
    readonly output: string | null;
    readonly error: string | null;
    readonly cause: string | null;
  };
}

export interface ExecutionWorld extends TaskWorld {
  readonly stateDir: string;
  readonly definition: StateMachine;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly onStatusChange: (event: StatusChangeEvent) => Promise<void> | void;
}

export interface Execution {
  /** The end is recorded, or stepping was interrupted. */
  readonly stepped: Promise<void>;
  /** The end is recorded and told. */
  readonly result: Promise<ExecutionResult>;
  close(): void;
}

export const folderOf = (stateDir: string, name: string) => join(stateDir, 'executions', name);
export const digestOf = (definition: unknown) => createHash('sha256').update(JSON.stringify(definition)).digest('hex');

/** X1. */
export function createExecution(world: ExecutionWorld, name: string, input: unknown): 'started' | 'exists' {
  const { stateDir, definition } = world;
  const file: StartFile = {
    name,
    startedMs: world.clock.now(),
    definitionDigest: digestOf(definition),
    input: input ?? {},
    definition,
  };
  return exclusive(stateDir, name, 'input.json', file) ? 'started' : 'exists';
}

/** X4. */
export function requestStop(stateDir: string, name: string, cause: string): void {
  exclusive(stateDir, name, 'stop.json', { cause });
}

function exclusive(stateDir: string, name: string, file: string, content: unknown): boolean {
  const folder = folderOf(stateDir, name);
  const temp = join(stateDir, 'tmp');
  for (const path of [folder, temp]) attempt(path, () => makeFolder(path));
  return publish(join(folder, file), JSON.stringify(content), { temp, absent: true });
}

/** What the files say, whoever steps it; undefined when it was never started. */
export function describeExecution(stateDir: string, name: string): ExecutionResult | undefined {
  const folder = folderOf(stateDir, name);
  const start = readJson<StartFile>(join(folder, 'input.json'));
  return start && resultOf(start, readHistory(join(folder, 'journal.jsonl')).summary);
}

function resultOf(start: StartFile, summary: Summary): ExecutionResult {
  const { status, output, error, cause, startMs = start.startedMs, stopMs, events } = summary;
  return {
    ...{ name: start.name, executionArn: executionArnOf(start.name), status, input: start.input, startMs, events },
    ...(output === undefined ? {} : { output }),
    ...(error === undefined ? {} : { error }),
    ...(cause === undefined ? {} : { cause }),
    ...(stopMs === undefined ? {} : { stopMs }),
  };
}

/** Steps an execution that the caller owns until its end or `close`. */
export function driveExecution(world: ExecutionWorld, name: string, start: StartFile): Execution {
  const folder = folderOf(world.stateDir, name);
  const journal = openJournal(join(folder, 'journal.jsonl'));
  const controller = new AbortController();
  const signal = anyOf(controller.signal);
  const interrupt = (reason: Reason) => controller.abort(reason);
  const definition =
    start.definitionDigest === digestOf(world.definition) ? world.definition : asStateMachine(start.definition);
  const startTime = new Date(start.startedMs).toISOString();
  const run: Run = {
    ...world,
    ...{ name, definition, journal, interrupt },
    context: {
      Execution: { Id: executionArnOf(name), Input: start.input, Name: name, StartTime: startTime, RedriveCount: 0 },
      StateMachine: { Id: stateMachineArn, Name: 'train' },
    },
  };
  const stopFile = join(folder, 'stop.json');
  const lookForStop = () => {
    if (existsSync(stopFile)) interrupt('stopped');
  };
  const timer = setInterval(lookForStop, 50);
  const limit = new AbortController();

  const step = async (): Promise<void> => {
    const { summary } = journal.history;
    if (summary.status !== 'RUNNING') return;
    if (summary.events > 0) {
      note(run, '', 'Reopened');
      world.log.write('info', 'workflow.resumed', { execution: name, events: summary.events });
    } else {
      record(run, '', 'ExecutionStarted', { input: start.input });
      tell().catch((error) => broken('telling the start', error));
    }
    lookForStop();
    const { TimeoutSeconds: seconds } = definition;
    if (seconds !== undefined) {
      const ran = pause(world.clock, seconds * 1000 - summary.activeMs, limit.signal);
      ran.then(() => interrupt('timeout')).catch(() => undefined);
    }
    try {
      const output = await runFlow(run, '', definition, start.input, { variables: {} }, signal);
      record(run, '', 'ExecutionSucceeded', { output });
    } catch (thrown) {
      if (!recordEnd(run, thrown, seconds, readJson<{ cause?: string }>(stopFile)?.cause)) throw thrown;
    }
  };
  const tell = async () => world.onStatusChange(statusChange(world, resultOf(start, journal.history.summary)));
  const broken = (what: string, error: unknown) =>
    world.log.write('error', 'workflow.broken', { execution: name, what, reason: String(error) });

  const stepped = step().finally(() => {
    clearInterval(timer);
    limit.abort('over');
  });
  const finish = async (): Promise<ExecutionResult> => {
    try {
      await stepped;
      const { status, delivered, events, error, cause } = journal.history.summary;
      if (status !== 'RUNNING' && !delivered) {
        world.log.write('info', 'workflow.ended', { execution: name, status, events, error, cause });
        try {
          await tell();
          note(run, '', 'StatusDelivered');
        } catch (failure) {
          broken('telling the end', failure);
        }
      }
      return resultOf(start, journal.history.summary);
    } catch (error) {
      broken('stepping', error);
      throw error;
    } finally {
      journal.close();
    }
  };
  const result = finish();
  result.catch(() => undefined);
  return { stepped, result, close: () => interrupt('closed') };
}

export function readStart(stateDir: string, name: string): StartFile | undefined {
  return readJson<StartFile>(join(folderOf(stateDir, name), 'input.json'));
}

/** False when what was thrown is no ending. */
function recordEnd(run: Run, thrown: unknown, seconds: number | undefined, stopCause: string | undefined): boolean {
  if (thrown instanceof StatesError) {
    record(run, '', 'ExecutionFailed', { error: thrown.error, cause: thrown.causeText });
    return true;
  }
  if (!(thrown instanceof Interrupted)) return false;
  if (thrown.reason === 'stopped') {
    record(run, '', 'ExecutionAborted', { cause: stopCause ?? '' });
  } else if (thrown.reason === 'timeout') {
    const cause = `the execution did not end within ${seconds} s`;
    record(run, '', 'ExecutionTimedOut', { error: 'States.Timeout', cause });
  } else if (thrown.reason === 'history') {
    const cause = 'The execution reached the maximum number of history events (25000).';
    record(run, '', 'ExecutionFailed', { error: 'States.Runtime', cause });
  }
  return true;
}

function statusChange({ clock, ids }: ExecutionWorld, result: ExecutionResult): StatusChangeEvent {
  const { name, executionArn, status, output, error = null, cause = null, startMs, stopMs = null } = result;
  return {
    version: '0',
    id: ids.hex(16),
    source: 'aws.states',
    'detail-type': 'Step Functions Execution Status Change',
    account: embeddedAccount,
    region: embeddedRegion,
    time: new Date(clock.now()).toISOString(),
    resources: [executionArn],
    detail: {
      ...{ executionArn, stateMachineArn, name, status, startDate: startMs, stopDate: stopMs, error, cause },
      input: JSON.stringify(result.input),
      output: output === undefined ? null : JSON.stringify(output),
    },
  };
}
