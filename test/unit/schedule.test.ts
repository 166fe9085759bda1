import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { SchedulePlan } from '../../core/plan.ts';
import { learningRateAt } from '../../core/schedule.ts';

const plan = (schedule: SchedulePlan, warmupSteps = 0) => ({
  learningRate: 0.2,
  warmupSteps,
  schedule,
  stepsPerEpoch: 10,
  totalSteps: 101,
});
const rates = (schedule: SchedulePlan, steps: number[], warmupSteps = 0) =>
  steps.map((step) => learningRateAt(plan(schedule, warmupSteps), step));
const close = (found: number[], expected: number[]) => {
  for (const [i, value] of expected.entries()) expect(found[i]).toBeCloseTo(value, 10);
};

test('constant', () => close(rates({ kind: 'constant' }, [0, 50, 1000]), [0.2, 0.2, 0.2]));

test('step falls at the first step of every so many epochs', () =>
  close(rates({ kind: 'step', everyEpochs: 2, factor: 0.5 }, [0, 19, 20, 39, 40]), [0.2, 0.2, 0.1, 0.1, 0.05]));

test('exponential is smooth and reaches the decay after an epoch', () =>
  close(rates({ kind: 'exponential', decayPerEpoch: 0.25 }, [0, 5, 10, 20]), [0.2, 0.1, 0.05, 0.0125]));

test('cosine goes from the whole rate to the final one at the last step, and stays', () =>
  close(rates({ kind: 'cosine', finalFactor: 0.1 }, [0, 50, 100, 500]), [0.2, 0.11, 0.02, 0.02]));

test('piecewise takes the factor behind the boundaries that are reached, with or without a first factor', () => {
  const boundariesEpochs = [1, 3];
  close(
    rates({ kind: 'piecewise', boundariesEpochs, factors: [1, 0.5, 0.1] }, [0, 9, 10, 29, 30]),
    [0.2, 0.2, 0.1, 0.1, 0.02],
  );
  close(rates({ kind: 'piecewise', boundariesEpochs, factors: [0.5, 0.1] }, [0, 10, 30]), [0.2, 0.1, 0.02]);
});

test('the warm-up rises in a line, never from zero, and the cosine starts behind it', () => {
  close(rates({ kind: 'constant' }, [0, 1, 3, 4], 4), [0.05, 0.1, 0.2, 0.2]);
  close(rates({ kind: 'cosine', finalFactor: 0 }, [3, 4, 52, 100], 4), [0.2, 0.2, 0.1, 0]);
});

test('the rate is finite and not negative at every step (L1)', () => {
  const schedule: fc.Arbitrary<SchedulePlan> = fc.oneof(
    fc.constant({ kind: 'constant' } as const),
    fc.record({
      kind: fc.constant('step' as const),
      everyEpochs: fc.integer({ min: 1, max: 9 }),
      factor: fc.double({ min: 0.01, max: 1, noNaN: true }),
    }),
    fc.record({
      kind: fc.constant('exponential' as const),
      decayPerEpoch: fc.double({ min: 0.01, max: 1, noNaN: true }),
    }),
    fc.record({ kind: fc.constant('cosine' as const), finalFactor: fc.double({ min: 0, max: 1, noNaN: true }) }),
  );
  fc.assert(
    fc.property(schedule, fc.nat(200_000), fc.nat(200), (of, step, warmup) => {
      const rate = learningRateAt(plan(of, warmup), step);
      expect(Number.isFinite(rate) && rate >= 0).toBe(true);
    }),
  );
});
