/** What is measured of a run at an instant, for people who watch many of them: pure, from its rows. */
import type { MetricName } from './metric-names.ts';
import type { RunPlan } from './plan.ts';
import type { CheckpointIndex, ProgressRow } from './run.ts';

export type MetricValues = { readonly [M in MetricName]?: number };

export interface Measured {
  readonly plan: RunPlan;
  readonly progress?: ProgressRow;
  readonly checkpoints?: CheckpointIndex;
  readonly recoveries: number;
  readonly spentUsd: number;
  readonly nowMs: number;
}

export function metricsOf({ plan, progress, checkpoints, recoveries, spentUsd, nowMs }: Measured): MetricValues {
  const money = { Recoveries: recoveries, CostUsd: Number(spentUsd.toFixed(6)) };
  if (progress === undefined) return money;
  const { loss, accuracy, samplesPerSecond, firstStepAtMs } = progress;
  // What would be lost with all tasks; a run that was told to keep none has none to be late with.
  const savedAtMs = plan.checkpoint.everySteps === 0 ? undefined : (checkpoints?.manifests[0]?.atMs ?? firstStepAtMs);
  return {
    ...money,
    // CloudWatch knows no NaN.
    ...(Number.isFinite(loss) ? { Loss: loss } : {}),
    ...(accuracy === undefined ? {} : { Accuracy: accuracy }),
    SamplesPerSecond: samplesPerSecond,
    ...(savedAtMs === undefined ? {} : { CheckpointAgeSeconds: Math.max(0, Math.round((nowMs - savedAtMs) / 1000)) }),
  };
}
