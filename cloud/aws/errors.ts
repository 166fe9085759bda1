/**
 * Reading what the SDK throws. The name is what decides; where AWS hides the cause in the text (EC2 throttling arrives
 * as InvalidParameterException with "Rate exceeded" in the message) the text is read as well.
 */

export interface Refusal {
  readonly name: string;
  readonly message: string;
  readonly status: number | undefined;
  /** Tries of the SDK, the last one included: more than one means that an earlier one may have succeeded unseen. */
  readonly attempts: number;
}

export function readRefusal(thrown: unknown): Refusal {
  const error = thrown as {
    name?: unknown;
    message?: unknown;
    $metadata?: { httpStatusCode?: number; attempts?: number };
  };
  return {
    name: typeof error?.name === 'string' ? error.name : 'Error',
    message: typeof error?.message === 'string' ? error.message : String(thrown),
    status: error?.$metadata?.httpStatusCode,
    attempts: error?.$metadata?.attempts ?? 1,
  };
}

const throttleNames = new Set([
  'ThrottlingException',
  'Throttling',
  'ThrottledException',
  'RequestLimitExceeded',
  'TooManyRequestsException',
  'RequestThrottledException',
  'SlowDown',
  'ProvisionedThroughputExceededException',
]);
const throttleText = /rate exceeded|throttl|too many requests|request limit exceeded/i;
const networkNames = new Set(['TimeoutError', 'ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ETIMEDOUT', 'AbortError']);

export function isThrottling(refusal: Refusal): boolean {
  return refusal.status === 429 || throttleNames.has(refusal.name) || throttleText.test(refusal.message);
}

/** A later identical call may go well. */
export function isTransient(refusal: Refusal): boolean {
  return (
    isThrottling(refusal) ||
    (refusal.status !== undefined && refusal.status >= 500) ||
    refusal.name === 'ServerException' ||
    networkNames.has(refusal.name) ||
    refusal.status === undefined
  );
}
