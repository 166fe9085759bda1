/**
 * The run cannot go on, or must not: finds out why, keeps it with the run, and writes what the run leaves all the same.
 *
 * Invariants
 *  FA1 The first end of a run counts: a run that has succeeded is not failed afterwards (T3).
 *  FA2 The answer carries the kind of the failure as `error`: it is what the execution ends with.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { describeFailure, type Failure, failureTable } from '../core/failure.ts';
import type { FailInput, FailOutput } from '../core/workflow.ts';
import { writeArtifacts } from './artifacts.ts';
import { isConfigKey, keyOf, writeErrors } from './config-source.ts';
import { endRun, isEnded, readRun } from './rows.ts';

export async function fail({ runId, error }: FailInput, cloud: Cloud): Promise<FailOutput> {
  const run = await readRun(cloud, runId);
  const failure = failureFrom(run.failure, error ?? undefined);
  if (!isEnded(run)) {
    const cancelled = failure.kind === 'Cancelled';
    const status = cancelled ? 'cancelled' : 'failed';
    await record(cloud, runId, cancelled ? 'run.cancelled' : 'run.failed', {
      by: 'fail',
      kind: failure.kind,
      why: describeFailure(failure),
    });
    const key = run.configUri === undefined ? undefined : keyOf(cloud, run.configUri);
    // A person dropped a file and looks there: data that cannot be used is told there as a bad config would be.
    if (key !== undefined && isConfigKey(key) && ['ConfigInvalid', 'DataInvalid'].includes(failure.kind)) {
      await writeErrors(cloud, key, failure);
    }
    const result = await writeArtifacts(cloud, runId, status, failure);
    await endRun(cloud, runId, status, failure);
    await cloud.notices.publish(`cuttlefish.run.${status}`, { ...result });
  }
  return { runId, error: failure.kind, cause: describeFailure(failure).slice(0, 4000) };
}

/**
 * What Decide or a function that threw has kept, unless the error names another kind: then the error came later and from
 * elsewhere, and is what ended the run.
 */
export function failureFrom(kept: Failure | undefined, error: FailInput['error'] | undefined): Failure {
  if (error?.Error === undefined) {
    return kept ?? { kind: 'Unexpected', message: 'the run was ended without a reason' };
  }
  if (kept !== undefined && kept.kind === error.Error) return kept;
  const message = messageIn(error.Cause ?? '');
  const known = Object.hasOwn(failureTable, error.Error);
  return { kind: 'Unexpected', message: known && message !== '' ? message : `${error.Error}: ${message}` };
}

/** Lambda puts {errorType, errorMessage, trace} into the cause; others put plain text there, possibly cut. */
function messageIn(cause: string): string {
  try {
    const parsed: unknown = JSON.parse(cause);
    if (typeof parsed === 'object' && parsed !== null && 'errorMessage' in parsed) return String(parsed.errorMessage);
  } catch {
    // Not JSON, or cut off.
  }
  return cause.slice(0, 2000);
}
