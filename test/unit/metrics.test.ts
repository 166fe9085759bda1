import { expect, test } from 'vitest';
import { metricUnits } from '../../core/metric-names.ts';
import { metricsOf } from '../../core/metrics.ts';
import type { CheckpointIndex, ProgressRow } from '../../core/run.ts';
import { testPlan } from '../support/plans.ts';

const plan = testPlan();
const nowMs = 1_000_000;
const progress: ProgressRow = {
  generation: 1,
  beat: 3,
  step: 20,
  epoch: 2,
  loss: 0.5,
  accuracy: 0.9,
  samplesPerSecond: 1200,
  atMs: nowMs,
  firstStepAtMs: nowMs - 90_000,
  usefulMs: 1,
  lostSteps: 0,
  worldSize: 2,
  tasks: [],
};
const base = { plan, recoveries: 1, spentUsd: 0.1234567, nowMs };

test('before the first step only what was spent is known', () => {
  expect(metricsOf(base)).toEqual({ Recoveries: 1, CostUsd: 0.123457 });
});

test('a checkpoint is as old as the newest, or as the training when there is none yet', () => {
  expect(metricsOf({ ...base, progress })).toEqual({
    Recoveries: 1,
    CostUsd: 0.123457,
    Loss: 0.5,
    Accuracy: 0.9,
    SamplesPerSecond: 1200,
    CheckpointAgeSeconds: 90,
  });
  const checkpoints = { manifests: [{ atMs: nowMs - 5_000 }], damaged: [] } as unknown as CheckpointIndex;
  expect(metricsOf({ ...base, progress, checkpoints }).CheckpointAgeSeconds).toBe(5);
});

test('a run that keeps none is not late with one, and a loss that is no number is none', () => {
  const without = { ...plan, checkpoint: { ...plan.checkpoint, everySteps: 0 } };
  const values = metricsOf({ ...base, plan: without, progress: { ...progress, loss: Number.NaN } });
  expect(Object.keys(values)).not.toContain('CheckpointAgeSeconds');
  expect(Object.keys(values)).not.toContain('Loss');
  for (const name of Object.keys(values)) expect(Object.keys(metricUnits)).toContain(name);
});
