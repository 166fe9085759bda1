/**
 * What a person, or another system, may ask of a run that is under way or over: the one function of the stack that is
 * called by hand (`aws lambda invoke`), with what the commands of the same names do on a laptop.
 *
 * Invariants
 *  CT1 Every request gets an answer that says what happened or why nothing did; only what is ours to mend is thrown.
 *  CT2 It writes wishes and starts executions; tasks are started and stopped by the workflow alone.
 */
import type { Cloud } from '../cloud/ports.ts';
import { readControl } from '../core/control.ts';
import { CuttlefishError } from '../core/failure.ts';
import { keys, type ProgressRow, type RunRow } from '../core/run.ts';
import { type CancelOutput, cancelRun } from './cancel.ts';
import { type ResizeOutput, resizeRun } from './resize.ts';
import { reopenRun } from './resume.ts';
import { value } from './rows.ts';

export type ControlOutput =
  | CancelOutput
  | ResizeOutput
  | { readonly kind: 'resumed'; readonly executionArn: string }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'status'; readonly run: RunRow; readonly progress?: Omit<ProgressRow, 'tasks'> };

export async function control(input: unknown, cloud: Cloud): Promise<ControlOutput> {
  const read = readControl(input);
  if (read.kind === 'refused') return read;
  const { request } = read;
  const { runId, by } = request;
  switch (request.action) {
    case 'status':
      return statusOf(runId, cloud);
    case 'cancel':
      return cancelRun(cloud, runId, by);
    case 'scale':
      return resizeRun(cloud, runId, String(request.workers), by);
    case 'resume':
      return resume(runId, cloud);
  }
}

async function statusOf(runId: string, cloud: Cloud): Promise<ControlOutput> {
  const run = await value<RunRow>(cloud, runId, keys.run);
  if (run === undefined) return { kind: 'unknown' };
  const row = await value<ProgressRow>(cloud, runId, keys.progress);
  if (row === undefined) return { kind: 'status', run };
  const { tasks: _, ...progress } = row;
  return { kind: 'status', run, progress };
}

/** What cannot be resumed is an answer here: nobody waits for a run that would fail with it. */
async function resume(runId: string, cloud: Cloud): Promise<ControlOutput> {
  try {
    const { execution, input } = await reopenRun(cloud, runId);
    const { executionArn } = await cloud.workflow.start(execution, input);
    return { kind: 'resumed', executionArn };
  } catch (thrown) {
    if (!(thrown instanceof CuttlefishError) || thrown.failure.kind !== 'Conflict') throw thrown;
    return { kind: 'refused', why: thrown.message };
  }
}
