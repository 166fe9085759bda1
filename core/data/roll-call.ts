/**
 * The roll call of an epoch: proof, from what was really computed, that each sample was used once. Every sample has a
 * token of eight bytes. Whoever computes the gradient of some samples adds their tokens up, byte by byte, behind that
 * gradient; there the sums travel and are reduced with it, and are counted when the update is applied. At the end of the
 * epoch they are compared with the sums over all samples.
 *
 * Invariants
 *  RC1 The sums are exact in float32, in whatever order: of one step at most 2^16 samples times 255, below 2^24.
 *  RC2 Two samples never have the same token, so one taken for another shows; what else might cancel out does so with a
 *      chance of about 2^-60, and the number of samples is compared besides.
 */
import { finalise } from '../random.ts';

/** Values behind a contribution vector. */
export const rollColumns = 8;

/** Adds the tokens of the samples to `sums[at]` and the seven after it. */
export function callRoll(seed: number, indices: Int32Array, sums: Float32Array | Float64Array, at: number): void {
  const bytes = new Float64Array(rollColumns);
  const key = finalise(seed + 1);
  for (let i = 0; i < indices.length; i += 1) {
    // Each step is one-to-one: the first four bytes alone tell all samples apart (RC2).
    const first = finalise(key ^ Math.imul((indices[i] as number) + 1, 0x9e3779b1));
    const second = finalise(first ^ Math.imul((indices[i] as number) + 1, 0x27d4eb2f));
    for (let column = 0; column < 4; column += 1) {
      bytes[column]! += (first >>> (8 * column)) & 0xff;
      bytes[column + 4]! += (second >>> (8 * column)) & 0xff;
    }
  }
  for (let column = 0; column < rollColumns; column += 1) sums[at + column]! += bytes[column] as number;
}

/** What a whole epoch over `samples` samples must come to. */
export function fullRoll(seed: number, samples: number): readonly number[] {
  const sums = new Float64Array(rollColumns);
  callRoll(
    seed,
    Int32Array.from({ length: samples }, (_, i) => i),
    sums,
    0,
  );
  return [...sums];
}

export function sameRoll(a: readonly number[], b: readonly number[]): boolean {
  return a.length === rollColumns && b.length === rollColumns && a.every((sum, i) => sum === b[i]);
}

/** For people: the sums as one word. */
export function rollText(sums: readonly number[]): string {
  return sums.map((sum) => sum.toString(16)).join('-');
}
