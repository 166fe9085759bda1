/**
 * What one core can multiply and add at most with the 128-bit vectors that WebAssembly has: a loop of independent
 * operations on registers, which no product of matrices can beat. A module of a few dozen bytes, put together here.
 */
import { probe } from '../../container/engine/plan/kernels.ts';

export type PeakKind = 'fused' | 'separate';

/** Enough of them to hide how long one takes; two more registers hold a factor and an addend. */
const sums = 12;
const flopsPerTurn = sums * 4 * 2;

interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: { readonly run: (turns: number) => number } };
}
const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyApi };

/** Undefined where these instructions are not to be had. */
export function peakLoop(
  kind: PeakKind,
  turns: number,
): { readonly flops: number; readonly run: () => void } | undefined {
  // It turns the fused instructions on where V8 has them behind a flag.
  if (kind === 'fused' && probe('exact').kind !== 'works') return undefined;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes(kind)));
  return { flops: turns * flopsPerTurn, run: () => exports.run(turns) };
}

const [i32, f32, v128, func, empty] = [0x7f, 0x7d, 0x7b, 0x60, 0x40];
const op = { loop: 0x03, end: 0x0b, brIf: 0x0d, get: 0x20, set: 0x21, tee: 0x22, i32Const: 0x41, i32Sub: 0x6b };
const simd = {
  add: [0xfd, 0xe4, 0x01],
  multiply: [0xfd, 0xe6, 0x01],
  fused: [0xfd, 0x85, 0x02],
  first: [0xfd, 0x1f, 0],
};

/**
 * (func (export "run") (param i32) (result f32) (local v128 ...))
 * Local 0 counts down, 1 is the factor, 2 the addend, the sums follow.
 */
function moduleBytes(kind: PeakKind): Uint8Array {
  // sum = sum * factor + addend: each has its own chain, and nothing in it is the same twice.
  const turn = Array.from({ length: sums }, (_, i) => {
    const [sum, factor, addend] = [3 + i, 1, 2].map((local) => [op.get, local]) as [number[], number[], number[]];
    const next =
      kind === 'fused'
        ? [...sum, ...factor, ...addend, ...simd.fused]
        : [...sum, ...factor, ...simd.multiply, ...addend, ...simd.add];
    return [...next, op.set, 3 + i];
  }).flat();
  const again = [op.get, 0, op.i32Const, 1, op.i32Sub, op.tee, 0, op.brIf, 0];
  // What nobody reads the compiler leaves out.
  const total = Array.from({ length: sums }, (_, i) => [op.get, 3 + i, ...(i > 0 ? simd.add : [])]).flat();
  const body = [1, 2 + sums, v128, op.loop, empty, ...turn, ...again, op.end, ...total, ...simd.first, op.end];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, func, 1, i32, 1, f32]),
    ...section(3, [1, 0]),
    ...section(7, [1, 3, ...new TextEncoder().encode('run'), 0, 0]),
    ...section(10, [1, ...sized(body)]),
  ]);
}

const section = (id: number, content: readonly number[]): number[] => [id, ...sized(content)];

/** With its length before it, as LEB128. */
function sized(content: readonly number[]): number[] {
  const { length } = content;
  return [...(length < 0x80 ? [length] : [(length & 0x7f) | 0x80, length >> 7]), ...content];
}
