import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Bench } from '../../../container/engine/plan/bench.ts';
import { within } from '../../../container/engine/plan/blas.ts';
import { providers } from './plan-support.ts';

test('a matrix is let through exactly when every byte of it is in the memory (B1)', () => {
  const size = fc.integer({ min: 1, max: 6 });
  fc.assert(
    fc.property(
      fc.integer({ min: -8, max: 40 }),
      size,
      size,
      fc.nat(8),
      fc.nat(160),
      (at, rows, columns, row, bytes) => {
        const last = at * 4 + ((rows - 1) * row + columns) * 4;
        const fits = at >= 0 && row >= columns && last <= bytes;
        const check = () => within('left side', at * 4, rows, columns, row, bytes);
        if (fits) expect(check).not.toThrow();
        else expect(check).toThrow(/^the left side of a product is outside the memory of \d+ bytes: /);
      },
    ),
    { numRuns: 1000 },
  );
  for (const bad of [Number.NaN, 1.5, 2, Number.POSITIVE_INFINITY, 2 ** 60]) {
    expect(() => within('product', bad, 1, 1, 1, 64)).toThrow(/outside/);
  }
  for (const bad of [0, -1, Number.NaN, 0.5]) expect(() => within('product', 0, bad, 1, 1, 64)).toThrow(/outside/);
});

test.runIf(providers.includes('native'))(
  'the library sees memory that grew, and no matrix that it does not know',
  () => {
    const bench = new Bench('native');
    const { product } = bench.kernels;
    // Far more than the memory begins with.
    const far = bench.fixed(3_000_000);
    const at = far.offset + 11_000_000;
    bench.floats(at, 4).set([1, 2, 3, 4]);
    product(2, 2, 2, at, 2, 1, at, 2, 1, at + 64, 2, 0, 0);
    expect([...bench.floats(at + 64, 4)]).toEqual([7, 10, 15, 22]);
    expect(() => product(2, 2, 2, at, 3, 2, at, 2, 1, at + 64, 2, 0, 0)).toThrow(/BLAS knows no such matrix/);
    expect(() => product(2, 2, 2, at, 2, 1, at, 2, 1, bench.bytes - 8, 2, 0, 0)).toThrow(
      /product is outside the memory/,
    );
  },
);
