/**
 * Batch normalisation. Each shard has its own mean and variance, and sums of its own for the gradients; they are kept from
 * the way forward to the way back.
 */
import type { LayerPlan } from '../../../core/plan.ts';
import { channelsOf, mostShards, placesOf, type Site, type Step } from './step.ts';

export function normalisationLayer(plan: Extract<LayerPlan, { kind: 'batchNormalization' }>, site: Site): Step {
  const { input, bench } = site;
  const { kernels } = bench;
  const { length } = input.block;
  const [places, channels] = [placesOf(input.shape), channelsOf(input.shape)];
  const inRows = input.form === 'rows';
  // In place on the way back: nothing but `normal` is needed there.
  const output = { ...site.next(input.form, input.shape), gradient: input.gradient };
  const normal = bench.perSample(length);
  const stats = bench.fixed(mostShards * 5 * channels);
  const gamma = site.weight('gamma');
  const beta = site.weight('beta');
  const moving = site.weight('moving_mean');
  const vector = channels * 4;
  const statsOf = (index: number): number => stats.offset + index * 5 * vector;

  const apply = (from: number, to: number, mean: number, inverse: number): void => {
    const [x, n, y] = [input, { block: normal }, output].map(({ block }) => block.offset + from * length * 4) as [
      number,
      number,
      number,
    ];
    const count = to - from;
    if (inRows) kernels.normApplyRows(x, count * places, channels, mean, inverse, gamma, beta, n, y);
    else kernels.normApplyPlanes(x, count, channels, places, mean, inverse, gamma, beta, n, y);
  };
  return {
    output,
    forward: ({ samples, shards }) => {
      if (shards.length === 0) {
        const inverse = statsOf(0);
        kernels.normInverse(moving + vector, channels, plan.epsilon, inverse);
        apply(0, samples, moving, inverse);
        return;
      }
      for (const { index, from, to } of shards) {
        if (from === to) continue;
        const at = statsOf(index);
        const x = input.block.offset + from * length * 4;
        if (inRows) kernels.normMomentsRows(x, (to - from) * places, channels, at);
        else kernels.normMomentsPlanes(x, to - from, channels, places, at);
        kernels.normInverse(at + vector, channels, plan.epsilon, at + 2 * vector);
        apply(from, to, at, at + 2 * vector);
      }
    },
    backward: ({ shards }) => {
      for (const { index, from, to } of shards) {
        if (from === to) continue;
        const at = statsOf(index);
        const dy = output.gradient.offset + from * length * 4;
        const n = normal.offset + from * length * 4;
        if (inRows) kernels.normGradientRows(dy, n, (to - from) * places, channels, gamma, at);
        else kernels.normGradientPlanes(dy, n, to - from, channels, places, gamma, at);
      }
    },
    gradients: [
      {
        at: site.place('gamma'),
        length: 2 * channels,
        write: ({ index }, out) => kernels.activate(0, statsOf(index) + 3 * vector, out, 2 * channels),
      },
      {
        at: site.place('moving_mean'),
        length: 2 * channels,
        write: ({ index, from, to }, out) => {
          const weight = (1 - plan.momentum) * (to - from);
          kernels.normDrift(statsOf(index), moving, channels, weight, out);
        },
      },
    ],
  };
}
