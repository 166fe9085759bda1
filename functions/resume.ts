/**
 * Reopens a run that has ended, as a new attempt with fresh budgets: it goes on from its newest checkpoint. The caller
 * starts the execution that the answer names.
 *
 * Invariants
 *  RS1 Only a run that has been released is reopened: a release under way would stop the tasks of the new attempt.
 *  RS2 Only a run that ended without a model is reopened; one that succeeded has nothing to go on with.
 *  RS3 The phase changes last: a crash in between leaves a run that can be reopened again. Until its execution has begun a
 *      reopened run is answered the same again.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { removeRow, updateRow } from '../cloud/update.ts';
import { executionName } from '../core/config/run-id.ts';
import { CuttlefishError } from '../core/failure.ts';
import { objectKeys } from '../core/object-keys.ts';
import { keys, type OutcomeRow, type RunRow } from '../core/run.ts';
import type { ExecutionInput } from '../core/workflow.ts';
import { isEnded, value } from './rows.ts';

export interface Reopened {
  readonly runId: string;
  readonly attempt: number;
  /** Arguments for Workflow.start. */
  readonly execution: string;
  readonly input: ExecutionInput;
}

export async function reopenRun(
  cloud: Pick<Cloud, 'table' | 'clock' | 'ids' | 'log'>,
  runId: string,
): Promise<Reopened> {
  const run = await value<RunRow>(cloud, runId, keys.run);
  if (run === undefined) throw conflict(`there is no run "${runId}"`);
  if (isReopened(run)) return reopened(run);
  if (!isEnded(run)) throw conflict(`run "${runId}" has not ended: it is ${run.phase}`);
  if (run.phase === 'succeeded') throw conflict(`run "${runId}" has succeeded: there is nothing left to train`);
  if (run.releasedAtMs === undefined) {
    throw conflict(`run "${runId}" has ended, but its tasks are still being stopped: try again in a minute`);
  }
  // What the last attempt left for its own workflow; the new one starts its turns at 0.
  const outcome = await value<OutcomeRow>(cloud, runId, keys.outcome);
  if (outcome?.kind === 'failed') await removeRow(cloud, runId, keys.outcome);
  await removeRow(cloud, runId, keys.watch);
  await removeRow(cloud, runId, keys.signal);
  const attempt = run.attempt + 1;
  await updateRow<RunRow>(cloud, runId, keys.run, (row) => {
    if (row === undefined || !isEnded(row) || row.attempt !== run.attempt) {
      throw conflict(`run "${runId}" was resumed by someone else at the same moment`);
    }
    const { startedAtMs: _, endedAtMs: __, releasedAtMs: ___, executionArn: ____, failure: _____, ...rest } = row;
    const { cancelRequestedBy: ______, decision: _______, ...kept } = rest;
    return { ...kept, phase: 'submitted', attempt, recoveries: 0, launches: 0 };
  });
  await record(cloud, runId, 'run.resumed', { by: 'resume', attempt });
  return reopened({ runId, attempt });
}

function isReopened({ phase, attempt, executionArn }: RunRow): boolean {
  return phase === 'submitted' && attempt > 0 && executionArn === undefined;
}

function reopened({ runId, attempt }: Pick<RunRow, 'runId' | 'attempt'>): Reopened {
  const input = { configUri: objectKeys.config(runId), runId };
  return { runId, attempt, execution: executionName(runId, attempt), input };
}

function conflict(message: string): CuttlefishError {
  return new CuttlefishError({ kind: 'Conflict', message });
}
