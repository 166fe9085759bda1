/**
 * The optimizers, as loops over flat vectors: weight i and slot i belong together, so a partition of the vector can be
 * updated anywhere. Arithmetic is in doubles and rounded to float32 when stored.
 *
 *   sgd      v = momentum*v + g;  w -= rate*v, or with nesterov  w -= rate*(g + momentum*v)
 *            (Sutskever et al., 2013, in the form of tf.train.momentum and keras SGD)
 *   adam     m = b1*m + (1-b1)*g;  v = b2*v + (1-b2)*g^2;  w -= rate * (m/(1-b1^t)) / (sqrt(v/(1-b2^t)) + epsilon),
 *            t from 1 (Kingma and Ba, 2015, algorithm 1, as tf.train.adam; Keras adds epsilon before the correction)
 *   rmsprop  a = decay*a + (1-decay)*g^2;  u = momentum*u + rate*g/sqrt(a + epsilon);  w -= u
 *            (Tieleman and Hinton, 2012, in the form of tf.train.rmsprop and keras RMSprop, not centered)
 *
 * Before that the gradient is clipped and each weight loses weightDecay * rate of itself, so that the decay does not go
 * through the optimizer (Loshchilov and Hutter, 2019; `weight_decay` of keras).
 *
 * Invariants
 *  O1  A pure function of (weights, slots, gradient, rate, step): the powers are made by multiplication alone, because
 *      the last bit of Math.pow is the platform's.
 *  O2  Slots are laid out one after the other, each as long as the weights.
 */
import type { OptimizerPlan } from '../../core/plan.ts';

/** Number of slots, each as long as the trainable weights. */
export function slotCount(optimizer: OptimizerPlan): number {
  switch (optimizer.kind) {
    case 'sgd':
      return optimizer.momentum === 0 ? 0 : 1;
    case 'adam':
      return 2;
    case 'rmsprop':
      return optimizer.momentum === 0 ? 1 : 2;
  }
}

/**
 * One update of `weights` in place. The gradient is `sum[i] * toMean`: a contribution is a sum over samples, and `toMean`
 * is one over their number. `sum` may be longer than `weights`; `step` is 0-based. With a clipNorm it must be the sum for all
 * weights.
 */
export function applyUpdate(
  optimizer: OptimizerPlan,
  weights: Float32Array,
  slots: Float32Array,
  sum: Float32Array,
  toMean: number,
  rate: number,
  step: number,
): void {
  const n = weights.length;
  const { clipNorm, clipValue: limit = Number.POSITIVE_INFINITY, weightDecay = 0 } = optimizer;
  const scale = toMean * (clipNorm === undefined ? 1 : shrinking(clipNorm, toMean * Math.sqrt(squareSum(sum, n))));
  const gradient = (i: number): number => Math.max(-limit, Math.min(limit, sum[i]! * scale));
  if (weightDecay > 0) for (let i = 0; i < n; i += 1) weights[i]! *= 1 - rate * weightDecay;
  switch (optimizer.kind) {
    case 'sgd': {
      const { momentum, nesterov } = optimizer;
      if (momentum === 0) {
        for (let i = 0; i < n; i += 1) weights[i]! -= rate * gradient(i);
        return;
      }
      for (let i = 0; i < n; i += 1) {
        const g = gradient(i);
        const v = momentum * slots[i]! + g;
        slots[i] = v;
        weights[i]! -= rate * (nesterov ? g + momentum * v : v);
      }
      return;
    }
    case 'adam': {
      const { beta1, beta2, epsilon } = optimizer;
      const correct1 = 1 / (1 - power(beta1, step + 1));
      const correct2 = 1 / (1 - power(beta2, step + 1));
      for (let i = 0; i < n; i += 1) {
        const g = gradient(i);
        const m = beta1 * slots[i]! + (1 - beta1) * g;
        const v = beta2 * slots[n + i]! + (1 - beta2) * g * g;
        slots[i] = m;
        slots[n + i] = v;
        weights[i]! -= (rate * (m * correct1)) / (Math.sqrt(v * correct2) + epsilon);
      }
      return;
    }
    case 'rmsprop': {
      const { decay, momentum, epsilon } = optimizer;
      for (let i = 0; i < n; i += 1) {
        const g = gradient(i);
        const a = decay * slots[i]! + (1 - decay) * g * g;
        slots[i] = a;
        let u = (rate * g) / Math.sqrt(a + epsilon);
        if (momentum !== 0) {
          u += momentum * slots[n + i]!;
          slots[n + i] = u;
        }
        weights[i]! -= u;
      }
      return;
    }
  }
}

/** What a gradient of this length is multiplied by. One that is not a number stays so. */
export function shrinking(clipNorm: number, length: number): number {
  return length > clipNorm ? clipNorm / length : 1;
}

function squareSum(values: Float32Array, n: number): number {
  let total = 0;
  for (let i = 0; i < n; i += 1) total += values[i]! ** 2;
  return total;
}

/** base ^ exponent for a whole exponent, by squaring. */
export function power(base: number, exponent: number): number {
  let result = 1;
  let square = base;
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result *= square;
    square *= square;
  }
  return result;
}
