/**
 * What a finished run leaves for people and programs, from its rows: the result, the lines of metrics.jsonl and
 * events.jsonl. The page is core/report-page.ts.
 *
 * Invariants
 *  RP1 Pure: the same rows give the same bytes, so writing them again changes nothing.
 *  RP2 A run that failed or was cancelled has a result too, with as much as is known.
 */
import { classifyStop, stopReasons } from './classify.ts';
import { receiptOf } from './cost.ts';
import { describeFailure, type Failure } from './failure.ts';
import { incidentsOf } from './incidents.ts';
import type { RunPlan } from './plan.ts';
import type { RunResult } from './result.ts';
import type {
  CheckpointIndex,
  EpochRow,
  EventRow,
  GangRow,
  LaunchRow,
  OutcomeRow,
  ProgressRow,
  RunRow,
  TaskRow,
} from './run.ts';

/** Everything that is known of a run when it ends; plan and what follows from it are missing when Plan failed. */
export interface RunRows {
  readonly run: RunRow;
  readonly plan?: RunPlan;
  readonly outcome?: OutcomeRow;
  readonly progress?: ProgressRow;
  readonly gang?: GangRow;
  readonly checkpoints?: CheckpointIndex;
  readonly epochs: readonly EpochRow[];
  readonly tasks: readonly TaskRow[];
  readonly launches: readonly LaunchRow[];
  readonly turns: number;
  readonly endedAtMs: number;
  /** Of the artefacts, each where a person finds it. */
  readonly artifacts: RunResult['artifacts'];
}

export function composeResult(status: RunResult['status'], rows: RunRows, failure?: Failure): RunResult {
  const { run, outcome, progress, epochs, gang, endedAtMs } = rows;
  const last = epochs.at(-1);
  const checkpoint = rows.checkpoints?.manifests[0];
  const accuracy = outcome?.metrics.accuracy ?? last?.accuracy;
  const loss = outcome?.metrics.loss ?? last?.loss;
  const { model, plan, ...written } = rows.artifacts;
  const trained = outcome?.kind === 'trained';
  const steps = outcome?.steps ?? progress?.step ?? checkpoint?.step ?? 0;
  return {
    runId: run.runId,
    status,
    epochs: outcome?.epochs ?? epochs.length,
    steps,
    metrics: { ...(accuracy === undefined ? {} : { accuracy }), ...(loss === undefined ? {} : { loss }) },
    ...(trained ? { weightsDigest: outcome.weightsDigest } : {}),
    recoveries: recoveriesOf(rows),
    lostSteps: outcome?.lostSteps ?? progress?.lostSteps ?? 0,
    generations: outcome?.generations ?? gang?.generation ?? 0,
    // No epoch says anything of it where nothing is promised: asynchronous mode, and before the first.
    ...(epochs.every((row) => row.dataExactlyOnce === undefined)
      ? {}
      : { dataExactlyOnce: isEveryEpochWhole(epochs, outcome?.epochs ?? 0) }),
    goodput: goodput(rows),
    durationMs: Math.max(0, endedAtMs - (run.startedAtMs ?? run.submittedAtMs)),
    ...(outcome === undefined ? {} : { engine: outcome.engine }),
    receipt: receiptOf(rows, steps, transitionsOf(rows)),
    ...(failure === undefined ? {} : { failure: { ...failure, message: describeFailure(failure) } }),
    artifacts: {
      ...(trained && model !== undefined ? { model } : {}),
      ...written,
      ...(rows.plan === undefined || plan === undefined ? {} : { plan }),
    },
  };
}

/**
 * What this attempt of the run has recovered from: tasks that were lost, interrupted, dropped by their gang, or left and
 * were replaced. Those that went together count once. Workers that left because fewer were wanted are no loss.
 */
function recoveriesOf({ run, plan, tasks, endedAtMs }: RunRows): number {
  if (plan === undefined) return 0;
  const own = tasks.filter((task) => task.launchedAtMs >= (run.startedAtMs ?? run.submittedAtMs));
  const gone = own.filter((task) => {
    if (task.failure?.kind === 'TaskLost' || task.stop?.reason === stopReasons.dropped) return true;
    const { stoppedAtMs } = task;
    if (stoppedAtMs === undefined || task.stop === undefined || classifyStop(task.stop) !== 'left') return false;
    return own.some((other) => other.role === task.role && other.launchedAtMs >= stoppedAtMs);
  });
  return incidentsOf(gone, plan.timing, endedAtMs).length;
}

function goodput({ outcome, progress, run, endedAtMs }: RunRows): number {
  const usefulMs = outcome?.usefulMs ?? progress?.usefulMs ?? 0;
  const sinceMs = progress?.firstStepAtMs ?? run.startedAtMs;
  // Training ends with its last progress; exporting and reporting are not training.
  const untilMs = progress?.atMs ?? endedAtMs;
  if (sinceMs === undefined || untilMs <= sinceMs) return 0;
  return Number(Math.min(1, usefulMs / (untilMs - sinceMs)).toFixed(4));
}

/** States entered: the beginning and the end are 12, a turn is Watch, Decide, Route; a further round of launches 4. */
function transitionsOf({ turns, launches }: RunRows): number {
  const rounds = new Set(launches.map((launch) => launch.round)).size;
  return 12 + 3 * turns + 4 * Math.max(0, rounds - 1);
}

/** All epochs from the first on, at least as many as were trained, each with every sample in it once. */
function isEveryEpochWhole(epochs: readonly EpochRow[], trained: number): boolean {
  return (
    epochs.length >= trained && epochs.every((row, index) => row.epoch === index + 1 && row.dataExactlyOnce === true)
  );
}

export function metricsLines(epochs: readonly EpochRow[]): string {
  return lines(epochs);
}

export function eventLines(events: readonly EventRow[]): string {
  return lines([...events].sort((a, b) => a.atMs - b.atMs));
}

function lines(rows: readonly unknown[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}
