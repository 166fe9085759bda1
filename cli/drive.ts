/**
 * Drives one run in this process from wherever it stands to its end, showing it meanwhile: what `train` and `resume` have
 * in common.
 *
 * Invariants
 *  DR1 The first Ctrl-C (or SIGTERM, or a closed terminal) ends the tasks and leaves a run that can be continued; the
 *      second ends this process at once, which is just as safe.
 *  DR2 A run that has succeeded is never trained again: its stored result is the answer.
 *  DR3 A run that failed or was cancelled is reopened as a new attempt, once its release is complete.
 */
import { executionName } from '../core/config/run-id.ts';
import { CuttlefishError, describeFailure, type Failure, failureTable } from '../core/failure.ts';
import { objectKeys } from '../core/object-keys.ts';
import type { RunResult } from '../core/result.ts';
import { keys, type RunRow } from '../core/run.ts';
import type { ExecutionInput } from '../core/workflow.ts';
import { functions } from '../functions/registry.ts';
import { reopenRun } from '../functions/resume.ts';
import type { Host } from './host.ts';
import { hasEnded } from './look.ts';
import { type ExitCode, exitCodeFor, exitCodes, type Output, usageError } from './output.ts';
import { commandFor } from './paths.ts';
import { showProgress, standardError } from './progress.ts';
import { readResult, summarise } from './result.ts';

export interface Submission {
  readonly runId: string;
  /** The config of a run that may not exist yet; absent for `resume`. */
  readonly text?: string;
  readonly command: 'train' | 'resume';
}

export async function driveRun(host: Host, submission: Submission, output: Output): Promise<ExitCode> {
  const { runId } = submission;
  const next = await nextExecution(host, submission, output);
  if (next.kind === 'stored') {
    output.note(`run ${runId} has succeeded already; "--fresh" trains anew`);
    return report(next.result, output);
  }
  const progress = await showProgress(host.cloud, runId, standardError());
  const interruption = onInterrupt(output);
  try {
    await host.drive(next.execution, next.input);
    const ended = await Promise.race([host.wait(next.execution), interruption.happened, host.gone]);
    if (ended === 'interrupted') {
      await host.close();
      await progress.stop();
      const resume = commandFor('resume', runId, host.cloud.stateDir);
      output.note(`\nStopped. Continue with: ${resume}`);
      output.document({ runId, status: 'interrupted', resume });
      return exitCodes.cancelled;
    }
    await progress.stop();
    const run = await host.cloud.table.get<RunRow>(runId, keys.run);
    const result = await readResult(host.cloud, runId);
    if (run === undefined || !hasEnded(run.value) || result === undefined) throw unfinished(ended.error, ended.cause);
    return report(result, output);
  } catch (error) {
    if (await canContinue(host, runId))
      output.note(`The run stays as it is. Continue it with: ${commandFor('resume', runId, host.cloud.stateDir)}`);
    throw error;
  } finally {
    interruption.forget();
    await progress.stop();
  }
}

async function canContinue({ cloud }: Host, runId: string): Promise<boolean> {
  const run = await cloud.table.get<RunRow>(runId, keys.run).catch(() => undefined);
  return run !== undefined && !hasEnded(run.value);
}

type Next =
  | { readonly kind: 'stored'; readonly result: RunResult }
  | { readonly kind: 'execution'; readonly execution: string; readonly input: ExecutionInput };

async function nextExecution(host: Host, { runId, text, command }: Submission, output: Output): Promise<Next> {
  const { cloud } = host;
  await host.take(runId, command);
  const row = await cloud.table.get<RunRow>(runId, keys.run);
  if (row === undefined) {
    if (text === undefined) throw usageError(`there is no run ${runId}`);
    return { kind: 'execution', execution: runId, input: { config: text, runId } };
  }
  const run = row.value;
  const kept = await cloud.objects.get(objectKeys.config(runId));
  if (text !== undefined && kept !== undefined && Buffer.from(kept.body).toString('utf8') !== text) {
    throw usageError(`run ${runId} exists with another config: choose another --run-id`);
  }
  if (!hasEnded(run)) {
    output.note(`continuing run ${runId}, which was interrupted`);
    const input = { configUri: objectKeys.config(runId), runId };
    return { kind: 'execution', execution: executionName(runId, run.attempt), input };
  }
  await completeRelease(host, run);
  if (run.phase === 'succeeded') {
    const result = await readResult(cloud, runId);
    if (result !== undefined) return { kind: 'stored', result };
    throw usageError(`run ${runId} has succeeded, but its result.json is gone: train anew with --fresh`);
  }
  output.note(
    `run ${runId} ${run.phase === 'failed' ? 'failed before' : 'was cancelled'}; continuing as a new attempt`,
  );
  const { execution, input } = await reopenRun(cloud, runId);
  return { kind: 'execution', execution, input };
}

/** A process that was killed between the end of a run and its release left the second half to us. */
async function completeRelease(host: Host, run: RunRow): Promise<void> {
  if (run.releasedAtMs !== undefined) return;
  const execution = executionName(run.runId, run.attempt);
  if ((await host.workflow.describe(execution))?.status === 'RUNNING') {
    await host.workflow.resume(execution);
    await host.wait(execution);
  }
  await functions.release({ runId: run.runId }, host.cloud);
}

export function report(result: RunResult, output: Output): ExitCode {
  output.document(result);
  output.print(summarise(result));
  if (result.status === 'succeeded') return exitCodes.done;
  const { failure } = result;
  if (failure === undefined) return exitCodes.failed;
  output.note(`cuttlefish: ${failure.message ?? describeFailure(failure as Failure)}`);
  return exitCodeFor(failure as Failure);
}

/** The workflow ended without a run that has ended: refused by its first state, or broken. */
function unfinished(error: string | undefined, cause: string | undefined): CuttlefishError {
  const message = cause === undefined || cause === '' ? (error ?? 'the workflow ended without saying why') : cause;
  const text = messageIn(message);
  const kind = error !== undefined && Object.hasOwn(failureTable, error) && error === 'Conflict' ? error : 'Unexpected';
  return new CuttlefishError({ kind, message: text });
}

function messageIn(cause: string): string {
  try {
    const { errorMessage } = JSON.parse(cause) as { errorMessage?: unknown };
    return typeof errorMessage === 'string' ? errorMessage : cause;
  } catch {
    return cause;
  }
}

/** DR1. */
export function onInterrupt(
  output: Output,
  then = 'the run can be continued',
): { readonly happened: Promise<'interrupted'>; forget(): void } {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  let listener: () => void = () => undefined;
  const happened = new Promise<'interrupted'>((resolve) => {
    let asked = false;
    listener = () => {
      if (asked) process.exit(exitCodes.cancelled);
      asked = true;
      output.note(`\nStopping the tasks; ${then}. (Once more ends at once.)`);
      resolve('interrupted');
    };
  });
  for (const signal of signals) process.on(signal, listener);
  return {
    happened,
    forget() {
      for (const signal of signals) process.off(signal, listener);
    },
  };
}
