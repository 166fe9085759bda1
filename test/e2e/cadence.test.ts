/** When checkpoints are taken: by steps, by the clock, or as often as pays; never at the expense of the result (P2, P3). */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { calm, Lab, small } from './harness.ts';

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.close());

/** 80 steps of 25 ms: two seconds and a bit. */
const paced = small({ name: 'cadence', pace: '25ms', epochs: 4, more: calm });
const withCadence = (written: string): string => paced.replace(/checkpoint: \{.*\}/, `checkpoint: {${written}}`);

const savedSteps = (runId: string): number[] =>
  lab
    .events(runId)
    .flatMap((event) => (event.event === 'checkpoint.saved' ? [(event as { step?: number }).step ?? 0] : []));

test('the same weights whenever checkpoints are taken; as many as were asked for', async () => {
  const digests = new Set<string | undefined>();
  const steps = new Map<string, number[]>();
  for (const cadence of ['everySteps: 10', 'everySeconds: 1', 'every: auto', 'every: never']) {
    const { weightsDigest, runId } = await lab.train(lab.config(cadence.replace(/\W/g, ''), withCadence(cadence)));
    digests.add(weightsDigest);
    steps.set(cadence, savedSteps(runId));
  }
  expect(digests.size).toBe(1);
  // Also at the ends of epochs, which are among them, and at the end.
  expect(steps.get('everySteps: 10')).toEqual([10, 20, 30, 40, 50, 60, 70, 80]);
  const timed = steps.get('everySeconds: 1') ?? [];
  expect(timed[0]).toBe(1);
  expect(timed.at(-1)).toBe(80);
  expect(timed.length).toBeGreaterThanOrEqual(3);
  expect(timed.length).toBeLessThanOrEqual(8);
  const auto = steps.get('every: auto') ?? [];
  expect(auto[0]).toBe(1);
  expect(auto.at(-1)).toBe(80);
  // A loss an hour is assumed at first: with saves of some milliseconds that is one in some seconds.
  expect(auto.length).toBeLessThanOrEqual(10);
  expect(steps.get('every: never')).toEqual([]);
}, 90_000);

test.each(['everySeconds: 1', 'every: auto'])(
  '%s: after the loss of all, it goes on from the newest',
  async (cadence) => {
    const config = lab.config('all', withCadence(cadence));
    const undisturbed = await lab.train(config, '--workers', '1');
    const result = await lab.train(config, '--chaos', 'kill all at step 60');
    expect(result.weightsDigest).toBe(undisturbed.weightsDigest);
    expect(result.recoveries).toBe(1);
    expect(result.lostSteps).toBeLessThan(60);
    const restored = lab.events(result.runId).find(({ event }) => event === 'training.restored');
    expect(restored).toMatchObject({ lostSteps: result.lostSteps });
  },
  60_000,
);
