/**
 * Keyed random numbers: a number is a pure function of what it is for (seed, step, shard, layer, index), not of what
 * was drawn before. Owns the mixing; what the keys mean is the caller's business.
 *
 * Two 32-bit lanes are folded over the keys with the MurmurHash3 multipliers and finaliser (Appleby, 2011), so that two
 * streams collide only when 64 bits agree; a stream then walks a Weyl sequence through the finaliser, which is how
 * SplitMix does it (Steele, Lea, Flood, 2014). Not for secrets.
 *
 * Invariants
 *  K1  Only integer operations (Math.imul, shifts, xor) and exact powers of two: the same bits on every machine.
 *  K2  The keys are an ordered list: (1, 2) and (2, 1), (1) and (1, 0) are different streams.
 *  K3  Keys are whole numbers of up to 53 bits; both halves count.
 */

const weyl = 0x9e3779b9;
const toUnit = 2 ** -32;

/** The finaliser of MurmurHash3: one-to-one on 32-bit words. */
export function finalise(value: number): number {
  let h = value;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** One 32-bit word into one lane: the body of MurmurHash3. */
function fold(lane: number, word: number, multiplier: number): number {
  let k = Math.imul(word, multiplier);
  k = (k << 15) | (k >>> 17);
  const h = lane ^ Math.imul(k, 0x1b873593);
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}

function foldAll(start: number, multiplier: number, seed: number, keys: readonly number[]): number {
  let lane = foldNumber(start, seed, multiplier);
  for (let i = 0; i < keys.length; i += 1) lane = foldNumber(lane, keys[i] as number, multiplier);
  return finalise(lane ^ keys.length);
}

function foldNumber(lane: number, value: number, multiplier: number): number {
  const high = Math.floor(value / 2 ** 32) | 0;
  const low = fold(lane, value | 0, multiplier);
  return high === 0 ? low : fold(low, high, multiplier);
}

function first(seed: number, keys: readonly number[]): number {
  return foldAll(0x2545f491, 0xcc9e2d51, seed, keys);
}

function second(seed: number, keys: readonly number[]): number {
  return foldAll(0x6c078965, 0x239b961b, seed, keys);
}

/**
 * What a random number is for, as the first key after the seed: one seed serves a whole run, and no two uses of it may
 * draw the same numbers.
 */
export const purposes = { initialWeights: 1, dropout: 2, sampleOrder: 3, split: 4, digits: 5 } as const;

/** A whole number in [0, 2^32). */
export function hash32(seed: number, ...keys: number[]): number {
  return finalise(first(seed, keys) ^ second(seed, keys)) >>> 0;
}

/** A number in [0, 1), a multiple of 2^-32. */
export function uniform(seed: number, ...keys: number[]): number {
  return (finalise(first(seed, keys) ^ second(seed, keys)) >>> 0) * toUnit;
}

export interface Stream {
  /** A number in [0, 1), a multiple of 2^-32. */
  next(): number;
  /** A whole number in [0, 2^32). */
  next32(): number;
  /**
   * Mean 0, variance 1, within -6..6: the sum of twelve uniform numbers of 16 bits (Irwin-Hall). Chosen over Box-Muller
   * because logarithms and cosines may differ in the last bit between machines.
   */
  normal(): number;
}

/**
 * What a stream follows from, for who draws many numbers at once: number i, from 1, is
 * finalise(finalise(a + i * 0x9e3779b9) ^ b), in 32 bits.
 */
export function streamState(seed: number, ...keys: number[]): readonly [a: number, b: number] {
  return [first(seed, keys), second(seed, keys)];
}

/** An endless stream for these keys. Two streams with the same keys give the same numbers. */
export function keyed(seed: number, ...keys: number[]): Stream {
  const [a, b] = streamState(seed, ...keys);
  let counter = 0;
  const draw = (): number => {
    counter = (counter + weyl) | 0;
    return finalise(finalise(a + counter) ^ b) >>> 0;
  };
  return {
    next: () => draw() * toUnit,
    next32: draw,
    normal: () => {
      let sum = 0;
      for (let i = 0; i < 6; i += 1) {
        const word = draw();
        sum += (word & 0xffff) + (word >>> 16);
      }
      // Each half is uniform over 0..65535: mean 32767.5, and the variance of twelve is (2^32 - 1), so 2^-16 scales it to 1.
      return (sum - 12 * 32767.5) * 2 ** -16;
    },
  };
}

/**
 * The first numbers of the stream for these keys, from -limit to limit: in one loop, which is compiled sooner than calls of
 * `next`. Every task waits for its weights before its first step.
 */
export function fillUniform(into: Float32Array, limit: number, seed: number, ...keys: number[]): void {
  const [a, b] = streamState(seed, ...keys);
  let counter = 0;
  for (let i = 0; i < into.length; i += 1) {
    counter = (counter + weyl) | 0;
    into[i] = (2 * ((finalise(finalise(a + counter) ^ b) >>> 0) * toUnit) - 1) * limit;
  }
}
