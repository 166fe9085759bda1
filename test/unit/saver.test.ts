/** Which of the checkpoints that are offered the leader takes. */
import { expect, test } from 'vitest';
import type { Replica } from '../../container/replica.ts';
import { Saver } from '../../container/saver.ts';
import type { RunPlan } from '../../core/plan.ts';
import { createMemoryWorld } from '../support/memory-world.ts';

type Cadence = RunPlan['checkpoint']['cadence'];

function makeSaver(cadence: Cadence) {
  const plan = {
    runId: 'run-1',
    configDigest: 'c',
    checkpoint: { everySteps: 1, cadence, keep: 2, store: 'table', bytes: 16 },
    training: { stepsPerEpoch: 100 },
  } as unknown as RunPlan;
  const replica = {
    sums: [0, 0, 0],
    lastSums: [0, 0, 0],
    stateLength: 4,
    engine: { name: 'portable', parameters: new Float32Array(4) },
    snapshot: (copy: Float32Array) => copy,
  } as unknown as Replica;
  const saved: Readonly<Record<string, unknown>>[] = [];
  const saver = new Saver({
    cloud: createMemoryWorld(),
    plan,
    replica,
    leadership: { leads: true },
    generation: () => 1,
    note: async (event, detail) => {
      if (event === 'checkpoint.saved') saved.push(detail);
    },
  });
  return { saver, saved };
}

test('what is offered during a save is passed over, and the next save tells how many steps were', async () => {
  const { saver, saved } = makeSaver({ kind: 'steps' });
  for (const step of [1, 2, 3]) saver.offer(step);
  // Waits for the save of step 1.
  await saver.now(4);
  await saver.now(5);
  expect(saved.map(({ step, passedOver }) => [step, passedOver])).toEqual([
    [1, undefined],
    [4, 2],
    [5, undefined],
  ]);
});

test('where time decides, no step is owed a checkpoint', async () => {
  const { saver, saved } = makeSaver({ kind: 'time', everyMs: 1000 });
  for (const step of [1, 2, 3]) saver.offer(step);
  await saver.now(4);
  expect(saved.map(({ step, passedOver }) => [step, passedOver])).toEqual([
    [1, undefined],
    [4, undefined],
  ]);
});

test('where saving has a share of the time, epoch ends are saved and what comes soon after is not', async () => {
  const { saver, saved } = makeSaver({ kind: 'share', most: 0.01, leastMs: 10_000, mostMs: 900_000 });
  for (const step of [1, 50, 99, 100, 101]) saver.offer(step);
  await saver.now(102);
  expect(saved.map(({ step, passedOver }) => [step, passedOver])).toEqual([
    [100, undefined],
    [102, undefined],
  ]);
});
