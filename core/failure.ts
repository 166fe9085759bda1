/**
 * Why something did not go well, as data. Owns the one union of failure kinds, the table that says whose fault each
 * is, what the system does next and what a person should do, and the one thrown class that carries a failure.
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

/** Whose doing it is, and so who should act: `deployment` is whoever deployed the stack, `platform` is a fault of ours. */
export type Fault = 'user' | 'capacity' | 'infrastructure' | 'deployment' | 'platform' | 'nobody';
/** What the system does by itself. */
export type Remedy = 'stop' | 'relaunch' | 'recover' | 'step-aside' | 'step-back' | 'retry';

/** A row of docs/failures.md. */
export interface Advice {
  readonly fault: Fault;
  /** What the system does by itself, in a sentence. */
  readonly weDo: string;
  /** What a person should do, in a sentence. */
  readonly youDo: string;
}

export const failureTable: { readonly [K in FailureKind]: Advice & { readonly remedy: Remedy } } = {
  ConfigInvalid: {
    fault: 'user',
    remedy: 'stop',
    weDo: 'refuse it before anything is started, with every problem at once; a dropped file finds them beside it',
    youDo: 'correct the lines that are named, and drop the file again',
  },
  DataInvalid: {
    fault: 'user',
    remedy: 'stop',
    weDo: 'end the run before a launch, or as soon as a task finds it',
    youDo:
      'correct `data` in the config or the files it names; on AWS they lie under `data/` of the bucket or in a bucket that the stage allows',
  },
  CapacityUnavailable: {
    fault: 'capacity',
    remedy: 'relaunch',
    weDo: 'ask again with growing pauses, on the next rung of the ladder (Spot, then on-demand), until the start or hold deadline',
    youDo: 'try later, allow `fallback: on-demand`, lower `cluster.workers.min`, or use another Region or size',
  },
  LaunchFailed: {
    fault: 'deployment',
    remedy: 'relaunch',
    weDo: 'ask again when another try may help; end the run when it cannot',
    youDo: 'read the reason: it names the image, role, log group or subnet of the stack that has to be corrected',
  },
  TaskLost: {
    fault: 'infrastructure',
    remedy: 'recover',
    weDo: 'go on with the survivors, replace the task, and pay from the recovery budget unless it was an interruption',
    youDo: 'nothing once; when it repeats, look at the log of the task (`cuttlefish logs`) for what ends it',
  },
  Fenced: {
    fault: 'nobody',
    remedy: 'step-aside',
    weDo: 'let the stale task exit: a newer generation has its place',
    youDo: 'nothing',
  },
  CheckpointCorrupt: {
    fault: 'infrastructure',
    remedy: 'step-back',
    weDo: 'use the checkpoint before it',
    youDo: 'nothing; when it repeats, look at the disk or bucket',
  },
  NotConverging: {
    fault: 'user',
    remedy: 'stop',
    weDo: 'end the run and keep its last checkpoint',
    youDo: 'lower the learning rate, add warm-up, or normalise the data',
  },
  StorageFailed: {
    fault: 'infrastructure',
    remedy: 'retry',
    weDo: 'try again with growing pauses, then end what needs it',
    youDo: 'look at space and permissions of the state folder, or at the bucket and table of the stack',
  },
  BudgetExhausted: {
    fault: 'user',
    remedy: 'stop',
    weDo: 'end the run with a saved checkpoint, and name the last cause',
    youDo: 'cure the cause, or raise the budget in `recovery` or `limits`; `resume` continues with fresh budgets',
  },
  Cancelled: {
    fault: 'user',
    remedy: 'stop',
    weDo: 'stop every task and keep the newest checkpoint',
    youDo: 'nothing; `resume` continues it',
  },
  Conflict: {
    fault: 'user',
    remedy: 'stop',
    weDo: 'leave the run that was there first alone',
    youDo: 'use the run that exists, or another run id',
  },
  Unexpected: {
    fault: 'platform',
    remedy: 'stop',
    weDo: 'try again three times where a state of the workflow failed, then end the run and release it',
    youDo: 'report it with the message and `events.jsonl`; `resume` continues the run',
  },
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
