/**
 * What a newcomer costs those that train, in virtual time: without faults of the network and the storage every step takes
 * as long as its shards, so whatever is lost or waited for shows.
 */
import { describe, expect, it } from 'vitest';
import { type Dials, quiet } from './dials.ts';
import { simulate } from './world.ts';

/** The times at which each task applied a step, once all were there, one was killed, and another had come. */
async function timesOfSteps(dials: Partial<Dials>): Promise<Map<string, number[]>> {
  const { violation, trace, lostSteps } = await simulate({
    seed: 3,
    dials: { ...quiet, epochs: 1, checkpointEvery: 0, ...dials },
    trace: true,
    script: (world) => {
      world.agenda.at(250, () => {
        const struck = world.living().find((task) => !task.leads && task.host.role === 'worker');
        if (struck !== undefined) world.kill(struck.host);
      });
    },
  });
  expect(violation).toBeUndefined();
  expect(lostSteps).toBe(0);
  const times = new Map<string, number[]>();
  for (const line of trace) {
    const [atMs, taskId = '', event] = line.split(' ');
    if (event === 'step.applied') times.set(taskId, [...(times.get(taskId) ?? []), Number(atMs)]);
  }
  return times;
}

const longestGap = (times: readonly number[]): number =>
  Math.max(...times.slice(1).map((atMs, i) => atMs - (times[i] as number)));

describe('a newcomer', () => {
  it.each([
    [0, 0],
    [0, 200],
    [2, 0],
    [2, 200],
  ])('stops nobody, with %i parameter server(s) and %i ms for a copy of the state', async (servers, snapshotMs) => {
    const shape = { workers: 3, servers, shards: 4, shardMs: 10, stepsPerEpoch: 60, netMs: 0.3 };
    const times = await timesOfSteps({ ...shape, snapshotMs });
    const newcomer = [...times.keys()].at(-1) as string;
    const from = (times.get(newcomer) ?? [])[0] as number;
    const survivors = [...times].filter(([taskId, all]) => taskId !== newcomer && (all.at(-1) ?? 0) > from);
    expect(survivors.length).toBe(2);
    // One of two workers owns two of the shards, and so does one of three. The messages of a step take a little more.
    const usual = 2 * shape.shardMs;
    for (const [, all] of survivors) {
      const during = all.filter((atMs) => atMs > from - 2 * usual);
      expect(during.length).toBeGreaterThan(20);
      expect(longestGap(during)).toBeLessThan(1.25 * usual);
    }
  });
});
