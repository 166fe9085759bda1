/**
 * Vectors that are received, added up and sent, four values at a time: in a part of an engine's memory, so that it reads and
 * writes them where they are, or in a WebAssembly memory of their own, as a parameter server's, which has no engine.
 *
 * Invariants
 *  VE1 A view stays valid as long as the object: the memory never grows. What was never written takes no memory.
 *  VE2 `add`, `pack` and `unpack` give the same bits wherever their operands are: what core's plain pool does.
 */
import { plainPool } from '../../core/gang/vector-pool.ts';
import type { Kernels } from './plan/exports.ts';
import { instantiate, newMemory } from './plan/kernels.ts';

const alignment = 64;

/** Memory that does not grow, from a byte on that is a multiple of 64. */
export interface Ground {
  readonly buffer: ArrayBuffer;
  readonly offset: number;
  /** On this memory. */
  readonly kernels: Kernels;
}

/** Bytes that vectors of these lengths take. */
export function bytesOf(lengths: readonly number[]): number {
  return lengths.reduce((bytes, length) => bytes + roomFor(length), 0);
}

function ownGround(bytes: number): Ground {
  const memory = newMemory(alignment + bytes);
  return { buffer: memory.buffer, offset: alignment, kernels: instantiate('portable', memory) };
}

export class Vectors {
  readonly #buffer: ArrayBuffer;
  readonly #kernels: Kernels;
  readonly #until: number;
  #end: number;

  /** With room for vectors of these lengths. */
  constructor(lengths: readonly number[], { buffer, offset, kernels } = ownGround(bytesOf(lengths))) {
    this.#buffer = buffer;
    this.#kernels = kernels;
    this.#end = offset;
    this.#until = offset + bytesOf(lengths);
  }

  /** Whether vectors of these lengths can be had. */
  fits(lengths: readonly number[]): boolean {
    return this.#end + bytesOf(lengths) <= this.#until;
  }

  /** Zeros. */
  allocate(length: number): Float32Array {
    if (!this.fits([length])) {
      throw new Error(`there is no room for ${length} more values in ${this.#until - this.#end} bytes of vectors`);
    }
    const vector = new Float32Array(this.#buffer, this.#end, length);
    this.#end += roomFor(length);
    return vector;
  }

  /** values[i] = table[bytes[i]], for the first so many; all of them allocated here. */
  lookUp(bytes: Uint8Array, count: number, table: Float32Array, values: Float32Array): void {
    this.#kernels.lookUp(bytes.byteOffset, count, table.byteOffset, values.byteOffset);
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
    return vectors.every(({ buffer }) => buffer === this.#buffer);
  }
}

function roomFor(length: number): number {
  return Math.ceil((length * 4) / alignment) * alignment;
}
