/**
 * The memory of one engine and what is laid out in it: everything that lasts first, then what is there for each sample,
 * which moves when a larger batch comes. Byte offsets are static between two such moves.
 *
 *   parameters | optimizer slots | contribution | fixed workspace | lent | for each sample: input, targets, activations, ...
 *
 * Invariants
 *  L1  Blocks begin at multiples of 64 bytes and do not overlap; 16 bytes after each are nobody's.
 *  L2  Memory grows only when a batch is larger than every one before: a step allocates nothing.
 *  L3  Once a part is lent the memory does not grow any more, because growing takes all views of it away.
 */
import type { Ground } from '../vectors.ts';
import type { Kernels } from './exports.ts';
import { instantiate, type Memory, newMemory, type Provider, pageBytes } from './kernels.ts';

export interface Block {
  /** In bytes. For blocks of samples it changes when the memory is laid out anew. */
  offset: number;
  /** Values: all of them, or those of one sample. */
  readonly length: number;
}

const alignment = 64;
const slack = 16;
/** Nothing is lent of a memory that would be larger. */
const mostBytes = 2 ** 31;

export class Bench {
  readonly provider: Provider;
  readonly kernels: Kernels;
  /** Whether a row of a product has the same bits whichever rows are computed with it: our own have, BLAS's may not. */
  readonly rowsAreAlone: boolean;
  readonly #memory: Memory;
  readonly #samples: Block[] = [];
  #fixedEnd = alignment;
  #capacity = 0;
  #isLent = false;

  constructor(provider: Provider) {
    this.provider = provider;
    this.#memory = newMemory(pageBytes);
    this.kernels = instantiate(provider, this.#memory);
    this.rowsAreAlone = provider !== 'native';
  }

  /** How many samples there is room for. */
  get capacity(): number {
    return this.#capacity;
  }

  /** In all blocks of samples together: what a sample costs. */
  get valuesPerSample(): number {
    return this.#samples.reduce((sum, { length }) => sum + length, 0);
  }

  get bytes(): number {
    return this.#memory.buffer.byteLength;
  }

  /** Where a vector begins in this memory; undefined when it is elsewhere. */
  offsetOf({ buffer, byteOffset }: Float32Array): number | undefined {
    return buffer === this.#memory.buffer ? byteOffset : undefined;
  }

  /** A block that stays where it is. All of them are asked for before the first batch. */
  fixed(length: number): Block {
    if (this.#capacity > 0) throw new Error('a fixed block was asked for after the samples were laid out');
    const block = { offset: this.#fixedEnd, length };
    this.#fixedEnd = endOf(this.#fixedEnd, length);
    this.#reach(this.#fixedEnd);
    return block;
  }

  /**
   * So many bytes that stay where they are (L3): from now on no pass may have more samples than these. Undefined when that
   * would be too much memory.
   */
  lend(bytes: number, samples: number): Ground | undefined {
    if (endOf(this.#fixedEnd, bytes / 4) + this.valuesPerSample * samples * 4 > mostBytes) return undefined;
    const { offset } = this.fixed(bytes / 4);
    this.makeRoom(samples);
    this.#isLent = true;
    return { buffer: this.#memory.buffer, offset, kernels: this.kernels };
  }

  /** A block of so many values for each sample. */
  perSample(length: number): Block {
    const block = { offset: 0, length };
    this.#samples.push(block);
    return block;
  }

  /** Makes room for so many samples; what the blocks of samples held is lost when it was not there. */
  makeRoom(samples: number): void {
    if (samples <= this.#capacity) return;
    if (this.#isLent) throw new Error(`a pass of ${samples} samples where there is room for ${this.#capacity}`);
    let end = this.#fixedEnd;
    for (const block of this.#samples) {
      block.offset = end;
      end = endOf(end, block.length * samples);
    }
    this.#reach(end);
    this.#capacity = samples;
  }

  /** Valid until the memory grows. */
  floats(offset: number, length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, offset, length);
  }

  ints(offset: number, length: number): Int32Array {
    return new Int32Array(this.#memory.buffer, offset, length);
  }

  #reach(bytes: number): void {
    const missing = bytes - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / pageBytes));
  }
}

function endOf(offset: number, length: number): number {
  return Math.ceil((offset + length * 4 + slack) / alignment) * alignment;
}
