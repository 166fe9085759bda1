/**
 * Why something did not go well, as data. Owns the one union of failure kinds, the table that says whose fault each
 * is and what the system does next, and the one thrown class that carries a failure.
 *
 * Invariants
 *  F1  Every kind has exactly one row in `failureTable`; a missing row does not compile.
 *  F2  A thrown CuttlefishError has the kind as its `name`: on Lambda that name is what Retry and Catch match, so the
 *      error names in statemachines/train.asl.yaml are kinds of this union (a test compares the two).
 *  F3  `describeFailure` says what happened, with the values, and what to do; it never needs the stack.
 */

/** One problem of a config: where it is, what was found and what would be accepted. */
export interface Issue {
  /** Dotted path of the field, e.g. `network.layers[2].units`; empty for the document itself. */
  readonly path: string;
  /** 1-based position in the file; 0 when the config did not come from text. */
  readonly line: number;
  readonly column: number;
  /** What is wrong, with the value in quotes. */
  readonly message: string;
  /** What would be accepted. */
  readonly accepted?: string;
}

export type Failure =
  | { readonly kind: 'ConfigInvalid'; readonly source: string; readonly issues: readonly Issue[] }
  | { readonly kind: 'DataInvalid'; readonly source: string; readonly message: string }
  | { readonly kind: 'CapacityUnavailable'; readonly wanted: number; readonly granted: number; readonly reason: string }
  | { readonly kind: 'LaunchFailed'; readonly task: string; readonly reason: string }
  | {
      readonly kind: 'TaskLost';
      readonly task: string;
      readonly reason: 'preempted' | 'crashed' | 'silent' | 'out-of-memory' | 'stopped';
      readonly detail: string;
    }
  | { readonly kind: 'Fenced'; readonly mine: number; readonly current: number }
  | { readonly kind: 'CheckpointCorrupt'; readonly key: string; readonly expected: string; readonly actual: string }
  | { readonly kind: 'NotConverging'; readonly step: number; readonly loss: string; readonly layer?: string }
  /** `reading`: it is there, or should be, and cannot be read. */
  | { readonly kind: 'StorageFailed'; readonly what: string; readonly reason: string; readonly reading?: true }
  | {
      readonly kind: 'BudgetExhausted';
      readonly budget: 'recoveries' | 'launches' | 'time' | 'cost' | 'turns';
      readonly spent: number;
      readonly limit: number;
      /** The failure that used the budget up, in words. */
      readonly because?: string;
    }
  | { readonly kind: 'Cancelled'; readonly by: string }
  | { readonly kind: 'Conflict'; readonly message: string }
  | { readonly kind: 'Unexpected'; readonly message: string };

export type FailureKind = Failure['kind'];
export type FailureOf<K extends FailureKind> = Extract<Failure, { kind: K }>;

/** Who should act. */
export type Fault = 'user' | 'capacity' | 'infrastructure' | 'platform';
/** What the system does by itself. */
export type Remedy = 'stop' | 'relaunch' | 'recover' | 'step-aside' | 'step-back' | 'retry';

export const failureTable: { readonly [K in FailureKind]: { readonly fault: Fault; readonly remedy: Remedy } } = {
  ConfigInvalid: { fault: 'user', remedy: 'stop' },
  DataInvalid: { fault: 'user', remedy: 'stop' },
  CapacityUnavailable: { fault: 'capacity', remedy: 'relaunch' },
  LaunchFailed: { fault: 'capacity', remedy: 'relaunch' },
  TaskLost: { fault: 'infrastructure', remedy: 'recover' },
  Fenced: { fault: 'platform', remedy: 'step-aside' },
  CheckpointCorrupt: { fault: 'infrastructure', remedy: 'step-back' },
  NotConverging: { fault: 'user', remedy: 'stop' },
  StorageFailed: { fault: 'infrastructure', remedy: 'retry' },
  BudgetExhausted: { fault: 'user', remedy: 'stop' },
  Cancelled: { fault: 'user', remedy: 'stop' },
  Conflict: { fault: 'user', remedy: 'stop' },
  Unexpected: { fault: 'platform', remedy: 'stop' },
};

/** One clear sentence or, for a config, one line an issue. */
export function describeFailure(failure: Failure): string {
  switch (failure.kind) {
    case 'ConfigInvalid':
      return [`${failure.source}: ${failure.issues.length} problem(s)`, ...failure.issues.map(describeIssue)].join(
        '\n',
      );
    case 'DataInvalid':
      return `cannot use the data in ${failure.source}: ${failure.message}`;
    case 'CapacityUnavailable':
      return `only ${failure.granted} of ${failure.wanted} tasks could be started: ${failure.reason}`;
    case 'LaunchFailed':
      return `${failure.task} could not be started: ${failure.reason}`;
    case 'TaskLost':
      return `${failure.task} was lost (${failure.reason}): ${failure.detail}`;
    case 'Fenced':
      return `generation ${failure.mine} was replaced by generation ${failure.current}`;
    case 'CheckpointCorrupt':
      return `checkpoint part ${failure.key} has digest ${failure.actual}, its manifest says ${failure.expected}`;
    case 'NotConverging':
      return `the loss became ${failure.loss} at step ${failure.step}${failure.layer ? ` (first seen in layer ${failure.layer})` : ''}: lower the learning rate or normalise the data`;
    case 'StorageFailed':
      return `could not ${failure.reading ? 'read' : 'store'} ${failure.what}: ${failure.reason}`;
    case 'BudgetExhausted':
      return `the budget for ${failure.budget} is used up (${failure.spent} of ${failure.limit})${failure.because ? `; last cause: ${failure.because}` : ''}`;
    case 'Cancelled':
      return `cancelled by ${failure.by}`;
    case 'Conflict':
    case 'Unexpected':
      return failure.message;
  }
}

/** `  3:12 network.layers[0].units: "-1" is too small; accepted: a whole number from 1 to 65536` */
export function describeIssue(issue: Issue): string {
  const where = issue.line > 0 ? `${issue.line}:${issue.column} ` : '';
  const path = issue.path === '' ? '' : `${issue.path}: `;
  return `  ${where}${path}${issue.message}${issue.accepted ? `; accepted: ${issue.accepted}` : ''}`;
}

export class CuttlefishError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure, options?: { cause?: unknown }) {
    super(describeFailure(failure), options);
    this.name = failure.kind;
    this.failure = failure;
  }
}

/** What was thrown, as a failure: our own are unwrapped, anything else is Unexpected. */
export function toFailure(thrown: unknown): Failure {
  if (thrown instanceof CuttlefishError) return thrown.failure;
  return { kind: 'Unexpected', message: thrown instanceof Error ? thrown.message : String(thrown) };
}
