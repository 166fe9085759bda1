/**
 * Where the vectors of a step live: whoever needs one holds it, and when nobody does any more it is given out again. A
 * step of a large network would else allocate, clear and throw away several times its size.
 *
 * Invariants
 *  VC1 `take` gives a vector with one holder and any content. `hold` adds a holder, `release` takes one away; at none the
 *      vector may be given out again. Whoever writes to a socket holds what is written until the system has it.
 *  VC2 A part of a vector (`subarray`) stands for the whole.
 *  VC3 What did not come from `take` may be held and released as well: it is the garbage collector's.
 *  VC4 `add`, `pack` and `unpack` give the same bits wherever the vectors live: left[i] + right[i] in float32, of which the
 *      first `rounded` are then rounded; the others as core/bfloat16.ts has them.
 */
import { packBfloat16, roundToBfloat16, unpackBfloat16 } from '../bfloat16.ts';

export interface VectorPool {
  take(length: number): Float32Array;
  hold(vector: Float32Array): void;
  release(vector: Float32Array): void;
  /** left += right */
  add(left: Float32Array, right: Float32Array, rounded?: number): void;
  pack(values: Float32Array, room: Float32Array): number;
  unpack(values: Float32Array, count: number): void;
}

/** A new one every time. */
export const plainPool: VectorPool = {
  take: (length) => new Float32Array(length),
  hold: () => undefined,
  release: () => undefined,
  add: (left, right, rounded = 0) => {
    for (let i = 0; i < left.length; i += 1) left[i] = (left[i] as number) + (right[i] as number);
    roundToBfloat16(left, rounded);
  },
  pack: packBfloat16,
  unpack: unpackBfloat16,
};

/**
 * The vectors of one member. What its machines let go of in one event may still be in the effects of that event: it is
 * released only with the next.
 */
export class Holdings implements Pick<VectorPool, 'take' | 'hold'> {
  readonly pool: VectorPool;
  private spent: Float32Array[] = [];

  constructor(pool: VectorPool) {
    this.pool = pool;
  }

  take(length: number): Float32Array {
    return this.pool.take(length);
  }

  hold(vector: Float32Array): void {
    this.pool.hold(vector);
  }

  letGo(...vectors: readonly Float32Array[]): void {
    this.spent.push(...vectors);
  }

  /** The effects of the event before have been carried out. */
  settle(): void {
    for (const vector of this.spent) this.pool.release(vector);
    this.spent.length = 0;
  }
}

/** Whether the part is that of the whole which begins at `from`. */
export function isAt(part: Float32Array, whole: Float32Array, from: number): boolean {
  return part.buffer === whole.buffer && part.byteOffset === whole.byteOffset + 4 * from;
}
