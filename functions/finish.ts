/** The run was trained: writes what it leaves, says so, and answers with the result that a parent workflow reads. */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { CuttlefishError } from '../core/failure.ts';
import type { RunResult } from '../core/result.ts';
import { keys, type OutcomeRow } from '../core/run.ts';
import type { RunRef } from '../core/workflow.ts';
import { writeArtifacts } from './artifacts.ts';
import { endRun, isEnded, readRun, value } from './rows.ts';

export async function finish({ runId }: RunRef, cloud: Cloud): Promise<RunResult> {
  const outcome = await value<OutcomeRow>(cloud, runId, keys.outcome);
  if (outcome?.kind !== 'trained') {
    throw new CuttlefishError({ kind: 'Unexpected', message: `run "${runId}" has no trained outcome to finish with` });
  }
  const before = await readRun(cloud, runId);
  if (isEnded(before) && before.phase !== 'succeeded') {
    throw new CuttlefishError({ kind: 'Conflict', message: `run "${runId}" has already ended: it is ${before.phase}` });
  }
  if (!isEnded(before)) await record(cloud, runId, 'run.finished', { by: 'finish', steps: outcome.steps });
  // The files before the phase: who waits for the phase finds them all.
  const result = await writeArtifacts(cloud, runId, 'succeeded');
  await endRun(cloud, runId, 'succeeded');
  await cloud.notices.publish('cuttlefish.run.succeeded', { ...result });
  return result;
}
