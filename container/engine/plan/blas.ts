/**
 * The system's BLAS, for the provider `native`: finds OpenBLAS, sets it to one thread, and lets it multiply in place in an
 * engine's memory. The way to it is `koffi`, an optional dependency.
 *
 * Invariants
 *  B1  Every call goes through `within`: native code is never given a place outside the memory.
 *  B2  The library computes with one thread: workers share the machine, and how many threads there are would change the
 *      bits. The number counts for the whole process, which is a task of ours and has no other use for the library; it is
 *      not set back.
 *  B3  Its name says everything that its bits depend on: the library's version and the kernels it chose for this processor.
 */
import { createRequire } from 'node:module';
import type { Kernels } from './exports.ts';
import type { Memory } from './kernels.ts';

export interface Blas {
  readonly kind: 'found';
  readonly name: string;
  /** A product of up to so many multiplications is computed without packing its sides first; 0 where there is no such way. */
  readonly unpacked: number;
  /** Multiplies in this memory, also after it has grown. */
  product(memory: Memory): Kernels['product'];
}

/** What is used of koffi, which may not be there. */
interface Koffi {
  load(path: string): { func(signature: string): (...values: readonly unknown[]) => unknown };
  address(view: Uint8Array): bigint;
}

const libraries = [
  'libopenblas.so.0',
  'libopenblas.so',
  'libopenblas.dylib',
  '/opt/homebrew/opt/openblas/lib/libopenblas.dylib',
  '/usr/local/opt/openblas/lib/libopenblas.dylib',
  'libopenblas.dll',
];

/** What a person without one has to do. */
export const howToInstall =
  'the package "koffi" ("npm ci" without --omit=optional) and OpenBLAS (Debian: "apt-get install libopenblas0", macOS: "brew install openblas")';

// CBLAS_ORDER and CBLAS_TRANSPOSE.
const rowMajor = 101;
const asItIs = 111;
const transposed = 112;

/**
 * Processors for which OpenBLAS has kernels of its own for small products, and its limit for them: 100 x 100 x 100
 * (kernel/x86_64/sgemm_small_kernel_permit_skylakex.c).
 */
const withSmallKernels = ['SkylakeX', 'Cooperlake', 'Sapphirerapids'];
const smallProduct = 100 ** 3;

let found: Blas | { readonly kind: 'missing'; readonly why: string } | undefined;

export function findBlas(): Blas | { readonly kind: 'missing'; readonly why: string } {
  found ??= look();
  return found;
}

function look(): NonNullable<typeof found> {
  let koffi: Koffi;
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi;
  } catch {
    return { kind: 'missing', why: 'the package "koffi" is not installed' };
  }
  for (const file of libraries) {
    let library: ReturnType<Koffi['load']>;
    try {
      library = koffi.load(file);
    } catch {
      continue;
    }
    return open(koffi, library);
  }
  return { kind: 'missing', why: `there is no OpenBLAS (looked for ${libraries.join(', ')})` };
}

function open(koffi: Koffi, library: ReturnType<Koffi['load']>): Blas {
  library.func('void openblas_set_num_threads(int)')(1);
  const [, version] = String(library.func('const char* openblas_get_config()')()).split(' ');
  const processor = String(library.func('const char* openblas_get_corename()')());
  const multiply = library.func(
    'void cblas_sgemm(int, int, int, int m, int n, int k, float, size_t a, int, size_t b, int, float, size_t c, int)',
  );
  // As numbers, with which nothing has to be allocated to reckon: addresses have fewer than 53 bits.
  const addressOf = (buffer: ArrayBuffer): number => Number(koffi.address(new Uint8Array(buffer)));
  return {
    kind: 'found',
    name: `native/OpenBLAS-${version}-${processor}`,
    unpacked: withSmallKernels.includes(processor) ? smallProduct : 0,
    product: (memory) => {
      let { buffer } = memory;
      let base = addressOf(buffer);
      return (m, n, k, a, aRow, aColumn, b, bRow, bColumn, c, cRow, accumulate) => {
        // It may have grown since.
        if (memory.buffer !== buffer) {
          buffer = memory.buffer;
          base = addressOf(buffer);
        }
        const bytes = buffer.byteLength;
        const aTurned = isTurned('left', m, k, aRow, aColumn);
        const bTurned = isTurned('right', k, n, bRow, bColumn);
        const aStep = aTurned ? aColumn : aRow;
        const bStep = bTurned ? bColumn : bRow;
        within('left side', a, aTurned ? k : m, aTurned ? m : k, aStep, bytes);
        within('right side', b, bTurned ? n : k, bTurned ? k : n, bStep, bytes);
        within('product', c, m, n, cRow, bytes);
        const [left, right] = [aTurned ? transposed : asItIs, bTurned ? transposed : asItIs];
        const beta = accumulate ? 1 : 0;
        multiply(rowMajor, left, right, m, n, k, 1, base + a, aStep, base + b, bStep, beta, base + c, cRow);
      };
    },
  };
}

/** Whether the columns of a side, instead of its rows, have their values side by side in memory. */
function isTurned(what: string, rows: number, columns: number, row: number, column: number): boolean {
  if (column === 1 && row >= columns) return false;
  if (row === 1 && column >= rows) return true;
  throw new Error(
    `the ${what} side of a product has rows ${row} and columns ${column} apart: BLAS knows no such matrix`,
  );
}

/** B1. Throws unless the rows lie in the memory, whole and in order. */
export function within(what: string, offset: number, rows: number, columns: number, row: number, bytes: number): void {
  const end = offset + ((rows - 1) * row + columns) * 4;
  const sizesAreWhole = Number.isSafeInteger(rows) && Number.isSafeInteger(columns) && Number.isSafeInteger(row);
  if (
    sizesAreWhole &&
    Number.isSafeInteger(offset) &&
    offset % 4 === 0 &&
    offset >= 0 &&
    rows > 0 &&
    columns > 0 &&
    row >= columns &&
    end <= bytes
  )
    return;
  const matrix = `${rows} x ${columns} values, rows ${row} apart, at byte ${offset}`;
  throw new Error(`the ${what} of a product is outside the memory of ${bytes} bytes: ${matrix}`);
}
