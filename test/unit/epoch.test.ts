/** What is recorded of an epoch. */
import { describe, expect, test } from 'vitest';
import { type EndedEpoch, epochRow } from '../../core/epoch.ts';
import type { EpochSums } from '../../core/gang/messages.ts';
import { testPlan } from '../support/plans.ts';

const plan = testPlan();
const whole: EpochSums = [320, 640, 160, 7, 9];
const short: EpochSums = [288, 600, 150, 7, 8];

const ended = (changes: Partial<EndedEpoch> = {}): EndedEpoch => ({
  plan,
  epoch: 2,
  sums: [whole],
  isEveryoneOnce: (sums) => sums === whole,
  evaluation: { samples: 40, lossSum: 20, correct: 30 },
  durationMs: 500,
  worldSize: 2,
  generation: 3,
  atMs: 1_000,
  ...changes,
});

describe('the row of an epoch', () => {
  test('says what its sums and the evaluation after it come to', () => {
    expect(epochRow(ended())).toMatchObject({
      epoch: 2,
      step: 2 * plan.training.stepsPerEpoch,
      samples: 320,
      trainLoss: 2,
      trainAccuracy: 0.5,
      loss: 0.5,
      accuracy: 0.75,
      samplesPerSecond: 640,
      worldSize: 2,
      generation: 3,
    });
  });

  test('has no accuracy where nothing is classified', () => {
    const regression = { ...plan, shape: { ...plan.shape, task: 'regression' as const } };
    const row = epochRow(ended({ plan: regression }));
    expect(row).not.toHaveProperty('accuracy');
    expect(row).not.toHaveProperty('trainAccuracy');
  });

  test('says that the data was used once only when that is so in every partition (EP1)', () => {
    const once = (...sums: EndedEpoch['sums']): boolean | undefined => epochRow(ended({ sums })).dataExactlyOnce;
    expect(once(whole)).toBe(true);
    expect(once(whole, whole, whole)).toBe(true);
    expect(once(short, whole)).toBe(false);
    expect(once(whole, short)).toBe(false);
    expect(once(whole, whole, short)).toBe(false);
  });
});
