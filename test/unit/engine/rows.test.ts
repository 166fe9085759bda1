/** Products of a library are computed for all shards at once only where that gives the bits of one after the other. */
import { expect, test } from 'vitest';
import { Bench } from '../../../container/engine/plan/bench.ts';
import { runsOf } from '../../../container/engine/plan/rows.ts';

const product = { rows: 1, n: 10, k: 6, turned: false };
const library = { rowsAreAlone: false, provider: 'portable' } as const;
const shards = [0, 3, 3, 8].map((to, i, ends) => ({ step: 0, shard: i, index: i, from: ends[i - 1] ?? 0, to }));
const pass = { samples: 8, shards };
const all = [{ from: 0, to: 8 }];
const alone = [
  { from: 0, to: 3 },
  { from: 3, to: 8 },
];

/** A library whose products with many rows are touched up. */
function bench(touch: (answer: Float32Array, m: number) => void): () => Bench {
  return () => {
    const real = new Bench('portable');
    const { product: multiply } = real.kernels;
    const touched: typeof multiply = (...given) => {
      multiply(...(given.with(-1, scratch) as Parameters<typeof multiply>));
      const [m, n, , , , , , , , c] = given;
      touch(real.floats(c, m * n), m);
    };
    const scratch = real.fixed(real.kernels.productScratch() / 4).offset;
    Object.assign(real, { kernels: { ...real.kernels, product: touched } });
    return real;
  };
}

const found = (runs: readonly { from: number; to: number }[]) => runs.map(({ from, to }) => ({ from, to }));

test('all at once where the bits are the same', () => {
  expect(
    found(
      runsOf(
        library,
        product,
        bench(() => {}),
      )(pass),
    ),
  ).toEqual(all);
});

test('shard by shard where they differ, in every product or seldom and in one column only', () => {
  const always = bench((answer, m) => {
    if (m > 5) answer[0]! += 1;
  });
  expect(found(runsOf(library, product, always)(pass))).toEqual(alone);
  let calls = 0;
  const seldom = bench((answer, m) => {
    calls += 1;
    if (m > 5 && calls % 50 === 0) answer[9]! *= 1 + 2 ** -22;
  });
  expect(found(runsOf(library, product, seldom)(pass))).toEqual(alone);
});

test('once for each way to cut a pass, and never for products of our own or without shards', () => {
  let benches = 0;
  const counted = () => {
    benches += 1;
    return bench(() => {})();
  };
  const runs = runsOf(library, product, counted);
  expect(found(runs(pass))).toEqual(all);
  runs(pass);
  expect(benches).toBe(1);
  runs({ samples: 8, shards: shards.slice(1) });
  expect(benches).toBe(1);
  expect(found(runs({ samples: 4, shards: [{ step: 0, shard: 0, index: 0, from: 0, to: 4 }] }))).toEqual([
    { from: 0, to: 4 },
  ]);
  expect(found(runs({ samples: 8, shards: [] }))).toEqual(all);
  expect(found(runsOf({ ...library, rowsAreAlone: true }, product, counted)(pass))).toEqual(all);
  expect(benches).toBe(2);
});
