/** What it takes to try whether two ways to compute a product give the same bits: numbers, how often, and the comparison. */
import { finalise } from '../../../core/random.ts';
import type { Bench, Block } from './bench.ts';

/** A bench aside, whose memory goes with the trial. */
export type TrialBench = Pick<Bench, 'kernels' | 'fixed' | 'floats' | 'ints'>;

/** Sums that are tried at least of a row or a column: at an edge only few may be in another order, and only some show it. */
const tries = 1024;

/** Rounds of a product of so many rows and columns, each with other numbers. */
export function roundsOf(rows: number, columns: number): number {
  return Math.max(2, Math.ceil(tries / Math.min(rows, columns)));
}

/** Numbers of which hardly two sums in another order are the same. */
export function random(bench: TrialBench, length: number): Block {
  const block = bench.fixed(length);
  const values = bench.floats(block.offset, length);
  for (let i = 0; i < length; i += 1) values[i] = finalise(block.offset + i) / 2 ** 32 - 0.5;
  return block;
}

export function areSame(bench: TrialBench, a: Block, b: Block): boolean {
  const bytesOf = ({ offset, length }: Block): Uint8Array => {
    const { buffer, byteOffset, byteLength } = bench.ints(offset, length);
    return new Uint8Array(buffer, byteOffset, byteLength);
  };
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}
