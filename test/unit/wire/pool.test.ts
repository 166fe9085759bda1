import { expect, it } from 'vitest';
import { Vectors } from '../../../container/engine/vectors.ts';
import { createPool, poolLengths } from '../../../container/wire/pool.ts';

const pool = (longest: number) => createPool(longest, new Vectors(poolLengths(longest)));

it('gives a vector out again when nobody holds it, by the whole or by a part of it (VC1, VC2)', () => {
  const { take, hold, release } = bound(pool(1000));
  const first = take(1000);
  hold(first.subarray(10, 20));
  release(first);
  const second = take(900);
  expect(second.byteOffset).not.toBe(first.byteOffset);
  release(first.subarray(999));
  expect(take(1000).byteOffset).toBe(first.byteOffset);
});

it('refuses the release of what nobody holds: one release too many would give a vector out twice', () => {
  const { take, release } = bound(pool(1000));
  const vector = take(300);
  release(vector);
  expect(() => release(vector)).toThrow('a vector of 300 values was released by one who held none');
});

it('goes on with ordinary vectors when it is full, or would be too large at all (PL1, VC3)', () => {
  const { take, hold, release, add } = bound(pool(1000));
  const taken = Array.from({ length: 100 }, () => take(1000));
  expect(new Set(taken.map((vector) => vector.buffer)).size).toBeGreaterThan(1);
  for (const vector of taken) vector.fill(1);
  expect(taken.every((vector) => vector.every((value) => value === 1))).toBe(true);
  const [inside, outside] = [taken[0] as Float32Array, taken[99] as Float32Array];
  add(inside, outside);
  expect(inside[999]).toBe(2);
  hold(outside);
  release(outside);
  release(outside);
  expect(poolLengths(2 ** 28)).toEqual([]);
  expect(pool(2 ** 28).take(5)).toHaveLength(5);
});

function bound(made: ReturnType<typeof pool>) {
  return {
    take: made.take.bind(made),
    hold: made.hold.bind(made),
    release: made.release.bind(made),
    add: made.add.bind(made),
  };
}
