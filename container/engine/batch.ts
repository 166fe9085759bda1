/** Parts of a batch, and what is found for each of them as one. */
import type { Batch, Evaluation } from './port.ts';

/** The samples [from, to): views of the same memory. */
export function cut({ size, features, targets }: Batch, from: number, to: number): Batch {
  const part = (all: Float32Array) => all.subarray((all.length / size) * from, (all.length / size) * to);
  return { size: to - from, features: part(features), targets: part(targets) };
}

/** In their order, one after the other: the bits of the loss depend on it. */
export function addUp(parts: readonly Evaluation[]): Evaluation {
  const total = { samples: 0, lossSum: 0, correct: 0 };
  for (const { samples, lossSum, correct } of parts) {
    total.samples += samples;
    total.lossSum += lossSum;
    total.correct += correct;
  }
  return total;
}
