import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Vectors } from '../../../container/engine/vectors.ts';
import { keyed } from '../../../core/random.ts';

const numbers = (length: number, seed: number): Float32Array => {
  const random = keyed(seed, 1);
  return Float32Array.from({ length }, () => random.normal() * 2 ** Math.floor(random.next() * 12 - 6));
};

test('add() gives the same bits whether its operands lie inside or outside, and touches nothing else (VE2)', () => {
  const place = fc.integer({ min: 0, max: 9 });
  fc.assert(
    fc.property(place, place, fc.integer({ min: 0, max: 70 }), fc.boolean(), (to, at, length, outside) => {
      const vectors = new Vectors([100, 100]);
      const [one, other] = [vectors.allocate(100), outside ? new Float32Array(100) : vectors.allocate(100)];
      one.set(numbers(100, 1));
      other.set(numbers(100, 2));
      const wanted = one.slice();
      for (let i = 0; i < length; i += 1) wanted[to + i]! += other[at + i]!;
      vectors.add(one.subarray(to, to + length), other.subarray(at, at + length));
      expect(one).toEqual(wanted);
      expect(other).toEqual(numbers(100, 2));
    }),
  );
});

test('vectors do not overlap, and stay where they are until there is no room (VE1)', () => {
  const lengths = [5, 100_000, 1, 33];
  const vectors = new Vectors(lengths);
  const all = lengths.map((length) => vectors.allocate(length));
  for (const [i, vector] of all.entries()) vector.fill(i + 1);
  for (const [i, vector] of all.entries()) expect(vector.every((value) => value === i + 1)).toBe(true);
  expect(() => vectors.allocate(100_000)).toThrow('there is no room for 100000 more values');
  expect(() => vectors.add(all[0]!, all[2]!)).toThrow('cannot add 1 values into 5');
});
