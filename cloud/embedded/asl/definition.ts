/**
 * The part of the Amazon States Language (JSONata) that the embedded world runs, as types. What is not here is refused
 * when a definition is loaded (load.ts); docs/asl-support.md is the list for people.
 *
 * Invariants
 *  L1  A StateMachine is plain JSON: it can be stored beside an execution, digested and sent to AWS as it is.
 *  L2  Whatever has this type has passed `checkDefinition`; the interpreter does not check again.
 */

/** JSON in which a string `{% ... %}` is an expression. */
export type Template = unknown;

export interface Flow {
  readonly StartAt: string;
  readonly States: Readonly<Record<string, State>>;
}

export interface StateMachine extends Flow {
  readonly Comment?: string;
  readonly QueryLanguage: 'JSONata';
  readonly Version?: string;
  readonly TimeoutSeconds?: number;
}

export interface Retrier {
  readonly ErrorEquals: readonly string[];
  readonly IntervalSeconds?: number;
  readonly MaxAttempts?: number;
  readonly BackoffRate?: number;
  readonly MaxDelaySeconds?: number;
  readonly JitterStrategy?: 'FULL' | 'NONE';
}

interface Outputs {
  readonly Output?: Template;
  readonly Assign?: Readonly<Record<string, Template>>;
}

export interface Catcher extends Outputs {
  readonly ErrorEquals: readonly string[];
  readonly Next: string;
}

interface Common extends Outputs {
  readonly Comment?: string;
  readonly QueryLanguage?: 'JSONata';
}

interface Going {
  readonly Next?: string;
  readonly End?: boolean;
}

interface Guarded {
  readonly Retry?: readonly Retrier[];
  readonly Catch?: readonly Catcher[];
}

export interface TaskState extends Common, Going, Guarded {
  readonly Type: 'Task';
  readonly Resource: string;
  readonly Arguments?: Template;
  readonly TimeoutSeconds?: number | string;
  readonly HeartbeatSeconds?: number | string;
}

export interface ChoiceRule extends Outputs {
  readonly Condition: boolean | string;
  readonly Next: string;
}

export interface ChoiceState extends Common {
  readonly Type: 'Choice';
  readonly Choices: readonly ChoiceRule[];
  readonly Default?: string;
}

export interface WaitState extends Common, Going {
  readonly Type: 'Wait';
  readonly Seconds?: number | string;
  readonly Timestamp?: string;
}

export interface PassState extends Common, Going {
  readonly Type: 'Pass';
}

export interface MapState extends Common, Going, Guarded {
  readonly Type: 'Map';
  readonly Items?: Template;
  readonly ItemSelector?: Template;
  readonly ItemProcessor: Flow & { readonly ProcessorConfig?: { readonly Mode?: 'INLINE' } };
  readonly MaxConcurrency?: number | string;
}

export interface ParallelState extends Common, Going, Guarded {
  readonly Type: 'Parallel';
  readonly Arguments?: Template;
  readonly Branches: readonly Flow[];
}

export interface SucceedState extends Common {
  readonly Type: 'Succeed';
}

export interface FailState {
  readonly Type: 'Fail';
  readonly Comment?: string;
  readonly QueryLanguage?: 'JSONata';
  readonly Error?: string;
  readonly Cause?: string;
}

export type State =
  | TaskState
  | ChoiceState
  | WaitState
  | PassState
  | MapState
  | ParallelState
  | SucceedState
  | FailState;
export type StateType = State['Type'];

export const invokeResource = 'arn:aws:states:::lambda:invoke';
/** Runs an execution of another machine to its end, and reads its output as JSON. */
export const nestedResource = 'arn:aws:states:::states:startExecution.sync:2';
export const tokenResource = 'arn:aws:states:::lambda:invoke.waitForTaskToken';

export function waitsForToken(state: State): boolean {
  return state.Type === 'Task' && state.Resource === tokenResource;
}

/** Limits of AWS that the interpreter keeps, so that a run that ends well here does not meet them first there. */
export const limits = {
  payloadBytes: 262_144,
  historyEvents: 25_000,
  errorChars: 256,
  causeChars: 32_768,
  inlineMapConcurrency: 40,
  maxSeconds: 99_999_999,
  variableNameChars: 80,
  rangeItems: 1000,
} as const;
