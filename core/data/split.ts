/**
 * The validation split: the end of a keyed permutation of the training file. Depends on the seed and the sizes alone,
 * so that every task, and every resume, cuts at the same samples.
 */
import { permuteFor, purposes } from './permutation.ts';

export interface Split {
  /** Indices into the training file, ascending. */
  readonly train: Uint32Array;
  readonly validation: Uint32Array;
}

/** How many of `samples` go to validation: rounded, and at least one on each side when a split is asked for. */
export function validationCount(samples: number, validationSplit: number): number {
  if (validationSplit <= 0) return 0;
  return Math.max(1, Math.min(samples - 1, Math.round(samples * validationSplit)));
}

export function splitSamples(seed: number, samples: number, validationSamples: number): Split {
  const train = samples - validationSamples;
  if (validationSamples <= 0) {
    return { train: Uint32Array.from({ length: samples }, (_, i) => i), validation: new Uint32Array(0) };
  }
  const at = permuteFor(purposes.split, seed, 0, samples);
  return {
    train: Uint32Array.from({ length: train }, (_, i) => at(i)).sort(),
    validation: Uint32Array.from({ length: validationSamples }, (_, i) => at(train + i)).sort(),
  };
}
