/** What this machine gives at most: one core, and two processes at the same time. Measured beside what is compared with it. */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { answerOf } from './children.ts';
import type { Answers, Order } from './limits.ts';
import type { Measure, Ratio } from './measures.ts';
import { peakName } from './products.ts';

const rounds = 4;
const roundMs = 500;

export const alone = 'products in one process';
export const together = 'products in two processes at once';
export const ceiling = 'ceiling of two processes against one';

async function withChildren<T>(root: string, count: number, use: (children: ChildProcess[]) => Promise<T>): Promise<T> {
  const script = join(root, 'dist/bench/limits/limits.mjs');
  const children = Array.from({ length: count }, () =>
    fork(script, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
  );
  try {
    return await use(children);
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}

function ask<W extends Order['want']>(child: ChildProcess, order: Extract<Order, { want: W }>): Promise<Answers[W]> {
  child.send(order);
  return answerOf<Answers[W]>(child);
}

/** Why the engine `native` cannot be used here; nothing when it can. */
export const nativeMissing = (root: string): Promise<string> =>
  withChildren(root, 1, ([child]) => ask(child as ChildProcess, { want: 'native' }));

/** What each core computes alone, and with the other beside it, in turns. */
export function twoAtOnce(root: string): Promise<readonly Measure[]> {
  return withChildren(root, 2, async (children) => {
    const measures: Measure[] = [];
    const add = (name: string, value: number): void => {
      measures.push({ name, unit: '1/s', value });
    };
    const each = { want: 'products', forMs: roundMs } as const;
    for (const child of children) await ask(child, each);
    for (let round = 0; round < rounds; round += 1) {
      for (const child of children) add(alone, await ask(child, each));
      const [one = 0, other = 0] = await Promise.all(children.map((child) => ask(child, each)));
      add(together, one + other);
    }
    return measures;
  });
}

/** Products of each engine, and the peak. */
export async function coreRates(root: string): Promise<readonly Measure[]> {
  const found = await withChildren(root, 1, ([child]) => ask(child as ChildProcess, { want: 'rates' }));
  return found.map(({ what, engine, median }) => ({ name: rateName(what, engine), unit: 'GFLOP/s', value: median }));
}

const rateName = (what: string, engine: string): string => `${what}, ${engine}`;

/** The share of the peak that our own products reach, each of the peak of its instructions. */
export const sharesOfPeak: readonly Ratio[] = ['512 x 512 x 512', '128 x 128 x 784', '128 x 128 x 128'].flatMap(
  (shape) =>
    (
      [
        ['exact', 'fused'],
        ['portable', 'separate'],
      ] as const
    ).map(([engine, kind]) => ({
      name: `product ${shape}, ${engine}: share of the peak`,
      of: rateName(`product ${shape}`, engine),
      to: rateName(peakName, kind),
    })),
);
