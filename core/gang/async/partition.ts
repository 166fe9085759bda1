/**
 * How the flat state is cut into partitions: contiguous ranges of the parameter vector, each with the optimizer slots of
 * the trained values in it. The cut follows from the plan alone and stays the same for the whole run; only who holds a
 * partition changes.
 *
 * A copy of a partition is one vector: its parameters, then its slots, one after the other.
 */

import { type Range, shardRange } from '../../shards.ts';
import { type AppliedRecord, countOf } from './applied.ts';

export interface Partitioning {
  readonly partitions: number;
  /** Trained values first, then moving statistics. */
  readonly parameterLength: number;
  readonly trainableLength: number;
  /** Optimizer slots, each as long as the trained values. */
  readonly slots: number;
  /** Values behind the gradient in a contribution: loss sum, correct, samples, then whatever else is added up. */
  readonly tailLength: number;
}

/** What is in a copy of a partition. */
export interface Mark {
  readonly partition: number;
  /** The newest generation in which the copy was in force. */
  readonly generation: number;
  readonly applied: AppliedRecord;
  /** Sums of the newest epochs over the items applied. */
  readonly sums: readonly EpochTally[];
}

export interface EpochTally {
  readonly epoch: number;
  readonly sums: Tally;
}

/** Sums over items: samples, loss, correct, and what else is in the tails. */
export type Tally = readonly [samples: number, loss: number, correct: number, ...rest: number[]];
export const noTally: Tally = [0, 0, 0];

/** Adds the tail of a contribution. */
export function addTail(sums: Tally, tail: Float32Array): Tally {
  const [n, loss, right, ...rest] = sums;
  const [lossSum, correct, samples, ...more] = tail as unknown as [number, number, number, ...number[]];
  return [n + samples, loss + lossSum, right + correct, ...more.map((value, i) => (rest[i] ?? 0) + value)];
}

export interface Copy {
  readonly mark: Mark;
  readonly values: Float32Array;
}

/** Number of updates in it. */
export function versionOf(mark: Mark): number {
  return countOf(mark.applied);
}

export function rangeOf({ parameterLength, partitions }: Partitioning, partition: number): Range {
  return shardRange(parameterLength, partitions, partition);
}

/** The trained values of the partition, as a range of the whole vector. */
export function trainedRangeOf(cut: Partitioning, partition: number): Range {
  const { from, to } = rangeOf(cut, partition);
  return { from: Math.min(from, cut.trainableLength), to: Math.min(to, cut.trainableLength) };
}

export function copyLengthOf(cut: Partitioning, partition: number): number {
  const all = rangeOf(cut, partition);
  const trained = trainedRangeOf(cut, partition);
  return all.to - all.from + cut.slots * (trained.to - trained.from);
}

/** The part of the whole state that belongs to the partition; a copy. */
export function cutOut(
  cut: Partitioning,
  partition: number,
  parameters: Float32Array,
  slots: Float32Array,
): Float32Array {
  const all = rangeOf(cut, partition);
  const trained = trainedRangeOf(cut, partition);
  const values = new Float32Array(copyLengthOf(cut, partition));
  values.set(parameters.subarray(all.from, all.to));
  let at = all.to - all.from;
  for (let slot = 0; slot < cut.slots; slot += 1) {
    const base = slot * cut.trainableLength;
    values.set(slots.subarray(base + trained.from, base + trained.to), at);
    at += trained.to - trained.from;
  }
  return values;
}

/** The whole state from one copy of each partition. */
export function putTogether(
  cut: Partitioning,
  copies: readonly Copy[],
): { readonly parameters: Float32Array; readonly slots: Float32Array } {
  const parameters = new Float32Array(cut.parameterLength);
  const slots = new Float32Array(cut.slots * cut.trainableLength);
  for (const { mark, values } of copies) {
    const all = rangeOf(cut, mark.partition);
    const trained = trainedRangeOf(cut, mark.partition);
    const length = all.to - all.from;
    parameters.set(values.subarray(0, length), all.from);
    const each = trained.to - trained.from;
    for (let slot = 0; slot < cut.slots; slot += 1) {
      const from = length + slot * each;
      slots.set(values.subarray(from, from + each), slot * cut.trainableLength + trained.from);
    }
  }
  return { parameters, slots };
}
