/** What a parameter server does to its partition, against the optimizer on the whole. */
import { describe, expect, it } from 'vitest';
import { updateOf } from '../../container/async-update.ts';
import { applyUpdate } from '../../container/engine/optimizer.ts';
import { cutOut, type Partitioning, putTogether, rangeOf } from '../../core/gang/async/partition.ts';
import type { OptimizerPlan, TrainingPlan } from '../../core/plan.ts';

const optimizers: readonly (readonly [OptimizerPlan, slots: number])[] = [
  [{ kind: 'sgd', momentum: 0, nesterov: false }, 0],
  [{ kind: 'sgd', momentum: 0.9, nesterov: true }, 1],
  [{ kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 }, 2],
  [{ kind: 'rmsprop', decay: 0.9, momentum: 0.5, epsilon: 1e-7 }, 2],
];

describe('updateOf()', () => {
  for (const [optimizer, slots] of optimizers) {
    it(`gives ${optimizer.kind} with ${slots} slot(s) in parts the bits that it gives on the whole`, () => {
      const training = {
        optimizer,
        learningRate: 0.01,
        warmupSteps: 0,
        schedule: { kind: 'constant' },
        stepsPerEpoch: 10,
        totalSteps: 100,
      } as unknown as TrainingPlan;
      const [trainableLength, parameterLength] = [17, 23];
      const parameters = Float32Array.from({ length: parameterLength }, (_, i) => Math.sin(i));
      const state = Float32Array.from({ length: slots * trainableLength }, (_, i) => Math.abs(Math.cos(i)));
      const gradient = Float32Array.from({ length: parameterLength }, (_, i) => Math.sin(3 * i));
      const samples = 8;
      const tail = [1.5, 3, samples];

      const whole = { parameters: parameters.slice(), slots: state.slice() };
      const weights = whole.parameters.subarray(0, trainableLength);
      applyUpdate(optimizer, weights, whole.slots, gradient, 1 / samples, 0.01, 4);
      for (let i = trainableLength; i < parameterLength; i += 1) {
        whole.parameters[i] = (whole.parameters[i] as number) + (gradient[i] as number) / samples;
      }

      for (const partitions of [1, 2, 3, 5]) {
        const cut: Partitioning = { partitions, parameterLength, trainableLength, slots, tailLength: 3 };
        const update = updateOf({ training }, cut);
        const copies = Array.from({ length: partitions }, (_, partition) => {
          const values = cutOut(cut, partition, parameters, state);
          const { from, to } = rangeOf(cut, partition);
          update(partition, values, Float32Array.from([...gradient.subarray(from, to), ...tail]), 4);
          const mark = { partition, generation: 0, applied: { below: 0, beyond: [] }, sums: [] };
          return { mark, values };
        });
        expect(putTogether(cut, copies)).toEqual(whole);
      }
    });
  }
});
