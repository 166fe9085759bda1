/** What the training loop needs of a data set, whatever its source. Implemented by container/data/load.ts. */
import type { Batch } from '../engine/port.ts';

export interface SampleSet {
  readonly size: number;
  readonly featureLength: number;
  readonly targetLength: number;
  /** The samples at these indices, normalised, in this order. Reuses one buffer a set: the batch is valid until the next call. */
  gather(indices: ArrayLike<number>, from: number, to: number): Batch;
}

export interface Dataset {
  readonly train: SampleSet;
  /** Size 0 when the epoch metrics are taken on the test set. */
  readonly validation: SampleSet;
  /** Size 0 when there is none: the validation set is then what the result reports. */
  readonly test: SampleSet;
}
