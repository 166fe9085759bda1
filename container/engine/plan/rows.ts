/**
 * Which rows of a product are computed together. In our own products no row depends on the others. BLAS chooses by the size
 * of a product how it adds up, and says nothing about it: there it is tried, once for each way to cut a pass into shards, on
 * numbers of which hardly two sums in another order are the same.
 *
 * Invariant RW1: what is computed together has the bits of what is computed shard by shard.
 */
import { finalise } from '../../../core/random.ts';
import type { Range } from '../../../core/shards.ts';
import { Bench, type Block } from './bench.ts';
import type { Pass } from './step.ts';

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

/** Sums that are tried at least of a row or a column: at an edge only few may be in another order, and only some show it. */
const tries = 1024;

function isSame(
  bench: Pick<Bench, 'kernels' | 'fixed' | 'floats' | 'ints'>,
  { rows, n, k, turned }: RowProduct,
  all: Range,
  alone: readonly Range[],
): boolean {
  const m = all.to * rows;
  const rounds = Math.max(2, Math.ceil(tries / Math.min(m, n)));
  // Each round begins a row further, so that every place in the product meets other numbers.
  const left = bench.fixed((m + rounds) * k);
  const right = bench.fixed(k * n);
  const together = bench.fixed(m * n);
  const apart = bench.fixed(m * n);
  for (const { offset, length } of [left, right]) {
    const values = bench.floats(offset, length);
    for (let i = 0; i < length; i += 1) values[i] = finalise(offset + i) / 2 ** 32 - 0.5;
  }
  const [row, column] = turned ? [1, k] : [n, 1];
  const bytesOf = ({ offset, length }: Block): Uint8Array => {
    const { buffer, byteOffset, byteLength } = bench.ints(offset, length);
    return new Uint8Array(buffer, byteOffset, byteLength);
  };
  for (let round = 0; round < rounds; round += 1) {
    const multiply = ({ from, to }: Range, answer: number): void => {
      const [x, y] = [left.offset + (round + from * rows) * k * 4, answer + from * rows * n * 4];
      bench.kernels.product((to - from) * rows, n, k, x, k, 1, right.offset, row, column, y, n, 0, 0);
    };
    multiply(all, together.offset);
    for (const run of alone) multiply(run, apart.offset);
    if (Buffer.compare(bytesOf(together), bytesOf(apart)) !== 0) return false;
  }
  return true;
}
