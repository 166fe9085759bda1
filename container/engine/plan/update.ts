/** One optimizer step from a contribution in memory: kernels for the weights, and the moving statistics after them. */
import type { OptimizerPlan } from '../../../core/plan.ts';
import { power, shrinking } from '../optimizer.ts';
import type { Layout } from '../port.ts';
import type { Bench, Block } from './bench.ts';

export interface Update {
  /** From the contribution at the byte offset `sum`. Answers whether all parameters are finite after it. */
  (sum: number, scale: number, rate: number, step: number): boolean;
  /** Whether the contribution is another one after it. */
  readonly changesSum: boolean;
}

export function updater(
  optimizer: OptimizerPlan,
  { kernels }: Bench,
  layout: Layout,
  parameters: Block,
  slots: Block,
): Update {
  const n = layout.trainableLength;
  const w = parameters.offset;
  const [first, second] = [slots.offset, slots.offset + n * 4];
  const { weightDecay = 0, clipNorm, clipValue } = optimizer;
  const weights = ((): ((sum: number, scale: number, rate: number, step: number) => number) => {
    switch (optimizer.kind) {
      case 'sgd': {
        const { momentum, nesterov } = optimizer;
        if (momentum === 0) return (sum, scale, rate) => kernels.sgd(w, sum, n, scale, rate);
        return (sum, scale, rate) => kernels.momentum(w, first, sum, n, scale, rate, momentum, nesterov ? 1 : 0);
      }
      case 'adam': {
        const { beta1, beta2, epsilon } = optimizer;
        return (sum, scale, rate, step) => {
          const corrected = rate / (1 - power(beta1, step + 1));
          const correct2 = 1 / (1 - power(beta2, step + 1));
          const rests = [1 - beta1, 1 - beta2] as const;
          return kernels.adam(
            w,
            first,
            second,
            sum,
            n,
            scale,
            corrected,
            beta1,
            rests[0],
            beta2,
            rests[1],
            correct2,
            epsilon,
          );
        };
      }
      case 'rmsprop': {
        const { decay, momentum, epsilon } = optimizer;
        return (sum, scale, rate) =>
          kernels.rmsprop(w, first, second, sum, n, scale, rate, decay, 1 - decay, momentum, epsilon);
      }
    }
  })();
  /** What the sums are to be multiplied by, once they are clipped. */
  const clipped = (sum: number, scale: number): number => {
    if (clipNorm !== undefined) return scale * shrinking(clipNorm, scale * Math.sqrt(kernels.squareSum(sum, n)));
    if (clipValue === undefined) return scale;
    kernels.scaleClipped(sum, n, scale, clipValue);
    return 1;
  };
  const update = (sum: number, scale: number, rate: number, step: number): boolean => {
    if (weightDecay > 0) kernels.scaleClipped(w, n, 1 - rate * weightDecay, Number.POSITIVE_INFINITY);
    const areFinite = weights(sum, clipped(sum, scale), rate, step) === 1;
    kernels.addScaled(w + n * 4, sum + n * 4, layout.stateLength, scale);
    return areFinite && kernels.finite(w + n * 4, layout.stateLength) === 1;
  };
  return Object.assign(update, { changesSum: clipNorm === undefined && clipValue !== undefined });
}
