/** bfloat16 by the value and in the kernels: what is rounded, added and sent must be the same bits in both. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Vectors } from '../../container/engine/vectors.ts';
import { packBfloat16, roundedLength, roundToBfloat16, unpackBfloat16 } from '../../core/bfloat16.ts';
import { plainPool } from '../../core/gang/vector-pool.ts';

const fromBits = (...bits: readonly number[]): Float32Array => new Float32Array(Uint32Array.from(bits).buffer);
const bitsOf = (values: Float32Array): number[] => [...new Uint32Array(values.slice().buffer)];
const rounded = (bits: number): number => {
  const value = fromBits(bits);
  roundToBfloat16(value);
  return bitsOf(value)[0] as number;
};
const canonicalNaN = 0x7fc0_0000;
const anyBits = fc.oneof(
  fc.integer({ min: 0, max: 0xffff_ffff }),
  // Ties and their neighbours, of all exponents.
  fc
    .tuple(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(0, 1, 0x7fff, 0x8000, 0x8001, 0xffff))
    .map(([upper, lower]) => upper * 0x1_0000 + lower),
);

describe('rounding', () => {
  it('is to the nearest, ties to even (BF1)', () => {
    expect(rounded(0x3f80_7fff)).toBe(0x3f80_0000);
    expect(rounded(0x3f80_8000)).toBe(0x3f80_0000);
    expect(rounded(0x3f81_8000)).toBe(0x3f82_0000);
    expect(rounded(0x3f80_8001)).toBe(0x3f81_0000);
    expect(rounded(0xbf81_8000)).toBe(0xbf82_0000);
    // The carry goes into the exponent.
    expect(rounded(0x3fff_ffff)).toBe(0x4000_0000);
  });

  it('keeps zeros, infinities and subnormals, and has one NaN (BF1)', () => {
    for (const kept of [0, 0x8000_0000, 0x7f80_0000, 0xff80_0000, 0x0001_0000, 0x807f_0000])
      expect(rounded(kept)).toBe(kept);
    expect(rounded(0x0000_8001)).toBe(0x0001_0000);
    expect(rounded(0x007f_ffff)).toBe(0x0080_0000);
    expect(rounded(0x7f7f_ffff)).toBe(0x7f80_0000);
    for (const nan of [0x7fc0_0000, 0x7f80_0001, 0x7fff_ffff, 0xffff_ffff, 0xff80_0001]) {
      expect(rounded(nan)).toBe(canonicalNaN);
    }
  });

  it('takes the nearer of the two neighbours, once and for all (BF1, BF2)', () => {
    fc.assert(
      fc.property(anyBits, (bits) => {
        const [value] = fromBits(bits) as unknown as [number];
        const once = rounded(bits);
        expect(once & 0xffff).toBe(0);
        expect(rounded(once)).toBe(once);
        if (!Number.isFinite(value)) return;
        const low = (bits & 0xffff_0000) >>> 0;
        const distance = (to: number): number => Math.abs((fromBits(to)[0] as number) - value);
        const high = (low + 0x1_0000) >>> 0;
        if (Number.isFinite(fromBits(high)[0])) expect(distance(once)).toBe(Math.min(distance(low), distance(high)));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('kernels', () => {
  const place = fc.integer({ min: 0, max: 9 });
  const vector = fc.array(anyBits, { minLength: 100, maxLength: 100 }).map((bits) => fromBits(...bits));

  it('round sums as the plain pool does, and touch nothing else (VE2)', () => {
    fc.assert(
      fc.property(vector, vector, place, place, fc.nat(70), fc.nat(70), (a, b, to, at, length, count) => {
        const part = Math.min(count, length);
        const vectors = new Vectors([100, 100]);
        const [one, other] = [vectors.allocate(100), vectors.allocate(100)];
        one.set(a);
        other.set(b);
        const wanted = one.slice();
        plainPool.add(wanted.subarray(to, to + length), other.slice(at, at + length), part);
        vectors.add(one.subarray(to, to + length), other.subarray(at, at + length), part);
        // Which NaN a sum that is not rounded is, the processor decides.
        expect(one).toEqual(wanted);
        expect(bitsOf(one.subarray(to, to + part))).toEqual(bitsOf(wanted.subarray(to, to + part)));
        expect(bitsOf(other)).toEqual(bitsOf(b));
      }),
    );
  });

  it('pack what was rounded and unpack it where it is, whatever it is (BF3)', () => {
    fc.assert(
      fc.property(vector, place, fc.nat(90), fc.nat(90), (values, at, length, count) => {
        roundToBfloat16(values, at + Math.min(count, length));
        const vectors = new Vectors([100, 50, 100]);
        const [from, room, to] = [vectors.allocate(100), vectors.allocate(50), vectors.allocate(100)];
        from.set(values);
        const sent = from.subarray(at, at + length);
        const packed = vectors.pack(sent, room);
        const plainRoom = new Float32Array(50);
        expect(packed).toBe(packBfloat16(sent.slice(), plainRoom));
        expect(packed).toBeGreaterThanOrEqual(Math.min(count, length));
        const halves = (of: Float32Array): number[] => [...new Uint16Array(of.buffer, of.byteOffset, packed)];
        expect(halves(room)).toEqual(halves(plainRoom));
        for (const [into, unpack] of [
          [to.subarray(at, at + length), vectors.unpack.bind(vectors)],
          [new Float32Array(length), unpackBfloat16],
        ] as const) {
          new Uint16Array(into.buffer, into.byteOffset + 2 * packed, packed).set(halves(room));
          into.set(sent.subarray(packed), packed);
          unpack(into, packed);
          expect(bitsOf(into)).toEqual(bitsOf(sent));
        }
        expect(bitsOf(to.subarray(at + length)).every((bits) => bits === 0)).toBe(true);
      }),
    );
  });

  it('refuse what does not fit', () => {
    const vectors = new Vectors([5, 5]);
    const [one, other] = [vectors.allocate(5), vectors.allocate(5)];
    expect(() => vectors.add(one, other, 6)).toThrow('of 5 values, 6 cannot be rounded');
    expect(() => vectors.pack(one, other.subarray(3))).toThrow('5 halves do not fit 2 values');
    expect(() => vectors.unpack(one, 6)).toThrow('5 values have no room for 6');
  });
});

it('is for what is trained, and nothing when there is no compression', () => {
  expect(roundedLength(7, 'bf16')).toBe(7);
  expect(roundedLength(7, 'none')).toBe(0);
});
