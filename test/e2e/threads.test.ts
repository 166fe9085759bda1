/** P2 with `cluster.worker.threads`: how many threads a worker computes in changes nothing but how long it takes. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RunResult } from '../../core/result.ts';
import { Lab, small } from './harness.ts';

let lab: Lab;
beforeAll(() => {
  lab = new Lab();
});
afterAll(() => lab.close());

const text = (name: string, threads: number): string => {
  const config = small({ name, epochs: 1 });
  return config.replace('cluster:\n', `cluster:\n  worker: {threads: ${threads}}\n`);
};

test('1, 2 and 3 threads in 1 and 2 workers, one killed and one interrupted, give the same digest', async () => {
  const faults = ['--chaos', 'kill worker 1 at step 9', '--chaos', 'interrupt worker 0 at step 14'];
  const results: RunResult[] = [];
  for (const threads of [1, 2, 3]) {
    const config = lab.config(`threads-${threads}`, text(`threads-${threads}`, threads));
    for (const workers of [1, 2]) {
      results.push(await lab.train(config, '--workers', `${workers}:${workers}`, ...(workers === 2 ? faults : [])));
    }
  }
  const digests = results.map(({ weightsDigest }) => weightsDigest);
  expect(new Set(digests).size, JSON.stringify(digests)).toBe(1);
  expect(new Set(results.map(({ metrics }) => JSON.stringify(metrics))).size).toBe(1);
  // Losses that come close together are one.
  expect(results.map(({ recoveries }) => recoveries > 0)).toEqual([false, true, false, true, false, true]);
  expect(lab.leftovers()).toEqual([]);
}, 180_000);

test('in asynchronous mode the threads compute with what the servers have', async () => {
  const config = text('async', 2)
    .replace('training:\n', 'training:\n  mode: asynchronous\n')
    .replace('epochs: 1', 'epochs: 3')
    .replace('parameterServers: 0', 'parameterServers: 2');
  const { metrics } = await lab.train(lab.config('async', config));
  expect(metrics.accuracy).toBeGreaterThan(0.9);
  expect(lab.leftovers()).toEqual([]);
}, 60_000);
