/**
 * Errors as the States Language knows them: a name and a cause. Owns which name in `ErrorEquals` matches which error, and
 * how something thrown by a function becomes an error, as Lambda would report it.
 *
 * Invariants
 *  E1  States.Timeout also matches States.HeartbeatTimeout; States.TaskFailed matches everything but States.Timeout;
 *      States.ALL matches everything.
 *  E2  No wildcard matches States.DataLimitExceeded; nothing at all matches States.Runtime.
 *  E3  The name of what a function throws is the error's name: a CuttlefishError's kind is what Retry and Catch see.
 */
import { CuttlefishError } from '../../../core/failure.ts';
import { limits } from './definition.ts';

/** Names that a definition may use besides those that its functions throw. */
export const predefinedErrors = [
  'States.ALL',
  'States.TaskFailed',
  'States.Timeout',
  'States.HeartbeatTimeout',
  'States.QueryEvaluationError',
  'States.DataLimitExceeded',
  'States.NoChoiceMatched',
  'States.Permissions',
  'States.Runtime',
] as const;

/** What the Lambda service itself reports, which a Retry should name. */
export const lambdaErrors = [
  'Lambda.ClientExecutionTimeoutException',
  'Lambda.ServiceException',
  'Lambda.AWSLambdaException',
  'Lambda.SdkClientException',
  'Lambda.TooManyRequestsException',
  'Lambda.ResourceNotFoundException',
  'Lambda.Unknown',
  'Runtime.ExitError',
  'Sandbox.Timedout',
] as const;

/** Where an error arose; decides only which event the history shows. */
export type Origin = 'evaluation' | 'task' | 'timeout' | 'branch';

export class StatesError extends Error {
  readonly error: string;
  readonly causeText: string;
  readonly origin: Origin;

  constructor(error: string, cause: string, origin: Origin) {
    super(`${error}: ${cause}`);
    this.name = 'StatesError';
    this.error = error.slice(0, limits.errorChars);
    this.causeText = cause.slice(0, limits.causeChars);
    this.origin = origin;
  }
}

/** What `$states.errorOutput` and a catcher without Output give. */
export function errorOutput(failure: StatesError): { readonly Error: string; readonly Cause: string } {
  return { Error: failure.error, Cause: failure.causeText };
}

export function matches(errorEquals: readonly string[], error: string): boolean {
  if (error === 'States.Runtime') return false;
  return errorEquals.some((name) => {
    if (name === error) return true;
    if (error === 'States.DataLimitExceeded') return false;
    if (name === 'States.ALL') return true;
    if (name === 'States.TaskFailed') return error !== 'States.Timeout';
    return name === 'States.Timeout' && error === 'States.HeartbeatTimeout';
  });
}

/** As the Lambda runtime for Node reports what a handler threw. Our own errors say all in their message: no trace. */
export function lambdaFailure(thrown: unknown): StatesError {
  const error = thrown instanceof Error ? thrown.name : typeof thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const trace = thrown instanceof Error && !(thrown instanceof CuttlefishError) ? thrown.stack?.split('\n') : undefined;
  const cause = { errorType: error, errorMessage: message, ...(trace === undefined ? {} : { trace }) };
  return new StatesError(error, JSON.stringify(cause), 'task');
}

export function lambdaTimedOut(timeoutMs: number): StatesError {
  const message = `Task timed out after ${(timeoutMs / 1000).toFixed(2)} seconds`;
  return new StatesError(
    'Sandbox.Timedout',
    JSON.stringify({ errorType: 'Sandbox.Timedout', errorMessage: message }),
    'task',
  );
}

/** The value as JSON gives it back, or DataLimitExceeded: what travels between states is bounded, as on AWS. */
export function bounded<T>(value: T, what: string, origin: Origin = 'evaluation'): T {
  const text = JSON.stringify(value ?? null);
  const bytes = Buffer.byteLength(text);
  if (bytes > limits.payloadBytes) {
    throw new StatesError(
      'States.DataLimitExceeded',
      `${what} is ${bytes} bytes; at most ${limits.payloadBytes} may travel between states: pass a reference instead`,
      origin,
    );
  }
  return JSON.parse(text) as T;
}
