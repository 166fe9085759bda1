/** P2, P3, P4, P6 with real processes: whoever is hurt, however and whenever, the weights are the same bits. */
import { describe, expect, test } from 'vitest';
import { courseOf, matrix } from './matrix.ts';
import { checkpointEvery, disturbed, expected, totalSteps } from './support.ts';

const all = process.env.CHAOS === 'all';

describe.concurrent('the weights are the same', () => {
  for (const cell of matrix.filter(({ ordinary }) => all || ordinary)) {
    test(`${cell.what} ${cell.who} at ${cell.when}`, async () => {
      const wanted = await expected();
      const { result, events, leftovers } = await disturbed(courseOf(cell));
      const injected = events.filter(({ event }) => event === 'chaos.injected');
      expect(injected.length).toBeGreaterThanOrEqual(courseOf(cell).chaos.length);
      expect(result.weightsDigest).toBe(wanted.weightsDigest);
      expect(result).toMatchObject({
        status: 'succeeded',
        steps: totalSteps,
        metrics: wanted.metrics,
        dataExactlyOnce: true,
      });
      // Only when nobody is left with the state is anything done again, and then what no checkpoint holds.
      if (cell.who !== 'all') expect(result.lostSteps).toBe(0);
      else expect(result.lostSteps).toBeLessThanOrEqual(checkpointEvery + 1);
      expect(leftovers).toEqual([]);
    }, 120_000);
  }
});
