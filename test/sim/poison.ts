/**
 * A pool that spoils what nobody holds any more: whoever uses a vector longer than it is held computes with NaN, which the
 * rules see in the weights. Every vector counts, wherever it came from; the first to hear of one is its first holder.
 */
import type { VectorPool } from '../../core/gang/vector-pool.ts';
import { plainPool } from '../../core/gang/vector-pool.ts';

export function poisoningPool(): VectorPool {
  const holders = new WeakMap<ArrayBufferLike, number>();
  const count = (vector: Float32Array, change: number): number => {
    const now = (holders.get(vector.buffer) ?? 1) + change;
    if (now < 0) throw new Error('a vector was released by one who held none');
    holders.set(vector.buffer, now);
    return now;
  };
  return {
    take: (length) => new Float32Array(length).fill(Number.NaN),
    hold: (vector) => {
      count(vector, 1);
    },
    release: (vector) => {
      if (count(vector, -1) === 0) new Float32Array(vector.buffer).fill(Number.NaN);
    },
    add: plainPool.add,
    pack: plainPool.pack,
    unpack: plainPool.unpack,
  };
}
