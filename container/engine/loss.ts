/**
 * The losses, on the outputs of the network below its last activation. Plain loops in double precision: the outputs are
 * few, and one pass gives the loss, the accuracy and the gradient in a fixed order of summation.
 *
 * For one sample with outputs z and targets t:
 *   softmaxCrossEntropy  -sum_j t_j * log softmax(z)_j        gradient softmax(z)_j * sum(t) - t_j
 *   sigmoidCrossEntropy  mean_j  max(z,0) - z*t + log(1+e^-|z|)   gradient (sigmoid(z_j) - t_j) / outputs
 *   meanSquaredError     mean_j (z_j - t_j)^2                 gradient 2 * (z_j - t_j) / outputs
 * Both cross-entropies are the ones from logits (TensorFlow, `*_cross_entropy_with_logits`), which cannot overflow.
 *
 * `correct` counts samples: the largest output is the largest target (first of equals), or, with one output and a
 * sigmoid, both on the same side of one half. Several sigmoid outputs are compared by their largest one, because the
 * targets of every data set are one-hot. A regression has no correct samples.
 */
import type { Loss } from '../../core/plan.ts';
import type { Evaluation } from './port.ts';

/** Sums over the samples; writes the gradient of the loss sum with respect to the outputs into `gradient` when given. */
export function sumLoss(
  loss: Loss,
  outputs: Float32Array,
  targets: Float32Array,
  size: number,
  gradient?: Float32Array,
): Evaluation {
  const width = size === 0 ? 0 : outputs.length / size;
  let lossSum = 0;
  let correct = 0;
  for (let sample = 0; sample < size; sample += 1) {
    const at = sample * width;
    lossSum += sampleLosses[loss](outputs, targets, at, width, gradient);
    if (loss === 'meanSquaredError') continue;
    const right =
      loss === 'sigmoidCrossEntropy' && width === 1
        ? outputs[at]! > 0 === targets[at]! > 0.5
        : largest(outputs, at, width) === largest(targets, at, width);
    if (right) correct += 1;
  }
  return { samples: size, lossSum, correct };
}

type SampleLoss = (z: Float32Array, t: Float32Array, at: number, width: number, gradient?: Float32Array) => number;

const sampleLosses: { readonly [L in Loss]: SampleLoss } = {
  softmaxCrossEntropy(z, t, at, width, gradient) {
    // A NaN among the outputs must show in the loss, so the maximum is not taken with `>` alone.
    let max = z[at]!;
    for (let j = 1; j < width; j += 1) max = Math.max(max, z[at + j]!);
    let sum = 0;
    let weight = 0;
    for (let j = 0; j < width; j += 1) {
      sum += Math.exp(z[at + j]! - max);
      weight += t[at + j]!;
    }
    const logSum = Math.log(sum);
    let loss = 0;
    for (let j = 0; j < width; j += 1) {
      const logit = z[at + j]! - max;
      const target = t[at + j]!;
      if (target !== 0) loss -= target * (logit - logSum);
      if (gradient) gradient[at + j] = (Math.exp(logit) / sum) * weight - target;
    }
    // A NaN logit makes `max` NaN, and with it everything; a target of zero must not hide it.
    return Number.isNaN(max) ? Number.NaN : loss;
  },
  sigmoidCrossEntropy(z, t, at, width, gradient) {
    let loss = 0;
    for (let j = 0; j < width; j += 1) {
      const logit = z[at + j]!;
      const target = t[at + j]!;
      const small = Math.exp(-Math.abs(logit));
      loss += Math.max(logit, 0) - logit * target + Math.log1p(small);
      if (gradient) gradient[at + j] = ((logit >= 0 ? 1 : small) / (1 + small) - target) / width;
    }
    return loss / width;
  },
  meanSquaredError(z, t, at, width, gradient) {
    let loss = 0;
    for (let j = 0; j < width; j += 1) {
      const difference = z[at + j]! - t[at + j]!;
      loss += difference * difference;
      if (gradient) gradient[at + j] = (2 * difference) / width;
    }
    return loss / width;
  },
};

function largest(values: Float32Array, at: number, width: number): number {
  let best = 0;
  for (let j = 1; j < width; j += 1) if (values[at + j]! > values[at + best]!) best = j;
  return best;
}
