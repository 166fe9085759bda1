/** The kernels by themselves: the order of summation, the own functions, and what a provider promises of its bits. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Bench } from '../../../container/engine/plan/bench.ts';
import { type Build, probe } from '../../../container/engine/plan/kernels.ts';
import { keyed, streamState } from '../../../core/random.ts';
import { builds } from './plan-support.ts';

/** a * b + c rounded once: in doubles the product is exact and the sum is rounded to odd, so rounding again is right. */
function fused(a: number, b: number, c: number): number {
  const product = a * b;
  const sum = product + c;
  const big = sum - product;
  const error = product - (sum - big) + (c - big);
  if (error === 0 || !Number.isFinite(sum)) return Math.fround(sum);
  const double = new Float64Array([sum]);
  const halves = new BigInt64Array(double.buffer);
  if ((halves[0]! & 1n) === 0n) halves[0]! += error > 0 === sum > 0 ? 1n : -1n;
  return Math.fround(double[0]!);
}

const multiplyAdd: { readonly [P in Build]: (a: number, b: number, c: number) => number } = {
  exact: fused,
  portable: (a, b, c) => Math.fround(Math.fround(a * b) + c),
};

/** Numbers of very different sizes, so that the order of a sum shows in its bits. */
function numbers(length: number, seed: number): Float32Array {
  const random = keyed(seed, 1);
  return Float32Array.from({ length }, () => random.normal() * 2 ** Math.floor(random.next() * 12 - 6));
}

