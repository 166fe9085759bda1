/**
 * Samples in memory, normalised as they are gathered: bytes stay bytes (a quarter of the memory of float32).
 *
 * Invariants
 *  SS1 A gathered feature is a function of the stored value and the normalisation alone: the same bits in every task.
 *  SS2 Statistics for standardizing are summed over the training samples in index order, in double precision.
 */
import type { Normalisation } from '../../core/plan.ts';
import { lookUp, lookUpLengths } from '../engine/look-up.ts';
import type { Batch } from '../engine/port.ts';
import type { Vectors } from '../engine/vectors.ts';
import type { SampleSet } from './port.ts';

/** A file of samples as it was read. */
export interface SampleStore {
  readonly featureLength: number;
  /** samples x featureLength. */
  readonly features: Uint8Array | Float32Array;
  /** Class index or regression value of each sample. */
  readonly labels: Uint8Array | Float32Array;
  /** Called before the features of a sample are read; absent when all are there. */
  readonly need?: (index: number) => void;
}

/** Where samples are put as they are stored, and what they are as features. */
export interface Bay {
  readonly raw: Uint8Array | Float32Array;
  readonly features: Float32Array;
  /** Normalises the first so many samples. */
  normalise(samples: number): void;
}

/** Makes a bay for so many samples, among these vectors or in memory of its own. */
export type Normaliser = (samples: number, vectors?: Vectors) => Bay;

/** Where the samples of a step are gathered, and the most there are of them: where an engine reads them in place. */
export interface Home {
  readonly vectors: Vectors;
  readonly samples: number;
}

/** What so many samples take at most of the vectors that they are gathered among. */
export const homeLengths = (featureLength: number, targetLength: number, samples: number): readonly number[] => [
  ...lookUpLengths(featureLength * samples),
  targetLength * samples,
];

export function makeNormaliser(normalisation: Normalisation, store: SampleStore, train: ArrayLike<number>): Normaliser {
  const length = store.featureLength;
  const areBytes = store.features instanceof Uint8Array;
  if (normalisation.kind !== 'standardize' && areBytes) {
    const { scale, offset } = normalisation.kind === 'scale' ? normalisation : { scale: 1, offset: 0 };
    const table = Float32Array.from({ length: 256 }, (_, value) => value * scale + offset);
    return (most, vectors) => {
      const { bytes, values, run } = lookUp(table, most * length, vectors);
      return { raw: bytes, features: values, normalise: (samples) => run(samples * length) };
    };
  }
  const work = normaliseEach(normalisation, store, train);
  return (most, vectors) => {
    const raw = areBytes ? new Uint8Array(most * length) : new Float32Array(most * length);
    const features = vectors?.allocate(most * length) ?? new Float32Array(most * length);
    return { raw, features, normalise: (samples) => work(raw, samples, features) };
  };
}

function normaliseEach(
  normalisation: Normalisation,
  store: SampleStore,
  train: ArrayLike<number>,
): (raw: Bay['raw'], samples: number, out: Float32Array) => void {
  const length = store.featureLength;
  if (normalisation.kind === 'standardize') {
    const { means, scales } = statistics(store, train);
    return (raw, samples, out) => {
      for (let from = 0; from < samples * length; from += length) {
        for (let i = 0; i < length; i += 1) {
          out[from + i] = ((raw[from + i] as number) - (means[i] as number)) * (scales[i] as number);
        }
      }
    };
  }
  const { scale, offset } = normalisation.kind === 'scale' ? normalisation : { scale: 1, offset: 0 };
  return (raw, samples, out) => {
    for (let i = 0; i < samples * length; i += 1) out[i] = (raw[i] as number) * scale + offset;
  };
}

/** The samples of `store` at `indices` (all when undefined), with one-hot targets for `classes` or plain values for 0. */
export function makeSampleSet(
  store: SampleStore,
  indices: Uint32Array | undefined,
  classes: number,
  normaliser: Normaliser,
  home?: Home,
): SampleSet {
  const { featureLength } = store;
  const targetLength = classes > 0 ? classes : 1;
  const size = indices?.length ?? store.labels.length;
  // Gathered as they are stored, then normalised in one go over values that lie side by side.
  let capacity = 0;
  let bay = normaliser(capacity);
  let targets: Float32Array = new Float32Array(0);
  return {
    size,
    featureLength,
    targetLength,
    gather(wanted, from, to): Batch {
      const count = to - from;
      if (count > capacity) {
        const atHome = home !== undefined && count <= home.samples;
        capacity = atHome ? home.samples : count;
        bay = normaliser(capacity, atHome ? home.vectors : undefined);
        const length = capacity * targetLength;
        targets = atHome ? home.vectors.allocate(length) : new Float32Array(length);
      }
      targets.fill(0, 0, count * targetLength);
      for (let row = 0; row < count; row += 1) {
        const position = wanted[from + row] as number;
        if (!(position >= 0 && position < size)) throw new RangeError(`sample ${position} of a set of ${size}`);
        const at = indices === undefined ? position : (indices[position] as number);
        store.need?.(at);
        bay.raw.set(store.features.subarray(at * featureLength, (at + 1) * featureLength), row * featureLength);
        const label = store.labels[at] as number;
        if (classes > 0) targets[row * classes + label] = 1;
        else targets[row] = label;
      }
      bay.normalise(count);
      return {
        size: count,
        features: bay.features.subarray(0, count * featureLength),
        targets: targets.subarray(0, count * targetLength),
      };
    },
  };
}

function statistics(store: SampleStore, train: ArrayLike<number>): { means: Float64Array; scales: Float64Array } {
  const { featureLength, features } = store;
  const means = new Float64Array(featureLength);
  const scales = new Float64Array(featureLength);
  const count = Math.max(1, train.length);
  for (let row = 0; row < train.length; row += 1) store.need?.(train[row] as number);
  for (let row = 0; row < train.length; row += 1) {
    const from = (train[row] as number) * featureLength;
    for (let i = 0; i < featureLength; i += 1) means[i] = (means[i] as number) + (features[from + i] as number);
  }
  for (let i = 0; i < featureLength; i += 1) means[i] = (means[i] as number) / count;
  for (let row = 0; row < train.length; row += 1) {
    const from = (train[row] as number) * featureLength;
    for (let i = 0; i < featureLength; i += 1) {
      const off = (features[from + i] as number) - (means[i] as number);
      scales[i] = (scales[i] as number) + off * off;
    }
  }
  for (let i = 0; i < featureLength; i += 1) {
    const deviation = Math.sqrt((scales[i] as number) / count);
    // A feature that never changes carries nothing; dividing by its deviation would make noise of it.
    scales[i] = deviation > 1e-12 ? 1 / deviation : 0;
  }
  return { means, scales };
}
