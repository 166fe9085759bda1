/** What a compiled layer is: a few calls of kernels on offsets, forward and backward. */
import type { ShardKey } from '../port.ts';
import type { Bench, Block } from './bench.ts';

/** Of one pass. */
export const mostShards = 64;

/** The samples [from, to) of a pass that are one logical shard. */
export interface Shard extends ShardKey {
  /** Among the shards of the pass, from 0. */
  readonly index: number;
  readonly from: number;
  readonly to: number;
}

export interface Pass {
  readonly samples: number;
  /** The shards of a training pass in order; none in inference. */
  readonly shards: readonly Shard[];
}

/**
 * How the values of a sample lie: as `rows`, [place][channel], the order of TF.js and of the exported model; or as
 * `planes`, [channel][place], in which convolutions compute. With one channel or one place they are the same.
 */
export type Form = 'rows' | 'planes';

export interface Value {
  readonly block: Block;
  /** Where the gradient of the loss by this value is put on the way back. */
  readonly gradient: Block;
  readonly form: Form;
  /** Of one sample, channels last whatever the form. */
  readonly shape: readonly number[];
}

export interface Step {
  readonly output: Value;
  forward(pass: Pass): void;
  /** From the gradient of the output to that of the input, for all samples at once. */
  backward?(pass: Pass): void;
  /**
   * The gradients of the layer's weights and the changes of its moving statistics; after `backward`.
   */
  readonly gradients?: readonly Sums[];
}

export interface Sums {
  /** Place in the contribution, in values. */
  readonly at: number;
  readonly length: number;
  /** Values that belong together where `write` can be asked for a part; else it is asked for all. */
  readonly row?: number;
  /**
   * Writes those of one shard, which is not empty, from the value `from` up to `until`, to the byte offset `to`; `onTop` of
   * what is there, with the bits of a sum, when the way says so.
   */
  write(shard: Shard, to: number, from: number, until: number, onTop: boolean): void;
  /** The fastest way to write those of these shards; without it, standard pieces that are added up. */
  way?(shards: readonly Shard[]): Way;
  /**
   * Their sum over the shards of a node in the fixed tree, with `rounded` to bfloat16 at every node; false when that is not
   * possible at once: nothing was done.
   */
  writeSum?(shards: readonly Shard[], to: number, rounded: boolean): boolean;
}

export interface Way {
  /** Values that are written and added up at once: of one shard any number, of more at most a standard piece. */
  readonly length: number;
  /** Whether a shard can be written on top of another. */
  readonly onTop: boolean;
}

/** Values that are added up at once: with the partial sums they stay in the second-level cache. */
const pieceValues = 2 ** 16;

/** How many values of a layer are added up at once: whole rows, or all. */
export function standardPiece(length: number, row = length): number {
  return Math.min(length, row * Math.max(1, Math.floor(pieceValues / row)));
}

/** What a layer needs to know when it is compiled. */
export interface Site {
  readonly bench: Bench;
  readonly layer: number;
  readonly input: Value;
  /** Of the output, for one sample. */
  readonly shape: readonly number[];
  /** Whether the gradient of the input is wanted, and that of the output given. */
  readonly needsInput: boolean;
  /** Byte offset of a weight of this layer. */
  readonly weight: (role: string) => number;
  /** Its place in the flat vector, in values. */
  readonly place: (role: string) => number;
  /** Byte offset of the room for packing, shared by all products. */
  readonly scratch: number;
  /** Room for the columns of a convolution, shared by all. */
  readonly columns: (length: number) => Block;
  /** A new value behind the input: a block of its own and a gradient other than the input's. */
  readonly next: (form: Form, shape?: readonly number[]) => Value;
  /** Two numbers from which all of a shard's random numbers follow. */
  readonly random: (shard: Shard) => readonly [number, number];
}

export function channelsOf(shape: readonly number[]): number {
  return shape.at(-1) ?? 1;
}

export function placesOf(shape: readonly number[]): number {
  return shape.slice(0, -1).reduce((product, length) => product * length, 1);
}
