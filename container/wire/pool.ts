/**
 * The vectors that are received, added up and sent, in WebAssembly memory: taken, held and released, so that a step asks
 * the system for nothing.
 *
 * Invariants: VC1 to VC4 of core/gang/vector-pool.ts, and
 *  PL1 A vector for which there is no room is the garbage collector's like any other: slower, not wrong.
 */
import { plainPool, type VectorPool } from '../../core/gang/vector-pool.ts';
import type { Vectors } from '../engine/vectors.ts';

/** How many of the longest there is room for: those of two steps, and what is still on its way. Unused room is free. */
const room = 16;
const mostBytes = 2 ** 30;
const leastLength = 256;

interface Block {
  readonly whole: Float32Array;
  holders: number;
}

/** What a pool for vectors up to this length asks room for: nothing when that would be too much. */
export function poolLengths(longest: number): readonly number[] {
  const length = classOf(longest);
  return room * 4 * length > mostBytes ? [] : Array.from({ length: room }, () => length);
}

/** `vectors` has room for `poolLengths`. */
export function createPool(longest: number, vectors: Vectors): VectorPool {
  const lengths = poolLengths(longest);
  return lengths.length === 0 ? plainPool : new Pool(vectors, room * classOf(longest));
}

/** Blocks come in powers of two, so that one is used again when the number of partitions has changed. */
function classOf(length: number): number {
  return Math.max(leastLength, 2 ** Math.ceil(Math.log2(length)));
}

class Pool implements VectorPool {
  readonly #vectors: Vectors;
  readonly #blocks: Block[] = [];
  #left: number;

  constructor(vectors: Vectors, values: number) {
    this.#vectors = vectors;
    this.#left = values;
  }

  take(length: number): Float32Array {
    const block = this.#find(classOf(length));
    if (block === undefined) return plainPool.take(length);
    block.holders = 1;
    return block.whole.subarray(0, length);
  }

  hold(vector: Float32Array): void {
    const block = this.#blockOf(vector);
    if (block !== undefined) block.holders += 1;
  }

  release(vector: Float32Array): void {
    const block = this.#blockOf(vector);
    if (block === undefined) return;
    if (block.holders === 0) throw new Error(`a vector of ${vector.length} values was released by one who held none`);
    block.holders -= 1;
  }

  add(left: Float32Array, right: Float32Array, rounded?: number): void {
    this.#vectors.add(left, right, rounded);
  }

  pack(values: Float32Array, room: Float32Array): number {
    return this.#vectors.pack(values, room);
  }

  unpack(values: Float32Array, count: number): void {
    this.#vectors.unpack(values, count);
  }

  #find(length: number): Block | undefined {
    const free = this.#blocks.find(({ whole, holders }) => holders === 0 && whole.length === length);
    if (free !== undefined) return free;
    if (length > this.#left) return undefined;
    this.#left -= length;
    const block = { whole: this.#vectors.allocate(length), holders: 0 };
    this.#blocks.push(block);
    return block;
  }

  #blockOf({ buffer, byteOffset }: Float32Array): Block | undefined {
    return this.#blocks.find(
      ({ whole }) =>
        buffer === whole.buffer && byteOffset >= whole.byteOffset && byteOffset < whole.byteOffset + whole.byteLength,
    );
  }
}
