import { expect, test } from 'vitest';
import type { SampleSet } from '../../container/data/port.ts';
import { createEngine } from '../../container/engine/create.ts';
import type { Engine } from '../../container/engine/port.ts';
import { Meter } from '../../container/meter.ts';
import { Replica } from '../../container/replica.ts';
import { TreeSum } from '../../core/gang/tree-sum.ts';
import type { LayerPlan, RunPlan } from '../../core/plan.ts';
import { keyed } from '../../core/random.ts';

const layers: readonly LayerPlan[] = [
  { kind: 'dense', name: 'a', units: 9, activation: 'relu', useBias: true },
  { kind: 'dropout', name: 'drop', rate: 0.3 },
  { kind: 'dense', name: 'b', units: 3, activation: 'softmax', useBias: true },
];
const shards = 16;
const plan = {
  name: 'test',
  seed: 3,
  network: { kind: 'layers', inputShape: [6], outputShape: [3], layers, parameters: 93, stateParameters: 0 },
  engine: { wanted: 'portable' },
  training: {
    loss: 'softmaxCrossEntropy',
    optimizer: { kind: 'sgd', momentum: 0, nesterov: false },
    shards,
    batchSize: 50,
    stepsPerEpoch: 3,
    schedule: { kind: 'constant' },
    learningRate: 0.01,
    warmupSteps: 0,
  },
} as unknown as RunPlan;

/** Samples that follow from their index; one buffer for all calls, as the real sets have. */
function samples(size: number): SampleSet {
  const features = new Float32Array(size * 6);
  const targets = new Float32Array(size * 3);
  return {
    size,
    featureLength: 6,
    targetLength: 3,
    gather: (wanted, from, to) => {
      targets.fill(0);
      for (let row = 0; row < to - from; row += 1) {
        const random = keyed(1, wanted[from + row]!);
        for (let i = 0; i < 6; i += 1) features[row * 6 + i] = random.normal();
        targets[row * 3 + Math.floor(random.next() * 3)] = 1;
      }
      const count = to - from;
      return { size: count, features: features.subarray(0, count * 6), targets: targets.subarray(0, count * 3) };
    },
  };
}

/** The step's total from runs of shards that end at these places, one shard at a time or as many as the engine takes. */
async function total(
  step: number,
  ends: readonly number[],
  oneByOne: boolean,
  msPerCall: number,
): Promise<Float32Array> {
  const engine = await createEngine(plan, { warn: () => {} });
  const single = { layout: engine.layout, contribution: engine.contribution.bind(engine) } as unknown as Engine;
  const computing = oneByOne ? single : engine;
  const data = { train: samples(140), validation: samples(0), test: samples(0) };
  const replica = new Replica(plan, computing, data);
  let now = 0;
  const meter = new Meter({ monotonic: () => (now += msPerCall) }, () => 0);
  const tree = new TreeSum(shards);
  let whole: Float32Array | undefined;
  let from = 0;
  for (const to of [...ends, ...ends, shards]) {
    if (to <= from) continue;
    const parts = await replica.contribution(step, { from, to }, () => false, meter);
    for (const { node, vector } of parts!) whole = tree.add(node, vector);
    from = to;
  }
  return whole!;
}

test('the total of a step is the same bits however the shards are shared out and put together (P2)', async () => {
  // Step 2 is short: 40 samples for 16 shards, some of three, some of two.
  for (const step of [0, 2]) {
    const wanted = await total(step, [], true, 1);
    // 63 + 30 weights, the loss sum, the correct; then the samples.
    expect(wanted[95]).toBe(step === 2 ? 40 : 50);
    for (const ends of [[], [8], [3, 11], [5, 6, 10]]) {
      for (const msPerCall of [0.01, 30, 1000]) expect(await total(step, ends, false, msPerCall)).toEqual(wanted);
    }
  }
});

test('a loss that is not finite is traced to its layer, in whichever shard it arose', async () => {
  const clean = samples(140);
  // One sample of the epoch is so large that the second layer overflows: the first still gives numbers.
  const spoilt: SampleSet = {
    ...clean,
    gather: (indices, from, to) => {
      const batch = clean.gather(indices, from, to);
      const row = Array.from(indices).slice(from, to).indexOf(77);
      if (row >= 0) batch.features.fill(1e38, row * 6, row * 6 + 6);
      return batch;
    },
  };
  const engine = await createEngine(plan, { warn: () => {} });
  const { offset, length } = engine.layout.tensors.find(({ name }) => name === 'b/kernel')!;
  engine.parameters.fill(0.01).fill(1e4, offset, offset + length);
  engine.parametersChanged();
  const replica = new Replica(plan, engine, { train: spoilt, validation: clean, test: clean });
  const meter = new Meter({ monotonic: () => 0 }, () => 0);
  const layers: (string | undefined)[] = [];
  for (let step = 0; step < 3; step += 1) {
    const parts = await replica.contribution(step, { from: 0, to: shards }, () => false, meter);
    const before = engine.parameters.slice();
    const loss = replica.apply(step, parts![0]!.vector);
    layers.push(replica.findNonFinite(step));
    if (layers.at(-1) === undefined) expect(loss).toSatisfy(Number.isFinite);
    else {
      expect(loss).not.toSatisfy(Number.isFinite);
      expect(engine.parameters).toEqual(before);
    }
    engine.parameters.set(before);
    engine.parametersChanged();
  }
  expect(layers.filter((layer) => layer !== undefined)).toEqual(['b']);
});
