/**
 * How the gradients of a dense layer's weights are made and added up where products are BLAS's: in pieces of how many rows,
 * and whether a product can be put on top of another, which saves the addition and its memory. The definition is
 * `standard` pieces, each shard's product by itself, and then sums; what is faster is tried, once for each number of
 * samples of a shard, as rows.ts does it.
 *
 * Invariant SW1: whatever way is taken, the bits are those of the definition.
 */
import { Bench } from './bench.ts';
import { findBlas } from './blas.ts';
import { type Shard, standardPiece, type Way } from './step.ts';
import { areSame, random, roundsOf, type TrialBench } from './trial.ts';

/** [k, m] turned * [k, n], with so many `places` of k for each sample. */
export interface GradientProduct {
  readonly m: number;
  readonly n: number;
  readonly places: number;
}

/** Fewer rows in a piece lose more with every call than there is to win. */
const fewestRows = 16;
/** With its partial sums a piece stays in a second-level cache of 512 KiB. */
const mostValues = 2 ** 15;

function unpackedHere(): number {
  const blas = findBlas();
  return blas.kind === 'found' ? blas.unpacked : 0;
}

export function waysOf(
  { m, n, places }: GradientProduct,
  aside: () => TrialBench = () => new Bench('native'),
  unpacked = unpackedHere(),
): (shards: readonly Shard[]) => Way {
  const standard = standardPiece(m * n, n) / n;
  const tried = new Map<string, boolean>();
  const isSame = (rows: number, k: number): boolean => {
    const name = `${rows} ${k}`;
    let same = tried.get(name);
    if (same === undefined) {
      same = givesSame(aside(), m, n, k, standard, rows);
      tried.set(name, same);
    }
    return same;
  };
  /** Rows that are fastest: nothing has to stay in the cache of one shard alone, and of more no side is packed. */
  const fastest = (shards: number, k: number): number => {
    if (shards === 1) return m;
    const rows = Math.floor(Math.min(mostValues / n, unpacked / (n * k)) / 8) * 8;
    return rows >= fewestRows ? Math.min(m, standard, rows) : standard;
  };
  return (shards) => {
    const sizes = [...new Set(shards.map(({ from, to }) => (to - from) * places))].filter((k) => k > 0);
    const found = [fastest(shards.length, Math.max(...sizes)), standard].find((rows) =>
      sizes.every((k) => isSame(rows, k)),
    );
    return { length: (found ?? standard) * n, onTop: found !== undefined };
  };
}

/** Whether pieces of so many rows, by themselves and on top of other values, have the bits of standard pieces and sums. */
function givesSame(bench: TrialBench, m: number, n: number, k: number, standard: number, rows: number): boolean {
  const rounds = roundsOf(m, n);
  // Each round begins a value further, so that every place in the product meets other numbers.
  const left = random(bench, m * k + rounds);
  const right = random(bench, k * n + rounds);
  const before = random(bench, m * n + rounds);
  const [product, sum, tried] = [bench.fixed(m * n), bench.fixed(m * n), bench.fixed(m * n)];
  // Sums of nothing but zeros, whose sign is a bit too.
  const zeros = bench.floats(left.offset, left.length);
  for (let i = 0; i < zeros.length; i += m) zeros[i] = -0;
  bench.floats(before.offset, before.length).fill(-0, 0, Math.ceil(n / 2));
  for (let round = 0; round < rounds; round += 1) {
    const [a, b] = [left.offset + round * 4, right.offset + round * 4];
    const multiply = (height: number, to: number, onTop: number): void => {
      for (let row = 0; row < m; row += height) {
        const most = Math.min(height, m - row);
        bench.kernels.product(most, n, k, a + row * 4, 1, m, b, n, 1, to + row * n * 4, n, onTop, 0);
      }
    };
    const start = bench.floats(before.offset + round * 4, m * n);
    for (const { offset } of [sum, tried]) bench.floats(offset, m * n).set(start);
    multiply(standard, product.offset, 0);
    bench.kernels.add(sum.offset, product.offset, m * n);
    multiply(rows, tried.offset, 1);
    if (!areSame(bench, sum, tried)) return false;
    multiply(rows, tried.offset, 0);
    if (!areSame(bench, product, tried)) return false;
  }
  return true;
}
