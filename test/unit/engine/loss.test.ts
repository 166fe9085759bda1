import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sumLoss } from '../../../container/engine/loss.ts';

const logits = fc.array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: 3, maxLength: 3 });

test('softmaxCrossEntropy is minus the logarithm of the probability of the right class', () => {
  fc.assert(
    fc.property(logits, fc.integer({ min: 0, max: 2 }), (z, right) => {
      const target = Float32Array.from([0, 1, 2], (i) => (i === right ? 1 : 0));
      const outputs = Float32Array.from(z);
      const sum = outputs.reduce((total, value) => total + Math.exp(value), 0);
      const { lossSum } = sumLoss('softmaxCrossEntropy', outputs, target, 1);
      expect(lossSum).toBeCloseTo(-Math.log(Math.exp(outputs[right]!) / sum), 5);
    }),
  );
});

test('sigmoidCrossEntropy is the mean over the outputs of the binary cross-entropy', () => {
  fc.assert(
    fc.property(logits, fc.array(fc.constantFrom(0, 1), { minLength: 3, maxLength: 3 }), (z, t) => {
      const expected = z.map((logit, j) => {
        const p = 1 / (1 + Math.exp(-Math.fround(logit)));
        return t[j] === 1 ? -Math.log(p) : -Math.log(1 - p);
      });
      const { lossSum } = sumLoss('sigmoidCrossEntropy', Float32Array.from(z), Float32Array.from(t), 1);
      expect(lossSum).toBeCloseTo(expected.reduce((a, b) => a + b, 0) / 3, 5);
    }),
  );
});

test('cross-entropies neither overflow nor hide what is not a number', () => {
  const gradient = new Float32Array(2);
  const huge = Float32Array.of(3e38, -3e38);
  expect(sumLoss('softmaxCrossEntropy', huge, Float32Array.of(1, 0), 1, gradient).lossSum).toBe(0);
  expect([...gradient]).toEqual([0, 0]);
  expect(sumLoss('sigmoidCrossEntropy', huge, Float32Array.of(1, 0), 1, gradient).lossSum).toBe(0);
  for (const loss of ['softmaxCrossEntropy', 'sigmoidCrossEntropy', 'meanSquaredError'] as const) {
    expect(sumLoss(loss, Float32Array.of(0, Number.NaN), Float32Array.of(1, 0), 1).lossSum).toBeNaN();
  }
});

test('meanSquaredError is the mean over the outputs and the sum over the samples, and counts nothing as correct', () => {
  const outputs = Float32Array.of(1, 2, 3, 5);
  const evaluation = sumLoss('meanSquaredError', outputs, Float32Array.of(1, 0, 0, 4), 2);
  expect(evaluation).toEqual({ samples: 2, lossSum: (0 + 4) / 2 + (9 + 1) / 2, correct: 0 });
});

test('correct: the largest output, or the side of one half for a single sigmoid', () => {
  const correct = (loss: Parameters<typeof sumLoss>[0], z: number[], t: number[], size: number) =>
    sumLoss(loss, Float32Array.from(z), Float32Array.from(t), size).correct;
  expect(correct('softmaxCrossEntropy', [1, 3, 2, 5, 1, 1], [0, 1, 0, 0, 0, 1], 2)).toBe(1);
  expect(correct('sigmoidCrossEntropy', [0.3, -0.3, 2, -2], [1, 0, 0, 1], 4)).toBe(2);
  expect(correct('sigmoidCrossEntropy', [-1, -2, -3, 4], [1, 0, 1, 0], 2)).toBe(1);
});
