/**
 * An execution ended. When the workflow ended by itself the run was ended and released by it; when it was stopped from
 * outside, timed out or died, that is done here.
 */
import type { Cloud, ExecutionState } from '../cloud/ports.ts';
import { type ExecutionChange, readExecutionChange } from '../core/platform-events.ts';
import { keys, type RunRow } from '../core/run.ts';
import type { FailInput } from '../core/workflow.ts';
import { fail } from './fail.ts';
import { release } from './release.ts';
import { changeRun, value } from './rows.ts';

export type ExecutionEventOutput = { readonly kind: 'ignored' | 'released' };

export async function onExecutionEvent(event: unknown, cloud: Cloud): Promise<ExecutionEventOutput> {
  const change = readExecutionChange(event);
  if (change === undefined || !['ABORTED', 'TIMED_OUT', 'FAILED'].includes(change.status)) return { kind: 'ignored' };
  const run = await runOf(change, cloud);
  // An execution that was refused (a second one for the same run) may not end the run of the first.
  if (run === undefined || run.releasedAtMs !== undefined || run.executionArn !== change.executionArn) {
    return { kind: 'ignored' };
  }
  await endWith(run, change, cloud);
  return { kind: 'released' };
}

/** Ends and releases a run whose execution is over. */
export async function endWith({ runId }: RunRow, state: ExecutionState, cloud: Cloud): Promise<void> {
  if (state.status === 'ABORTED') {
    await changeRun(cloud, runId, () => ({ failure: { kind: 'Cancelled', by: 'whoever stopped the execution' } }));
  }
  await fail({ runId, ...errorOf(state) }, cloud);
  await release({ runId }, cloud);
}

async function runOf({ runId, name }: ExecutionChange, cloud: Cloud): Promise<RunRow | undefined> {
  for (const candidate of [runId, name, name.replace(/-r\d+$/, '')]) {
    const run = candidate === undefined ? undefined : await value<RunRow>(cloud, candidate, keys.run);
    if (run !== undefined) return run;
  }
  return undefined;
}

function errorOf({ status, error, cause }: ExecutionState): Pick<FailInput, 'error'> {
  if (status === 'ABORTED') return {};
  if (status === 'TIMED_OUT') return { error: { Error: 'States.Timeout', Cause: 'the execution ran out of its time' } };
  return { error: { Error: error ?? 'States.Runtime', Cause: cause ?? 'the execution failed without a cause' } };
}
