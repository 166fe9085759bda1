/** All-reduce by itself: our wire in processes of its own, and gloo beside it. */
import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { Order, Way } from './all-reduce.ts';
import { answerOf } from './children.ts';
import type { Measure } from './measures.ts';

export const sizesMB = [0.5, 4, 40] as const;

export function roundsFor(megabytes: number): number {
  return Math.max(9, Math.min(200, Math.round(120 / megabytes)));
}

export async function allReduce(root: string, label: string, world: number, way: Way): Promise<readonly Measure[]> {
  const measures: Measure[] = [];
  for (const megabytes of sizesMB) {
    const order = { world, way, length: Math.round((megabytes * 1e6) / 4), rounds: roundsFor(megabytes) };
    const value = await together(join(root, 'dist/bench/wire/all-reduce.mjs'), order);
    measures.push({ name: `${label}: all-reduce of ${megabytes} MB`, unit: 'ms', value });
  }
  return measures;
}

/** Introduces the processes to each other, and answers what the first one measured. */
async function together(script: string, order: Omit<Order, 'rank'>): Promise<number> {
  const children = Array.from({ length: order.world }, () =>
    fork(script, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
  );
  try {
    const met = children.map((child) => answerOf<{ port: number }>(child));
    for (const [rank, child] of children.entries()) child.send({ ...order, rank });
    const ports = (await Promise.all(met)).map(({ port }) => port);
    const done = children.map((child) => answerOf<{ ms: number }>(child));
    for (const child of children) child.send(ports);
    return ((await Promise.all(done))[0] as { ms: number }).ms;
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}
