/**
 * Vectors that are received, added up and sent: one WebAssembly memory of fixed size, in which vectors are added four
 * values at a time. It is separate from an engine's memory because that one grows with the batch, which takes the views
 * away that a socket is still writing to; and because a parameter server has no engine.
 *
 * Invariants
 *  VE1 A view stays valid as long as the object: the memory never grows. What was never written takes no memory.
 *  VE2 `add`, `pack` and `unpack` give the same bits wherever their operands are: what core's plain pool does.
 */
import { plainPool } from '../../core/gang/vector-pool.ts';
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

  /** into[i] += from[i], the first `rounded` rounded to bfloat16; fast when both lie in this memory, wherever they begin. */
  add(into: Float32Array, from: Float32Array, rounded = 0): void {
    if (into.length !== from.length) throw new Error(`cannot add ${from.length} values into ${into.length}`);
    if (rounded > into.length) throw new Error(`of ${into.length} values, ${rounded} cannot be rounded`);
    if (this.#has(into, from)) {
      const rest = 4 * rounded;
      this.#kernels.addRounded(into.byteOffset, from.byteOffset, rounded);
      this.#kernels.add(into.byteOffset + rest, from.byteOffset + rest, into.length - rounded);
    } else plainPool.add(into, from, rounded);
  }

  pack(values: Float32Array, room: Float32Array): number {
    if (2 * room.length < values.length) throw new Error(`${values.length} halves do not fit ${room.length} values`);
    if (!this.#has(values, room)) return plainPool.pack(values, room);
    return this.#kernels.pack(values.byteOffset, values.length, room.byteOffset);
  }

  unpack(values: Float32Array, count: number): void {
    if (count > values.length) throw new Error(`${values.length} values have no room for ${count}`);
    if (!this.#has(values)) plainPool.unpack(values, count);
    else this.#kernels.unpack(values.byteOffset, count);
  }

  #has(...vectors: readonly Float32Array[]): boolean {
    return vectors.every(({ buffer }) => buffer === this.#memory.buffer);
  }
}

function roomFor(length: number): number {
  return Math.ceil((length * 4) / alignment) * alignment;
}
