import { expect, test } from 'vitest';
import { AsyncChief, type AsyncChiefParts } from '../../container/async-chief.ts';
import { saveCheckpoint } from '../../container/checkpoint.ts';
import { Chief } from '../../container/chief.ts';
import type { Dataset } from '../../container/data/port.ts';
import { createEngine } from '../../container/engine/create.ts';
import { Leadership } from '../../container/leadership.ts';
import { Meter } from '../../container/meter.ts';
import { Replica } from '../../container/replica.ts';
import type { RunPlan } from '../../core/plan.ts';
import { type GangMember, keys, type OutcomeRow } from '../../core/run.ts';
import { createMemoryWorld } from '../support/memory-world.ts';

const layers = [{ kind: 'dense', name: 'a', units: 2, activation: 'softmax', useBias: true }];
const plan = {
  runId: 'run-1',
  name: 'run',
  seed: 3,
  configDigest: 'c'.repeat(64),
  network: { kind: 'layers', inputShape: [3], outputShape: [2], layers, parameters: 8, stateParameters: 0 },
  engine: { wanted: 'portable' },
  checkpoint: { everySteps: 10, cadence: { kind: 'steps' }, keep: 2, store: 'table', bytes: 1 },
  training: {
    loss: 'softmaxCrossEntropy',
    optimizer: { kind: 'sgd', momentum: 0, nesterov: false },
    stepsPerEpoch: 10,
  },
  timing: { heartbeatIntervalMs: 100 },
} as unknown as RunPlan;
const self: GangMember = { taskId: 'task-1', slot: 'worker/0', role: 'worker', host: 'localhost', port: 1 };

async function after(engine: string) {
  const cloud = createMemoryWorld();
  const state = { parameters: new Float32Array(8).fill(2), slots: new Float32Array(0) };
  const at = { step: 20, epoch: 2, generation: 1, optimizerStep: 20 };
  await saveCheckpoint(cloud, plan, { ...state, ...at, engine, epochSums: [1, 2, 3], stopState: [] });
  const computing = await createEngine(plan, { warn: () => {} });
  const replica = new Replica(plan, computing, {} as Dataset);
  const meter = new Meter(cloud.clock, () => 0);
  const leadership = new Leadership(
    cloud,
    plan,
    self,
    () => 1000,
    () => {},
  );
  return { cloud, computing, parts: { cloud, plan, self, replica, leadership, meter, generation: () => 2 } };
}

type Parts = Omit<AsyncChiefParts, 'cut'>;
const cut = { partitions: 2, parameterLength: 8, trainableLength: 8, slots: 0, tailLength: 3 };

test('the state of the newest checkpoint is taken when the same engine computed it', async () => {
  const { parts, computing } = await after('portable');
  (await new Chief(parts).restore()).load();
  expect([...computing.parameters]).toEqual(new Array(8).fill(2));
});

const another = /the checkpoint of step 20 was computed by the engine "exact", this machine has "portable"/;

for (const [mode, restore] of [
  ['synchronous', (parts: Parts) => new Chief(parts).restore()],
  ['asynchronous', (parts: Parts) => new AsyncChief({ ...parts, cut }).restore([0, 1])],
] as const) {
  test(`a checkpoint of another engine ends a ${mode} run with the reason, and changes nothing (P2)`, async () => {
    const { cloud, parts, computing } = await after('exact');
    const before = computing.parameters.slice();
    await expect(restore(parts)).rejects.toThrow(another);
    expect(computing.parameters).toEqual(before);
    const outcome = await cloud.table.get<OutcomeRow>(plan.runId, keys.outcome);
    expect(outcome?.value).toMatchObject({ kind: 'failed', failure: { kind: 'Conflict' }, steps: 20 });
  });
}

test('the weights at the end of the last epoch are evaluated once, on the same samples', async () => {
  for (const [validation, evaluations] of [
    [0, 1],
    [5, 2],
  ] as const) {
    const { cloud, parts, computing } = await after('portable');
    const sets = { train: { size: 3 }, validation: { size: validation }, test: { size: 4 } } as unknown as Dataset;
    const shape = { task: 'classification' };
    const calm = { learningRate: 1, warmupSteps: 0, schedule: { kind: 'constant' }, stopWhen: [] };
    const training = { ...plan.training, ...calm, totalSteps: 20 };
    const whole = { ...plan, shape, training, history: { epochsPerTurn: 1 } } as unknown as RunPlan;
    const replica = new Replica(whole, computing, sets);
    const seen: number[] = [];
    replica.evaluate = async ({ size }) => {
      seen.push(size);
      return { samples: size, lossSum: size, correct: 1 };
    };
    const chief = new Chief({ ...parts, plan: whole, replica });
    expect(await chief.endEpoch(2, 20, 2, 1)).toBe(false);
    expect(await chief.finish(20)).toBe('published');
    expect(seen).toHaveLength(evaluations);
    expect(seen.at(-1)).toBe(4);
    const outcome = await cloud.table.get<OutcomeRow>(plan.runId, keys.outcome);
    expect(outcome?.value).toMatchObject({ kind: 'trained', metrics: { loss: 1, accuracy: 0.25 } });
  }
});
