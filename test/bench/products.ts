/** Products of matrices by themselves, on each engine that works here, and the peak of one core that bounds them. */
import { Bench } from '../../container/engine/plan/bench.ts';
import { type Provider, probe } from '../../container/engine/plan/kernels.ts';
import { keyed } from '../../core/random.ts';
import { type PeakKind, peakLoop } from './peak.ts';
import { takeTurns } from './turns.ts';

export interface Rate {
  readonly what: string;
  readonly engine: string;
  /** GFLOP/s. */
  readonly median: number;
  readonly fast: number;
}

interface Shape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** The left side is read by columns, as for the gradient of weights. */
  readonly turned?: boolean;
}

/** A large one; forward and backward of the widest layer of 784-128-128-10; forward of the next. */
const shapes: readonly Shape[] = [
  { m: 512, n: 512, k: 512 },
  { m: 128, n: 128, k: 784 },
  { m: 784, n: 128, k: 128, turned: true },
  { m: 128, n: 128, k: 128 },
];
/** Where no engine waits for memory. */
export const largest = shapes[0] as Shape;

const peakTurns = 20_000;
export const peakName = 'peak of one core with 128-bit vectors';

export const works = (): Provider[] =>
  (['exact', 'portable', 'native'] as const).filter((provider) => probe(provider).kind === 'works');

export function rates(): Rate[] {
  const peaks = (['fused', 'separate'] as const).flatMap((kind) => peak(kind));
  const products = shapes.flatMap((shape) => {
    const { m, n, k, turned } = shape;
    const what = `product ${m} x ${n} x ${k}${turned ? ', left side turned' : ''}`;
    const costs = takeTurns(works().map((engine) => ({ engine, run: product(engine, shape) })));
    return costs.map(({ engine, median, fast }) => rate(what, engine, 2 * m * n * k, median, fast));
  });
  return [...peaks, ...products];
}

function peak(kind: PeakKind): Rate[] {
  const loop = peakLoop(kind, peakTurns);
  if (loop === undefined) return [];
  return takeTurns([{ engine: kind, run: loop.run }]).map(({ median, fast }) =>
    rate(peakName, kind, loop.flops, median, fast),
  );
}

const rate = (what: string, engine: string, flops: number, median: number, fast: number): Rate => ({
  what,
  engine,
  median: flops / median / 1e6,
  fast: flops / fast / 1e6,
});

/** One product of random matrices, to call as often as one likes. */
export function product(engine: Provider, { m, n, k, turned }: Shape): () => void {
  const bench = new Bench(engine);
  const [a, b, c] = [m * k, k * n, m * n].map((length) => bench.fixed(length).offset) as [number, number, number];
  const scratch = bench.fixed(bench.kernels.productScratch() / 4).offset;
  const random = keyed(1, m);
  for (const [at, length] of [[a, m * k] as const, [b, k * n] as const]) {
    bench.floats(at, length).set(Array.from({ length }, () => random.normal()));
  }
  const [row, column] = turned ? [1, m] : [k, 1];
  return () => bench.kernels.product(m, n, k, a, row, column, b, n, 1, c, n, 0, scratch);
}
