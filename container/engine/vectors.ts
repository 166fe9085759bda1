/**
 * Vectors that are received, added up and sent: one WebAssembly memory of fixed size, in which vectors are added four
 * values at a time. It is separate from an engine's memory because that one grows with the batch, which takes the views
 * away that a socket is still writing to; and because a parameter server has no engine.
 *
 * Invariants
 *  VE1 A view stays valid as long as the object: the memory never grows. What was never written takes no memory.
 *  VE2 `add` gives the same bits wherever its operands are: every element is one float32 addition, into + from.
 */
import type { Kernels } from './plan/exports.ts';
import { instantiate, type Memory, newMemory } from './plan/kernels.ts';

const alignment = 64;

export class Vectors {
  readonly #memory: Memory;
  readonly #kernels: Kernels;
  #end = alignment;

  /** With room for vectors of these lengths. */
  constructor(lengths: readonly number[]) {
    this.#memory = newMemory(lengths.reduce((bytes, length) => bytes + roomFor(length), alignment));
    this.#kernels = instantiate('portable', this.#memory);
  }

  /** Zeros. */
  allocate(length: number): Float32Array {
    const { buffer } = this.#memory;
    if (this.#end + roomFor(length) > buffer.byteLength) {
      throw new Error(`there is no room for ${length} more values in ${buffer.byteLength} bytes of vectors`);
    }
    const vector = new Float32Array(buffer, this.#end, length);
    this.#end += roomFor(length);
    return vector;
  }

  /** into[i] += from[i]; fast when both lie in this memory, wherever they begin. */
  add(into: Float32Array, from: Float32Array): void {
    if (into.length !== from.length) throw new Error(`cannot add ${from.length} values into ${into.length}`);
    const { buffer } = this.#memory;
    if (into.buffer === buffer && from.buffer === buffer) {
      this.#kernels.add(into.byteOffset, from.byteOffset, into.length);
    } else for (let i = 0; i < into.length; i += 1) into[i]! += from[i]!;
  }
}

function roomFor(length: number): number {
  return Math.ceil((length * 4) / alignment) * alignment;
}
