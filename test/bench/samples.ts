/** What one run of the command leaves to measure: progress rows as they came, events, steps, peaks of memory, the result. */
import type { RunResult } from '../../core/result.ts';
import type { CheckpointManifest, EpochRow, EventRow, ProgressRow } from '../../core/run.ts';

export interface RunSamples {
  readonly spawnedAtMs: number;
  readonly endedAtMs: number;
  readonly batchSize: number;
  readonly progress: readonly ProgressRow[];
  readonly events: readonly EventRow[];
  readonly epochs: readonly EpochRow[];
  /** In the order of their start. */
  readonly tasks: readonly TaskSamples[];
  /** The newest one at the end. */
  readonly checkpoint: CheckpointManifest | undefined;
  readonly result: RunResult;
}

export interface TaskSamples {
  readonly taskId: string;
  readonly startedAtMs: number;
  /** The greatest resident size of the process, where the system tells. */
  readonly peakMemoryMiB: number | undefined;
  /** Processor time of the process, looked at now and then; empty where the system does not tell. */
  readonly processor: readonly ProcessorSample[];
  /** Steps as this task applied them; empty unless the run logged them. */
  readonly steps: readonly StepSample[];
}

export interface StepSample {
  readonly step: number;
  readonly atMs: number;
}

export interface ProcessorSample {
  readonly atMs: number;
  /** Since the process began, of all its threads. */
  readonly spentMs: number;
}
