/** P2 with `training.compression: bf16`: what is sent is shorter, and still nobody can tell from the weights who computed what. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RunResult } from '../../core/result.ts';
import { calm, Lab, small } from './harness.ts';

let lab: Lab;
beforeAll(() => {
  lab = new Lab();
});
afterAll(() => lab.close());

const text = (compression: string): string =>
  small({ name: 'packed', epochs: 1, more: calm }).replace('training:\n', `training:\n  compression: ${compression}\n`);

test('1, 2 and 4 workers with 0, 1 and 2 parameter servers, one killed, give the same digest', async () => {
  const config = lab.config('packed', text('bf16'));
  const kill = ['--chaos', 'kill worker 1 at step 9'];
  const digests: RunResult['weightsDigest'][] = [];
  let last: RunResult | undefined;
  for (const workers of [1, 2, 4]) {
    for (const servers of [0, 1, 2]) {
      const args = ['--workers', `${workers}:${workers}`, '--parameter-servers', `${servers}`];
      last = await lab.train(config, ...args, ...(workers === 2 ? kill : []));
      if (workers === 2) expect(last.recoveries).toBeGreaterThan(0);
      digests.push(last.weightsDigest);
    }
  }
  expect(new Set(digests).size, JSON.stringify(digests)).toBe(1);
  const exact = await lab.train(lab.config('whole', text('none')), '--workers', '2:2');
  expect(exact.weightsDigest).not.toBe(digests[0]);
  expect(Math.abs((exact.metrics.accuracy ?? 0) - (last?.metrics.accuracy ?? 1))).toBeLessThan(0.05);
  expect(lab.leftovers()).toEqual([]);
}, 240_000);