describe.each(builds)('%s', (provider) => {
  test('a product is summed one by one, with the rounding the provider promises, wherever its tiles end', () => {
    const size = (max: number) => fc.integer({ min: 1, max });
    fc.assert(
      fc.property(
        fc.tuple(size(30), size(30), fc.oneof(size(20), fc.integer({ min: 380, max: 400 }))),
        fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()),
        ([m, n, k], [turnA, turnB, goOn]) => {
          const bench = new Bench(provider);
          const [a, b, c] = [bench.fixed(m * k), bench.fixed(k * n), bench.fixed(m * n)];
          const scratch = bench.fixed(bench.kernels.productScratch() / 4).offset;
          const [left, right, before] = [numbers(m * k, 1), numbers(k * n, 2), numbers(m * n, 3)];
          bench.floats(a.offset, m * k).set(left);
          bench.floats(b.offset, k * n).set(right);
          bench.floats(c.offset, m * n).set(before);
          const [aRow, aColumn] = turnA ? [1, m] : [k, 1];
          const [bRow, bColumn] = turnB ? [1, k] : [n, 1];
          const { product } = bench.kernels;
          product(m, n, k, a.offset, aRow, aColumn, b.offset, bRow, bColumn, c.offset, n, goOn ? 1 : 0, scratch);
          const wanted = Float32Array.from({ length: m * n }, (_, at) => {
            const [i, j] = [Math.floor(at / n), at % n];
            let sum = goOn ? before[at]! : 0;
            for (let p = 0; p < k; p += 1) {
              sum = multiplyAdd[provider](left[i * aRow + p * aColumn]!, right[p * bRow + j * bColumn]!, sum);
            }
            return sum;
          });
          expect(bench.floats(c.offset, m * n)).toEqual(wanted);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('the self-test tells the providers apart', () => {
    expect(probe(provider)).toEqual({ kind: 'works' });
    expect(multiplyAdd.exact(1 + 2 ** -12, 1 + 2 ** -12, -(1 + 2 ** -11))).toBe(2 ** -24);
    expect(multiplyAdd.portable(1 + 2 ** -12, 1 + 2 ** -12, -(1 + 2 ** -11))).toBe(0);
  });

  // name in Activation, its number, what it is in doubles, and where a relative error has no meaning
  const curves: [string, number, (x: number) => number, (x: number) => number][] = [
    ['elu', 3, (x) => (x < 0 ? Math.expm1(x) : x), () => 0],
    ['selu', 4, (x) => (x < 0 ? 1.7580993408473768 * Math.expm1(x) : 1.0507009873554805 * x), () => 0],
    ['sigmoid', 5, (x) => 1 / (1 + Math.exp(-x)), () => 1e-37],
    ['tanh', 7, Math.tanh, () => 0],
    ['softplus', 8, (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), () => 1e-37],
    ['swish', 10, (x) => x / (1 + Math.exp(-x)), () => 1e-35],
  ];

  test.each(curves)('%s is good to a few units in the last place', (_, kind, reference, tiny) => {
    const xs = Float32Array.from({ length: 40_001 }, (_, i) => (i - 20_000) * 0.005 * (i % 7 === 0 ? 0.01 : 1));
    const bench = new Bench(provider);
    const [x, y] = [bench.fixed(xs.length), bench.fixed(xs.length)];
    bench.floats(x.offset, xs.length).set(xs);
    bench.kernels.activate(kind, x.offset, y.offset, xs.length);
    const ys = bench.floats(y.offset, xs.length);
    let worst = 0;
    for (const [i, value] of xs.entries()) {
      const wanted = reference(value);
      worst = Math.max(worst, (Math.abs(ys[i]! - wanted) - tiny(value)) / Math.max(Math.abs(wanted), 1e-300));
    }
    expect(worst).toBeLessThan(6e-7);
  });

  test('activations end well: infinities, not-a-numbers and zeros', () => {
    const xs = Float32Array.of(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 0, 1e-30, -1e-30, 3e38);
    const bench = new Bench(provider);
    const [x, y] = [bench.fixed(xs.length), bench.fixed(xs.length)];
    const of = (kind: number) => {
      bench.floats(x.offset, xs.length).set(xs);
      bench.kernels.activate(kind, x.offset, y.offset, xs.length);
      return [...bench.floats(y.offset, xs.length)];
    };
    const inf = Number.POSITIVE_INFINITY;
    expect(of(1)).toEqual([inf, 0, Number.NaN, 0, ...xs.slice(4, 5), 0, ...xs.slice(6)]);
    expect(of(5)).toEqual([1, 0, Number.NaN, 0.5, 0.5, 0.5, 1]);
    expect(of(7)).toEqual([1, -1, Number.NaN, 0, ...xs.slice(4, 6), 1]);
    expect(of(8).slice(0, 3)).toEqual([inf, 0, Number.NaN]);
    expect(of(3).slice(0, 3)).toEqual([inf, -1, Number.NaN]);
  });

  test('passes over vectors write no value beyond their end', () => {
    for (let n = 1; n <= 9; n += 1) {
      const bench = new Bench(provider);
      const blocks = Array.from({ length: 4 }, () => bench.fixed(n + 8));
      const at = (i: number) => blocks[i]!.offset;
      const k = bench.kernels;
      const passes: Record<string, () => void> = {
        activate: () => k.activate(5, at(0), at(1), n),
        slope: () => k.activateGradient(7, at(0), at(1), at(2), n),
        add: () => k.add(at(0), at(1), n),
        multiply: () => k.multiply(at(0), at(1), at(2), n),
        fill: () => k.fill(at(0), n, 3),
        bias: () => k.biasRows(at(0), at(1), 1, n),
        planes: () => k.biasPlanes(at(0), at(1), 1, 1, n),
        sums: () => k.sumRows(at(0), 1, n, at(1)),
        mask: () => k.dropoutMask(1, 2, 2 ** 31, 2, n, at(0)),
        sgd: () => k.sgd(at(0), at(1), n, 0.5, 0.1),
        momentum: () => k.momentum(at(0), at(1), at(2), n, 0.5, 0.1, 0.9, 1),
        adam: () => k.adam(at(0), at(1), at(2), at(3), n, 0.5, 0.1, 0.9, 0.1, 0.99, 0.01, 1, 1e-7),
        rmsprop: () => k.rmsprop(at(0), at(1), at(2), at(3), n, 0.5, 0.1, 0.9, 0.1, 0.5, 1e-7),
        transpose: () => k.transposeEach(at(0), 1, 1, n, at(1)),
      };
      for (const [name, pass] of Object.entries(passes)) {
        for (const { offset, length } of blocks) bench.floats(offset, length).set(numbers(length, offset));
        const before = blocks.map(({ offset, length }) => bench.floats(offset, length).slice(n));
        pass();
        expect(
          blocks.map(({ offset, length }) => bench.floats(offset, length).slice(n)),
          `${name} of ${n}`,
        ).toEqual(before);
      }
    }
  });

  test('dropout draws the numbers of core/random.ts', () => {
    const bench = new Bench(provider);
    const out = bench.fixed(1000);
    for (const rate of [0.1, 0.5, 0.9]) {
      const stream = keyed(12, 2, 3, 4, 5);
      bench.kernels.dropoutMask(
        ...streamState(12, 2, 3, 4, 5),
        Math.ceil(rate * 2 ** 32),
        1 / (1 - rate),
        999,
        out.offset,
      );
      const kept = Math.fround(1 / (1 - rate));
      const wanted = Float32Array.from({ length: 999 }, () => (stream.next() >= rate ? kept : 0));
      expect(bench.floats(out.offset, 999)).toEqual(wanted);
    }
  });
});
