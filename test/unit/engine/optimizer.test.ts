import { type NamedTensorMap, type Optimizer, tensor1d, train, variable } from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { startBackend } from '../../../container/engine/backend.ts';
import { applyUpdate, power, slotCount } from '../../../container/engine/optimizer.ts';
import type { OptimizerPlan } from '../../../core/plan.ts';
import { keyed } from '../../../core/random.ts';
import { distance } from './support.ts';

const rate = 0.05;
const length = 40;
const samples = 8;

beforeAll(() => startBackend('cpu', () => {}));

const cases: [OptimizerPlan, () => Optimizer][] = [
  [{ kind: 'sgd', momentum: 0, nesterov: false }, () => train.sgd(rate)],
  [{ kind: 'sgd', momentum: 0.9, nesterov: false }, () => train.momentum(rate, 0.9)],
  [{ kind: 'sgd', momentum: 0.9, nesterov: true }, () => train.momentum(rate, 0.9, true)],
  [{ kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 }, () => train.adam(rate, 0.9, 0.999, 1e-7)],
  [{ kind: 'adam', beta1: 0.5, beta2: 0.9, epsilon: 1e-3 }, () => train.adam(rate, 0.5, 0.9, 1e-3)],
  [{ kind: 'rmsprop', decay: 0.9, momentum: 0, epsilon: 1e-7 }, () => train.rmsprop(rate, 0.9, 0, 1e-7)],
  [{ kind: 'rmsprop', decay: 0.8, momentum: 0.7, epsilon: 1e-4 }, () => train.rmsprop(rate, 0.8, 0.7, 1e-4)],
];

/** The sum over the samples of step `step`, which is what a contribution holds. */
function sums(step: number): Float32Array {
  const random = keyed(3, step);
  return Float32Array.from({ length }, () => random.normal() * samples);
}

function start(optimizer: OptimizerPlan) {
  const random = keyed(4);
  const weights = Float32Array.from({ length }, () => random.normal());
  return { weights, slots: new Float32Array(length * slotCount(optimizer)) };
}

test.each(cases)('applyUpdate() does what TensorFlow.js does: %j', (optimizer, make) => {
  const { weights, slots } = start(optimizer);
  const theirs = variable(tensor1d(weights.slice()));
  const reference = make();
  for (let step = 0; step < 25; step += 1) {
    applyUpdate(optimizer, weights, slots, sums(step), 1 / samples, rate, step);
    const gradient = tensor1d(sums(step).map((sum) => sum / samples));
    reference.applyGradients({ [theirs.name]: gradient } as NamedTensorMap);
  }
  expect(distance(weights, theirs.dataSync())).toBeLessThan(1e-5);
});

test.each(cases)('applyUpdate() of a partition is the partition of the update: %j', (optimizer) => {
  const whole = start(optimizer);
  const part = start(optimizer);
  const [from, to] = [7, 23];
  const cut = part.weights.slice(from, to);
  const slots = new Float32Array((to - from) * slotCount(optimizer));
  for (let step = 0; step < 4; step += 1) {
    applyUpdate(optimizer, whole.weights, whole.slots, sums(step), 1 / samples, rate, step);
    applyUpdate(optimizer, cut, slots, sums(step).subarray(from, to), 1 / samples, rate, step);
  }
  expect(cut).toEqual(whole.weights.slice(from, to));
});

test.each(cases)('clipping and decay come before and beside the optimizer: %j', (optimizer) => {
  const mean = sums(0).map((sum) => sum / samples);
  const norm = Math.hypot(...mean);
  const after = (changed: OptimizerPlan, sum: Float32Array) => {
    const { weights, slots } = start(changed);
    applyUpdate(changed, weights, slots, sum, 1 / samples, rate, 0);
    return weights;
  };
  const shorter = sums(0).map((sum) => (sum * 0.3) / norm);
  expect(distance(after({ ...optimizer, clipNorm: 0.3 }, sums(0)), after(optimizer, shorter))).toBeLessThan(1e-6);
  expect(after({ ...optimizer, clipNorm: norm * 1.01 }, sums(0))).toEqual(after(optimizer, sums(0)));
  const cut = sums(0).map((sum) => Math.max(-2, Math.min(2, sum)));
  expect(after({ ...optimizer, clipValue: 2 / samples }, sums(0))).toEqual(after(optimizer, cut));
  const decayed = after({ ...optimizer, weightDecay: 0.1 }, sums(0));
  const { weights } = start(optimizer);
  const wanted = after(optimizer, sums(0)).map((weight, i) => weight - rate * 0.1 * weights[i]!);
  expect(distance(decayed, wanted)).toBeLessThan(1e-6);
  const broken = sums(0).fill(Number.NaN, 3, 4);
  for (const restraint of [{ clipNorm: 0.3 }, { clipValue: 0.1 }]) {
    expect(after({ ...optimizer, ...restraint }, broken)[3]).toBeNaN();
  }
});

test('power() is the power, also for large exponents', () => {
  for (const [base, exponent] of [
    [0.9, 1],
    [0.9, 7],
    [0.999, 1000],
    [0.999, 123_457],
    [0.5, 0],
  ] as const) {
    expect(power(base, exponent)).toBeCloseTo(base ** exponent, 12);
  }
});
