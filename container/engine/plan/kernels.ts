/**
 * Loads the compiled kernels and proves what they are. Owns the builds, what a provider takes from which, and the flag that
 * turns fused instructions on in a V8 which still has them behind one.
 *
 * Invariants
 *  K1  `exact` is given out only where the self-test shows that multiply-add rounds once: on a processor without such
 *      an instruction V8 computes the same module with two roundings, and the bits would differ from everybody else's.
 *  K2  A module is compiled once in a process; each engine has an instance and a memory of its own.
 *  K3  `native` differs from `portable` in its products alone.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { findBlas, howToInstall } from './blas.ts';
import type { Kernels } from './exports.ts';

export type Provider = 'exact' | 'portable' | 'native';
/** Those whose products are our own, so that their bits are known. */
export type Build = Exclude<Provider, 'native'>;

/** The parts of the WebAssembly API that are used; the compiler's library has them only for browsers. */
export interface Memory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}
interface WebAssemblyApi {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
  readonly Memory: new (size: { readonly initial: number }) => Memory;
}
const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyApi };

export const pageBytes = 65_536;

export function newMemory(bytes: number): Memory {
  return new WebAssembly.Memory({ initial: Math.ceil(bytes / pageBytes) });
}

const compiled = new Map<Build, object>();

/** Kernels that work on this memory. */
export function instantiate(provider: Provider, memory: Memory): Kernels {
  if (provider !== 'native') return instance(provider, memory);
  const blas = findBlas();
  if (blas.kind === 'missing') throw new Error(blas.why);
  return { ...instance('portable', memory), product: blas.product(memory) };
}

/** What is recorded of a run: everything that its bits depend on. */
export function fullName(provider: Provider): string {
  if (provider !== 'native') return provider;
  const blas = findBlas();
  return blas.kind === 'found' ? blas.name : provider;
}

function instance(build: Build, memory: Memory): Kernels {
  let module = compiled.get(build);
  if (module === undefined) {
    module = compile(build);
    compiled.set(build, module);
  }
  return new WebAssembly.Instance(module, { env: { memory } }).exports as Kernels;
}

function compile(build: Build): object {
  const bytes = readFileSync(kernelFile(`${build}.wasm`));
  // V8 before 11.4 (Node 20) has relaxed SIMD behind a flag, which counts for what is compiled after it is set.
  if (!WebAssembly.validate(bytes)) setFlagsFromString('--experimental-wasm-relaxed-simd');
  return new WebAssembly.Module(bytes);
}

/** Beside the bundle (whose chunks are in a folder of their own), else where the build puts them, for the sources. */
function kernelFile(name: string): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const places = ['./wasm', '../wasm', '../../../dist/kernels'].map((folder) => join(here, folder, name));
  const found = places.find((file) => existsSync(file));
  if (found === undefined) throw new Error(`${name} is in none of ${places.join(', ')}; "npm run build" makes it`);
  return found;
}

export type Probe = { readonly kind: 'works' } | { readonly kind: 'unavailable'; readonly why: string };

/** Whether this provider computes here what it should. */
export function probe(provider: Provider): Probe {
  try {
    const memory = newMemory(pageBytes);
    if (provider === 'native') {
      const blas = findBlas();
      if (blas.kind === 'missing') return { kind: 'unavailable', why: `${blas.why}; it needs ${howToInstall}` };
      multipliesRight(instantiate(provider, memory), memory);
      return { kind: 'works' };
    }
    const kernels = instantiate(provider, memory);
    const fused = multipliesFused(kernels, memory);
    if (provider === 'exact' && !fused) {
      return { kind: 'unavailable', why: 'this processor has no fused multiply-add' };
    }
    if (provider === 'portable' && fused) return { kind: 'unavailable', why: 'multiply and add are fused here' };
    return { kind: 'works' };
  } catch (error) {
    return { kind: 'unavailable', why: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * x * x - (the product rounded), with x = 1 + 2^-12: what rounding took away, 2^-24, is left only when nothing was
 * rounded in between. Asked of every value of a whole tile and of its edges.
 */
function multipliesFused(kernels: Kernels, memory: Memory): boolean {
  const [m, n, k] = [13, 17, 2];
  const [a, b, c, scratch] = [0, 1024, 2048, 4096];
  const bytes = scratch + kernels.productScratch();
  if (bytes > memory.buffer.byteLength) memory.grow(Math.ceil(bytes / pageBytes));
  const x = 1 + 2 ** -12;
  const left = new Float32Array(memory.buffer, a, m * k);
  const right = new Float32Array(memory.buffer, b, k * n);
  for (let i = 0; i < m; i += 1) left.set([1, x], i * k);
  right.fill(-Math.fround(x * x), 0, n).fill(x, n);
  kernels.product(m, n, k, a, k, 1, b, n, 1, c, n, 0, scratch);
  const found = new Set(new Float32Array(memory.buffer, c, m * n));
  if (found.size !== 1) throw new Error('the kernels give different answers in different places of one product');
  const [answer] = found;
  if (answer !== 2 ** -24 && answer !== 0) throw new Error(`the kernels compute ${answer} where 0 or 2^-24 is right`);
  return answer !== 0;
}

/** Small whole numbers, whose products are exact in any order: each side as it is and turned, to nothing and on top. */
function multipliesRight({ product }: Kernels, { buffer }: Memory): void {
  const [m, n, k] = [7, 19, 11];
  const [a, b, c] = [0, 1024, 4096];
  const left = new Float32Array(buffer, a, m * k).map((_, i) => (i % 5) - 2);
  const right = new Float32Array(buffer, b, k * n).map((_, i) => (i % 7) - 3);
  new Float32Array(buffer, a).set(left);
  new Float32Array(buffer, b).set(right);
  const answer = new Float32Array(buffer, c, m * n);
  for (const [aRow, aColumn] of [[k, 1] as const, [1, m] as const]) {
    for (const [bRow, bColumn] of [[n, 1] as const, [1, k] as const]) {
      for (const times of [1, 2]) {
        product(m, n, k, a, aRow, aColumn, b, bRow, bColumn, c, n, times - 1, 0);
        for (const [at, value] of answer.entries()) {
          const [i, j] = [Math.floor(at / n), at % n];
          let wanted = 0;
          for (let p = 0; p < k; p += 1) wanted += left[i * aRow + p * aColumn]! * right[p * bRow + j * bColumn]!;
          if (value !== times * wanted)
            throw new Error(`the library computes ${value} where ${times * wanted} is right`);
        }
      }
    }
  }
}
