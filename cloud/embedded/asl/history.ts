/**
 * The history of an execution: its records, and what they add up to. Owns `fold`, the only way a position changes: the
 * runner appends a record and folds it, a resumed execution folds the records it reads. So both are at the same place.
 *
 * Invariants
 *  H1  Records with an `id` are the events that AWS would show, counted 1, 2, 3, ...; the others are bookkeeping of the
 *      embedded world (opened again, task called again, status delivered) and count for nothing.
 *  H2  Every prefix of a history folds to positions from which the execution can go on.
 *  H3  Interrupting and resuming adds no counted event: the counted history is that of an undisturbed execution.
 */

export interface JournalRecord {
  /** Absent: bookkeeping. */
  readonly id?: number;
  /** Wall clock, milliseconds. */
  readonly at: number;
  readonly type: string;
  /** '' is the execution itself; '7.0' the first branch of the Map or Parallel started by event 7; then '7.0/12.1'. */
  readonly flow: string;
  readonly state?: string;
  readonly input?: unknown;
  readonly output?: unknown;
  readonly assign?: Readonly<Record<string, unknown>>;
  /** Where the flow goes after a state; null at its end. */
  readonly next?: string | null;
  readonly result?: unknown;
  readonly error?: string;
  readonly cause?: string;
  readonly retry?: { readonly retrier: number; readonly dueMs: number };
  readonly token?: string;
  readonly session?: number;
}
export type RecordBody = Omit<JournalRecord, 'id' | 'at' | 'type' | 'flow'>;

/** How far the present state of a flow has come. */
export type Pending =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'called'; readonly stage: 'scheduled' | 'started' | 'submitted'; readonly token?: string }
  | { readonly kind: 'branches'; readonly startedId: number }
  | { readonly kind: 'retry'; readonly dueMs: number }
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'error'; readonly error: string; readonly cause: string };

export interface Position {
  readonly state: string;
  readonly input: unknown;
  /** Assigned in this flow; those of the flows around it are not repeated. */
  readonly variables: Readonly<Record<string, unknown>>;
  /** Absent until the state was entered. */
  readonly enteredMs?: number;
  readonly pending: Pending;
  /** Attempts used, by retrier. */
  readonly tried: readonly number[];
  /** The iteration of a Map: its start, its end were recorded. */
  readonly iteration: 'none' | 'started' | 'ended';
  readonly ended?: { readonly output: unknown } | { readonly error: string; readonly cause: string };
}

export type Status = 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'TIMED_OUT' | 'ABORTED';

export interface Summary {
  readonly status: Status;
  readonly output?: unknown;
  readonly error?: string;
  readonly cause?: string;
  readonly startMs?: number;
  readonly stopMs?: number;
  /** Counted events. */
  readonly events: number;
  /** Time during which a host was stepping this execution; what TimeoutSeconds of the machine is measured against. */
  readonly activeMs: number;
  readonly lastMs?: number;
  readonly delivered: boolean;
}

const endings: Readonly<Record<string, Status>> = {
  ExecutionSucceeded: 'SUCCEEDED',
  ExecutionFailed: 'FAILED',
  ExecutionTimedOut: 'TIMED_OUT',
  ExecutionAborted: 'ABORTED',
};

export function beginning(state: string, input: unknown): Position {
  return { state, input, variables: {}, pending: { kind: 'nothing' }, tried: [], iteration: 'none' };
}

export class History {
  readonly positions = new Map<string, Position>();
  summary: Summary = { status: 'RUNNING', events: 0, activeMs: 0, delivered: false };

  add(record: JournalRecord): void {
    this.summary = sum(this.summary, record);
    const position = this.positions.get(record.flow);
    const next = fold(position, record);
    if (next !== undefined) this.positions.set(record.flow, next);
  }
}

function sum(summary: Summary, record: JournalRecord): Summary {
  const ran = summary.lastMs === undefined || record.type === 'Reopened' ? 0 : Math.max(0, record.at - summary.lastMs);
  const base: Summary = {
    ...summary,
    ...(summary.startMs === undefined ? { startMs: record.at } : {}),
    lastMs: record.at,
    events: record.id ?? summary.events,
    activeMs: summary.activeMs + ran,
    delivered: summary.delivered || record.type === 'StatusDelivered',
  };
  const status = endings[record.type];
  if (status === undefined) return base;
  const { output, error, cause } = record;
  return {
    ...base,
    status,
    stopMs: record.at,
    ...(status === 'SUCCEEDED' ? { output } : {}),
    ...(error === undefined ? {} : { error }),
    ...(cause === undefined ? {} : { cause }),
  };
}

/** The position of the record's own flow after it; undefined when the record is not about a position. */
export function fold(position: Position | undefined, record: JournalRecord): Position | undefined {
  const { type, state } = record;
  if (type.endsWith('StateEntered')) {
    const { variables = {}, iteration = 'none' } = position ?? {};
    return { ...beginning(state ?? '', record.input), variables, iteration, enteredMs: record.at };
  }
  if (type === 'MapIterationStarted') return { ...beginning(state ?? '', record.input), iteration: 'started' };
  if (position === undefined) return undefined;
  if (type.endsWith('StateExited')) {
    const variables = { ...position.variables, ...record.assign };
    if (record.next === null) return { ...position, variables, ended: { output: record.output } };
    return { ...beginning(record.next ?? '', record.output), variables, iteration: position.iteration };
  }
  if (record.error !== undefined) {
    const { error, cause = '', retry } = record;
    if (type === 'MapIterationFailed') return { ...position, iteration: 'ended', ended: { error, cause } };
    if (retry === undefined) return { ...position, pending: { kind: 'error', error, cause } };
    const tried = Array.from(
      { length: Math.max(position.tried.length, retry.retrier + 1) },
      (_, index) => (position.tried[index] ?? 0) + (index === retry.retrier ? 1 : 0),
    );
    return { ...position, tried, pending: { kind: 'retry', dueMs: retry.dueMs } };
  }
  const pending = pendingAfter(position.pending, record);
  if (pending !== undefined) return { ...position, pending };
  return type === 'MapIterationSucceeded' ? { ...position, iteration: 'ended' } : undefined;
}

function pendingAfter(before: Pending, record: JournalRecord): Pending | undefined {
  const token = record.token === undefined ? {} : { token: record.token };
  switch (record.type) {
    case 'TaskScheduled':
      return { kind: 'called', stage: 'scheduled', ...token };
    case 'TaskCalledAgain':
      return { kind: 'called', stage: before.kind === 'called' ? before.stage : 'scheduled', ...token };
    case 'TaskStarted':
    case 'TaskSubmitted':
      if (before.kind !== 'called') return undefined;
      return { ...before, stage: record.type === 'TaskStarted' ? 'started' : 'submitted' };
    case 'MapStateStarted':
    case 'ParallelStateStarted':
      return { kind: 'branches', startedId: record.id ?? 0 };
    case 'TaskSucceeded':
    case 'MapStateSucceeded':
    case 'ParallelStateSucceeded':
      return { kind: 'result', result: record.result };
    default:
      return undefined;
  }
}
