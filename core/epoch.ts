/**
 * What is recorded of an epoch that has ended, from its sums and the evaluation after it. Pure, so that a new leader records
 * the same.
 *
 * Invariants
 *  EP1 An epoch has used its data once when every partition of the parameters says so: a step may be in some and missing
 *      in others.
 */
import { rollText } from './data/roll-call.ts';
import type { EpochSums } from './gang/messages.ts';
import type { RunPlan } from './plan.ts';
import type { EpochRow } from './run.ts';
import { learningRateAt } from './schedule.ts';

export interface EndedEpoch {
  readonly plan: Pick<RunPlan, 'training' | 'shape'>;
  readonly epoch: number;
  /** Of each partition that counts for itself: one when all parameters are updated together. The first is reported. */
  readonly sums: readonly [EpochSums, ...EpochSums[]];
  readonly isEveryoneOnce: (sums: EpochSums) => boolean;
  readonly evaluation: { readonly samples: number; readonly lossSum: number; readonly correct: number };
  readonly durationMs: number;
  readonly worldSize: number;
  readonly generation: number;
  readonly atMs: number;
}

export function epochRow(ended: EndedEpoch): EpochRow {
  const { plan, epoch, evaluation, durationMs, worldSize, generation, atMs } = ended;
  const { training, shape } = plan;
  const [samples, lossSum, correct, ...roll] = ended.sums[0];
  const step = epoch * training.stepsPerEpoch;
  const loss = evaluation.lossSum / evaluation.samples;
  const accuracy = evaluation.correct / evaluation.samples;
  const classification = shape.task === 'classification';
  return {
    epoch,
    step,
    samples,
    trainLoss: samples > 0 ? lossSum / samples : loss,
    ...(classification ? { trainAccuracy: samples > 0 ? correct / samples : accuracy } : {}),
    loss,
    ...(classification ? { accuracy } : {}),
    learningRate: learningRateAt(training, step - 1),
    durationMs,
    samplesPerSecond: Math.round((samples / durationMs) * 1000),
    worldSize,
    generation,
    atMs,
    rollCall: rollText(roll),
    dataExactlyOnce: ended.sums.every(ended.isEveryoneOnce),
  };
}
