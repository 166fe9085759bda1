/**
 * Which rows of a product are computed together. In our own products no row depends on the others. BLAS chooses by the size
 * of a product how it adds up, and says nothing about it: there it is tried, once for each way to cut a pass into shards, on
 * numbers of which hardly two sums in another order are the same.
 *
 * Invariant RW1: what is computed together has the bits of what is computed shard by shard.
 */
import type { Range } from '../../../core/shards.ts';
import { Bench } from './bench.ts';
import type { Pass } from './step.ts';
import { areSame, random, roundsOf, type TrialBench } from './trial.ts';

/** [rows, k] * [k, n], with so many rows for each sample. The right side is stored as it is, or turned. */
export interface RowProduct {
  readonly rows: number;
  readonly n: number;
  readonly k: number;
  readonly turned: boolean;
}

/** The samples of a pass in runs whose products are computed at once: all of them, or shard by shard. Tried on a bench aside. */
export function runsOf(
  bench: Pick<Bench, 'rowsAreAlone' | 'provider'>,
  product: RowProduct,
  aside = () => new Bench(bench.provider),
): (pass: Pass) => readonly Range[] {
  const tried = new Map<string, boolean>();
  return ({ samples, shards }) => {
    const all = { from: 0, to: samples };
    if (bench.rowsAreAlone || shards.length === 0) return [all];
    const alone = shards.filter(({ from, to }) => from < to);
    const cut = alone.map(({ to }) => to).join();
    let same = tried.get(cut);
    if (same === undefined) {
      same = isSame(aside(), product, all, alone);
      tried.set(cut, same);
    }
    return same ? [all] : alone;
  };
}

function isSame(bench: TrialBench, { rows, n, k, turned }: RowProduct, all: Range, alone: readonly Range[]): boolean {
  const m = all.to * rows;
  const rounds = roundsOf(m, n);
  // Each round begins a row further, so that every place in the product meets other numbers.
  const left = random(bench, (m + rounds) * k);
  const right = random(bench, k * n);
  const together = bench.fixed(m * n);
  const apart = bench.fixed(m * n);
  const [row, column] = turned ? [1, k] : [n, 1];
  for (let round = 0; round < rounds; round += 1) {
    const multiply = ({ from, to }: Range, answer: number): void => {
      const [x, y] = [left.offset + (round + from * rows) * k * 4, answer + from * rows * n * 4];
      bench.kernels.product((to - from) * rows, n, k, x, k, 1, right.offset, row, column, y, n, 0, 0);
    };
    multiply(all, together.offset);
    for (const run of alone) multiply(run, apart.offset);
    if (!areSame(bench, together, apart)) return false;
  }
  return true;
}
