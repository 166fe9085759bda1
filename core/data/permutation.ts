/**
 * The order of samples: a keyed permutation of 0..n-1 for each (seed, epoch). There is no shuffle buffer and nothing to
 * store; whoever knows the plan computes the sample at any position (R4).
 *
 * A Feistel network over the fewest bits that hold n, with keyed rounds; positions that land at or beyond n walk on
 * through the network until they land inside (cycle walking, Black and Rogaway 2002). The two halves may differ by a
 * bit, so the domain is below 2n and a walk takes less than two turns on average.
 *
 * Invariants
 *  P1  For every (seed, epoch, n) the mapping is a bijection of 0..n-1.
 *  P2  Only integer operations: the same order on every machine.
 */
import { hash32 } from '../random.ts';

const rounds = 8;

/** What a permutation is for: two purposes never share an order. */
export const purposes = { epoch: 1, split: 2 } as const;

/** Position in the epoch -> index of the sample. */
export function permute(seed: number, epoch: number, n: number): (position: number) => number {
  return permuteFor(purposes.epoch, seed, epoch, n);
}

export function permuteFor(purpose: number, seed: number, key: number, n: number): (position: number) => number {
  if (!Number.isInteger(n) || n < 1 || n > 2 ** 30) throw new RangeError(`cannot permute ${n} positions`);
  if (n === 1) return () => 0;
  const bits = 32 - Math.clz32(n - 1);
  const lowBits = bits >>> 1;
  const lowMask = 2 ** lowBits - 1;
  const highMask = 2 ** (bits - lowBits) - 1;
  const roundKeys = Int32Array.from({ length: rounds }, (_, round) => hash32(seed, purpose, key, round));
  return (position) => {
    let at = position;
    do {
      let low = at & lowMask;
      let high = at >>> lowBits;
      for (let round = 0; round < rounds; round += 2) {
        high ^= mix(low ^ (roundKeys[round] as number)) & highMask;
        low ^= mix(high ^ (roundKeys[round + 1] as number)) & lowMask;
      }
      at = (high << lowBits) | low;
    } while (at >= n);
    return at;
  };
}

/** MurmurHash3's finaliser. */
function mix(value: number): number {
  let h = value ^ (value >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}
