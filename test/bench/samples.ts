/** What one run of the command leaves to measure: progress rows as they came, events, peaks of memory, the result. */
import type { CheckpointManifest, EpochRow, EventRow, ProgressRow, RunResult } from '../../core/run.ts';

export interface RunSamples {
  readonly spawnedAtMs: number;
  readonly batchSize: number;
  readonly progress: readonly ProgressRow[];
  readonly events: readonly EventRow[];
  readonly epochs: readonly EpochRow[];
  /** The newest one at the end. */
  readonly checkpoint: CheckpointManifest | undefined;
  /** Greatest resident size of each task process, MiB. */
  readonly peakMemoryMiB: readonly number[];
  readonly result: RunResult;
}
