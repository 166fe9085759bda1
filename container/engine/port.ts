/**
 * What the training task asks of whatever computes: the plan compiler (plan/engine.ts), alone or in several
 * threads (threads/engine.ts), or TensorFlow.js (tensorflow.ts).
 *
 * The flat vectors, all float32 and in this order:
 *   parameters   [ trainable weights in layer order | moving statistics in layer order ]        layout.parameterLength
 *   contribution [ sum over samples of the gradient | sum over samples of the change of the
 *                  moving statistics | loss sum | correct | samples ]                           layout.contributionLength
 * A contribution is a SUM over samples, never a mean: contributions of shards add up in the fixed tree (core/shards.ts)
 * and the update divides by the sample count once. With compression the first layout.roundedLength values, those of the
 * gradient, are rounded to bfloat16 at every node of that tree, the shards themselves included.
 *
 * Invariants
 *  E1  contribution(batch, key) is a pure function of (parameters, batch, key): same bits on every call in every process.
 *  E2  update(reduced, learningRate) is a pure function of (parameters, slots, reduced, rate, step).
 *  E3  `parameters` and `slots` are the state, whole: writing them into a fresh engine gives the same training.
 */

import type { Vectors } from './vectors.ts';

export interface TensorSlot {
  /** As TF.js names it on export, e.g. `dense_1/kernel`. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly length: number;
  readonly trainable: boolean;
}

export interface Layout {
  readonly tensors: readonly TensorSlot[];
  readonly trainableLength: number;
  readonly stateLength: number;
  readonly parameterLength: number;
  /** Leading values of a contribution that are rounded to bfloat16: all that is trained, or none. */
  readonly roundedLength: number;
  readonly contributionLength: number;
  /** Length of the optimizer slots, all of them one after the other. */
  readonly slotLength: number;
}

/** Rows of features, row-major, and one target row for each (one-hot or regression values). */
export interface Batch {
  readonly size: number;
  readonly features: Float32Array;
  readonly targets: Float32Array;
}

/** Keys every random number of a shard's computation (dropout): (seed, step, shard, layer). */
export interface ShardKey {
  readonly step: number;
  readonly shard: number;
}

export interface KeyedBatch {
  readonly batch: Batch;
  readonly key: ShardKey;
}

/** Consecutive shards that fill one node of the fixed tree (core/shards.ts), and where their sum is wanted. */
export interface ShardNode {
  readonly parts: readonly KeyedBatch[];
  /** layout.contributionLength values. */
  readonly out: Float32Array;
}

export interface Evaluation {
  readonly samples: number;
  readonly lossSum: number;
  readonly correct: number;
}

export interface ExportedModel {
  /** model.json of the TF.js Layers format. */
  readonly topology: string;
  readonly weights: Uint8Array;
}

/** How much an engine will be asked for at once: a step of so many samples, cut into so many shards. */
export interface StepSize {
  readonly samples: number;
  readonly shards: number;
}

export interface Engine {
  /** Provider and backend, e.g. `tensorflow/wasm`; recorded in checkpoints and the result, one per run. */
  readonly name: string;
  readonly layout: Layout;
  /** How many shards it computes side by side. */
  readonly threads: number;
  /**
   * layout.parameterLength; a view of the live state. Call `parametersChanged` after writing. Ask for it anew after any
   * call: a larger batch may have moved the memory.
   */
  readonly parameters: Float32Array;
  /** layout.slotLength; a view like `parameters`. */
  readonly slots: Float32Array;
  parametersChanged(): void;
  /**
   * Room in the engine's memory for vectors of these lengths: contributions that are written there, and what is read from
   * there, is not copied. Once, before the first call that computes, and then for steps up to this size; undefined when
   * there is not so much memory. Absent where there is nothing to gain.
   */
  lend?(lengths: readonly number[], largest: StepSize): Vectors | undefined;
  /** Writes layout.contributionLength values into `out`. An empty batch gives zeros. */
  contribution(batch: Batch, key: ShardKey, out: Float32Array): void;
  /**
   * The contributions of all these shards, added up in each node as the tree does: the same bits as one by one, and
   * forward and backward for all at once. Absent where there is nothing to gain.
   */
  contributions?(nodes: readonly ShardNode[]): void;
  /** One optimizer step from the reduced contribution; `step` is 0-based. */
  update(reduced: Float32Array, learningRate: number, step: number): void;
  evaluate(batch: Batch): Evaluation;
  exportModel(): ExportedModel;
  /**
   * Name of the first layer whose output or weights are not finite, or of the last when only the loss is not; for the error
   * message of NotConverging.
   */
  findNonFinite(batch: Batch): string | undefined;
  dispose(): void;
}
