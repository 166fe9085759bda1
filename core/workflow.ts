/**
 * What travels between the states of statemachines/train.asl.yaml: ids and references only, far below 256 KiB.
 * The functions (functions/<state>.ts) take and return these; the definition is checked against them by a test.
 */

/** Input of the execution: a config object in the bucket, or an inline config. */
export type ExecutionInput =
  | { readonly configUri: string; readonly version?: string; readonly runId?: string }
  | { readonly config: string; readonly runId?: string };

/** Input of Validate: the execution's input, and which execution it is. */
export type ValidateInput = ExecutionInput & { readonly executionArn?: string };

/** Kept in the variable `runId` of the state machine from Validate on. */
export interface RunRef {
  readonly runId: string;
}

export interface ValidateOutput extends RunRef {
  readonly configKey: string;
}

export interface PlanOutput extends RunRef {
  readonly usesScaling: boolean;
  readonly watchHeartbeatSeconds: number;
  readonly watchTimeoutSeconds: number;
}

export interface LaunchOutput extends RunRef {
  readonly launched: number;
  readonly missing: number;
}

export interface WatchInput extends RunRef {
  readonly taskToken: string;
  readonly turn: number;
  /** The newest signal Decide had seen. */
  readonly seen: number;
}

/** What the token is answered with. */
export interface WatchOutput {
  readonly signal: number;
}

export interface DecideInput extends RunRef {
  readonly turn: number;
  /** progress.beat at the last Decide; -1 at first. */
  readonly beat: number;
  /** Watch ended by heartbeat or timeout, not by an answer. */
  readonly silent: boolean;
}

export const actions = ['continue', 'launch', 'scale', 'finish', 'fail'] as const;
export type Action = (typeof actions)[number];

export interface DecideOutput extends RunRef {
  readonly action: Action;
  readonly why: string;
  readonly turn: number;
  readonly seen: number;
  readonly beat: number;
  /** Pause before the next launch, so that a task that exits at once is not a hot loop. 0 for all other actions. */
  readonly waitSeconds: number;
  /** TimeoutSeconds of the next Watch: the plan's, or less when a deadline comes sooner. */
  readonly watchSeconds: number;
  /** HeartbeatSeconds of the next Watch: the plan's, or less when watchSeconds is. */
  readonly heartbeatSeconds: number;
}

/** What the machine keeps in `failure` and ends with: a kind of core/failure.ts and its description. */
export interface FailOutput extends RunRef {
  readonly error: string;
  readonly cause: string;
}

/** Input of the fail function: what Decide found (absent) or what a Catch brought. */
export interface FailInput extends RunRef {
  readonly error?: { readonly Error?: string; readonly Cause?: string } | null;
}
