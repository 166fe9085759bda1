/** Weight gradients of a library's products are put on top of each other, and cut anew, only where that gives the same bits. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Bench } from '../../../container/engine/plan/bench.ts';
import type { Shard } from '../../../container/engine/plan/step.ts';
import { waysOf } from '../../../container/engine/plan/sums.ts';
import type { TrialBench } from '../../../container/engine/plan/trial.ts';
import type { KeyedBatch } from '../../../container/engine/port.ts';
import { plainPool } from '../../../core/gang/vector-pool.ts';
import { compiled, providers } from './plan-support.ts';
import type { Net } from './support.ts';

/** More values than a standard piece holds, which are 256 of these rows. */
const product = { m: 300, n: 256, places: 1 };
const standard = 256 * 256;
const unpacked = 256 * 64 * 8;

function shardsOf(...sizes: readonly number[]): Shard[] {
  let to = 0;
  return sizes.map((size, index) => {
    to += size;
    return { step: 0, shard: index, index, from: to - size, to };
  });
}

/** A library that puts on top as it should, after which its answers are touched up. */
function library(touch: (answer: Float32Array, rows: number, onTop: boolean) => void = () => {}): () => TrialBench {
  return () => {
    const bench = new Bench('portable');
    const scratch = bench.fixed(bench.kernels.productScratch() / 4).offset;
    const { product: multiply } = bench.kernels;
    const touched: typeof multiply = (m, n, k, a, aRow, aColumn, b, bRow, bColumn, c, cRow, accumulate) => {
      const answer = bench.floats(c, m * n);
      const before = answer.slice();
      multiply(m, n, k, a, aRow, aColumn, b, bRow, bColumn, c, cRow, 0, scratch);
      if (accumulate) for (let i = 0; i < answer.length; i += 1) answer[i]! += before[i]!;
      touch(answer, m, accumulate === 1);
    };
    return { ...given(bench), kernels: { ...bench.kernels, product: touched } };
  };
}

function given(bench: Bench): Omit<TrialBench, 'kernels'> {
  return {
    fixed: (length) => bench.fixed(length),
    floats: (offset, length) => bench.floats(offset, length),
    ints: (offset, length) => bench.ints(offset, length),
  };
}

describe('the way is', () => {
  test('one piece for one shard, pieces that are not packed for more, standard ones where those are too small', () => {
    const ways = waysOf(product, library(), unpacked);
    expect(ways(shardsOf(8))).toEqual({ length: 300 * 256, onTop: true });
    expect(ways(shardsOf(8, 8))).toEqual({ length: 64 * 256, onTop: true });
    expect(ways(shardsOf(3, 0, 8, 8))).toEqual({ length: 64 * 256, onTop: true });
    expect(ways(shardsOf(64, 64))).toEqual({ length: standard, onTop: true });
    expect(waysOf(product, library(), 0)(shardsOf(8, 8))).toEqual({ length: standard, onTop: true });
  });

  test('standard pieces where others have other bits', () => {
    const wrong = library((answer, rows) => {
      if (rows === 64) answer[answer.length - 1]! *= 1 + 2 ** -22;
    });
    expect(waysOf(product, wrong, unpacked)(shardsOf(8, 8))).toEqual({ length: standard, onTop: true });
  });

  test.each([
    ['always', (answer: Float32Array) => answer.fill(1, 0, 1)],
    // Only where all products are zeros.
    [
      'in the sign of zero',
      (answer: Float32Array) => answer.set(answer.map((value) => (value === 0 ? -value : value))),
    ],
  ])('not on top where that has other bits %s, for one size of several', (_, touch) => {
    const wrong = library((answer, _rows, onTop) => {
      if (onTop) touch(answer);
    });
    expect(waysOf(product, wrong, unpacked)(shardsOf(8, 7))).toEqual({ length: standard, onTop: false });
  });

  test('not on top where that has other bits seldom, in one column', () => {
    let calls = 0;
    const seldom = library((answer, _rows, onTop) => {
      calls += 1;
      if (onTop && calls % 50 === 0) answer[9]! *= 1 + 2 ** -22;
    });
    expect(waysOf({ m: 30, n: 10, places: 1 }, seldom, 0)(shardsOf(2, 2))).toEqual({ length: 300, onTop: false });
  });

  test('tried once for each number of samples', () => {
    let trials = 0;
    const make = library();
    const ways = waysOf(
      product,
      () => {
        trials += 1;
        return make();
      },
      unpacked,
    );
    for (const sizes of [[8, 8], [8, 0, 8, 8], [8]]) ways(shardsOf(...sizes));
    // Pieces of 64 rows, and the whole.
    expect(trials).toBe(2);
    ways(shardsOf(8, 7));
    expect(trials).toBe(3);
    expect(ways(shardsOf(0, 0))).toEqual({ length: standard, onTop: true });
    expect(trials).toBe(3);
  });
});

test.runIf(providers.includes('native'))('sums on top are sums of the shards, however the samples are cut', () => {
  const dense = (name: string, units: number) => ({
    kind: 'dense' as const,
    name,
    units,
    activation: 'relu' as const,
    useBias: true,
  });
  const net: Net = {
    inputShape: [150],
    layers: [dense('a', 530), dense('b', 33), dense('c', 3)],
    loss: 'meanSquaredError',
  };
  const engine = compiled(net, 'native');
  const { contributionLength, roundedLength } = engine.layout;
  expect(roundedLength).toBe(0);
  const values = (length: number, seed: number) => Float32Array.from({ length }, (_, i) => Math.sin(i * seed + seed));
  const partOf = (size: number, shard: number): KeyedBatch => ({
    batch: { size, features: values(size * 150, shard + 1.3), targets: values(size * 3, shard + 2.1) },
    key: { step: 0, shard },
  });
  const sumOf = (parts: readonly KeyedBatch[]): Float32Array => {
    const out = new Float32Array(contributionLength);
    engine.contributions([{ parts, out }]);
    return out;
  };
  const apart = (parts: readonly KeyedBatch[]): Float32Array => {
    if (parts.length === 1) return sumOf(parts);
    const half = parts.length / 2;
    const left = apart(parts.slice(0, half));
    plainPool.add(left, apart(parts.slice(half)));
    return left;
  };
  const check = (sizes: readonly number[]): void => {
    const parts = sizes.map(partOf);
    expect(Buffer.compare(Buffer.from(sumOf(parts).buffer), Buffer.from(apart(parts).buffer))).toBe(0);
  };
  const size = fc.constantFrom(0, 1, 2, 3, 7, 8, 16);
  const cuts = fc
    .constantFrom(1, 2, 4, 8, 16)
    .chain((shards) => fc.array(size, { minLength: shards, maxLength: shards }));
  fc.assert(fc.property(cuts, check), { numRuns: 30 });
  check(Array.from({ length: 64 }, (_, i) => i % 3));
  // More than BLAS sums up in one go.
  check([500, 499]);
  check([0, 600, 8, 0]);
});
