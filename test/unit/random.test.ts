import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fillUniform, hash32, keyed, uniform } from '../../core/random.ts';

test('hash32() has known answers: these numbers are in every checkpoint and must never change', () => {
  expect([hash32(0), hash32(1), hash32(1, 2, 3), hash32(2 ** 40 + 1, 7)]).toMatchInlineSnapshot(`
    [
      2654762175,
      1743613358,
      855801438,
      2130716793,
    ]
  `);
  const stream = keyed(17, 3, 1);
  expect([stream.next32(), stream.next32(), stream.next32()]).toMatchInlineSnapshot(`
    [
      4000587690,
      3574841506,
      3445803513,
    ]
  `);
});

test('keyed() depends on every key, on their order and on their number (K2, K3)', () => {
  const of = (...keys: [number, ...number[]]) => keyed(...keys).next32();
  const all = [
    of(1, 2),
    of(2, 1),
    of(1),
    of(1, 0),
    of(1, 0, 0),
    of(1 + 2 ** 32, 2),
    of(1, 2 + 2 ** 33),
    of(-1),
    of(5, 1),
    of(2 ** 32 + 5),
  ];
  expect(new Set(all).size).toBe(all.length);
});

test('uniform() and next() stay in [0, 1)', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.array(fc.maxSafeInteger(), { maxLength: 4 }), (seed, keys) => {
      for (const value of [uniform(seed, ...keys), keyed(seed, ...keys).next()]) {
        expect(value).toBeGreaterThanOrEqual(0);
        expect(value).toBeLessThan(1);
      }
    }),
  );
});

test('hash32() over neighbouring keys is flat and has no collisions to speak of', () => {
  const seen = new Set<number>();
  const buckets = new Array<number>(64).fill(0);
  for (let step = 0; step < 200; step += 1) {
    for (let shard = 0; shard < 16; shard += 1) {
      for (let i = 0; i < 20; i += 1) {
        const value = hash32(7, step, shard, i);
        seen.add(value);
        buckets[value >>> 26]! += 1;
      }
    }
  }
  // Birthday bound: 64,000 values out of 2^32 collide 0.5 times on average.
  expect(seen.size).toBeGreaterThan(64_000 - 8);
  for (const count of buckets) expect(Math.abs(count - 1000)).toBeLessThan(180);
});

test('normal() has mean 0, variance 1 and the right share within one deviation', () => {
  const stream = keyed(3);
  const values = Array.from({ length: 50_000 }, () => stream.normal());
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + value ** 2, 0) / values.length;
  expect(mean).toBeCloseTo(0, 1);
  expect(variance).toBeCloseTo(1, 1);
  expect(values.filter((value) => Math.abs(value) < 1).length / values.length).toBeCloseTo(0.683, 1);
});

test('successive bits of one stream and the same position of neighbouring streams are not correlated', () => {
  const n = 20_000;
  const along = keyed(11);
  const correlation = (pairs: [number, number][]) =>
    pairs.reduce((sum, [x, y]) => sum + (x - 0.5) * (y - 0.5), 0) / pairs.length / (1 / 12);
  let previous = along.next();
  const successive = Array.from({ length: n }, (): [number, number] => {
    const pair: [number, number] = [previous, along.next()];
    previous = pair[1];
    return pair;
  });
  const neighbours = Array.from({ length: n }, (_, i): [number, number] => [
    keyed(5, i).next(),
    keyed(5, i + 1).next(),
  ]);
  expect(Math.abs(correlation(successive))).toBeLessThan(0.03);
  expect(Math.abs(correlation(neighbours))).toBeLessThan(0.03);
});

test('fillUniform() draws what the stream does, on both sides of zero', () => {
  const filled = new Float32Array(100);
  fillUniform(filled, 0.3, 7, 1, 2);
  const { next } = keyed(7, 1, 2);
  expect([...filled]).toEqual(Array.from(filled, () => Math.fround((2 * next() - 1) * 0.3)));
  expect(Math.min(...filled)).toBeLessThan(0);
});
