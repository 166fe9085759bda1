/** Vectors in an engine's own memory: nothing is copied in or out, and nothing else is different. */
import { describe, expect, test } from 'vitest';
import { homeLengths, makeNormaliser, makeSampleSet } from '../../../container/data/sample-set.ts';
import type { PlanEngine } from '../../../container/engine/plan/engine.ts';
import type { KeyedBatch } from '../../../container/engine/port.ts';
import type { OptimizerPlan } from '../../../core/plan.ts';
import { shardRange } from '../../../core/shards.ts';
import { compiled, providers } from './plan-support.ts';
import { batchFor, everything, lenet, mlp, type Net, slice, words } from './support.ts';

const optimizers: readonly OptimizerPlan[] = [
  { kind: 'sgd', momentum: 0, nesterov: false, clipValue: 0.01 },
  { kind: 'sgd', momentum: 0.9, nesterov: true, clipNorm: 0.1 },
  { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0.01 },
];
const samples = 24;
const shards = 4;

function partsOf(net: Net, step: number): KeyedBatch[] {
  const whole = batchFor(net, samples, step);
  return Array.from({ length: shards }, (_, shard) => {
    const { from, to } = shardRange(samples, shards, shard);
    return { batch: slice(whole, from, to), key: { step, shard } };
  });
}

/** The same samples, one behind the other in these two vectors. */
function moved(parts: readonly KeyedBatch[], features: Float32Array, targets: Float32Array): KeyedBatch[] {
  const at = { features: 0, targets: 0 };
  return parts.map(({ batch, key }) => {
    const put = (what: 'features' | 'targets', into: Float32Array): Float32Array => {
      into.set(batch[what], at[what]);
      at[what] += batch[what].length;
      return into.subarray(at[what] - batch[what].length, at[what]);
    };
    return { batch: { size: batch.size, features: put('features', features), targets: put('targets', targets) }, key };
  });
}

describe.each(providers)('%s', (provider) => {
  test.each(Object.entries({ mlp, lenet, everything, words }))(
    'the same bits as with vectors elsewhere, step after step: %s',
    (_, net) => {
      for (const optimizer of optimizers) {
        const [apart, within] = [compiled({ ...net, optimizer }, provider), compiled({ ...net, optimizer }, provider)];
        const { contributionLength } = apart.layout;
        const first = batchFor(net, samples);
        const lengths = [contributionLength, first.features.length, first.targets.length];
        const room = lent(within, lengths);
        const [out, features, targets] = lengths.map((length) => room.allocate(length)) as [
          Float32Array,
          Float32Array,
          Float32Array,
        ];
        const { buffer } = within.parameters;
        for (let step = 0; step < 3; step += 1) {
          const parts = partsOf(net, step);
          const wanted = new Float32Array(contributionLength);
          apart.contributions([{ parts, out: wanted }]);
          const inOrder = moved(parts, features, targets);
          // Within the memory, but not one behind the other.
          const backwards = new Float32Array(contributionLength);
          apart.contributions([{ parts: [...parts].reverse(), out: backwards }]);
          within.contributions([{ parts: [...inOrder].reverse(), out }]);
          expect(out).toEqual(backwards);
          within.contributions([{ parts: inOrder, out }]);
          expect(out).toEqual(wanted);
          apart.update(wanted, 0.05, step);
          within.update(out, 0.05, step);
          // Others may still be sent it.
          expect(out).toEqual(wanted);
          expect(within.parameters).toEqual(apart.parameters);
          const batch = batchFor(net, samples, step + 10);
          expect(within.evaluate(batch)).toEqual(apart.evaluate(batch));
        }
        expect(within.parameters.buffer).toBe(buffer);
        expect(out.buffer).toBe(buffer);
      }
    },
  );
});

test('what is gathered at home is read there, whatever order it is asked for in', () => {
  const [apart, within] = [compiled(mlp, 'portable'), compiled(mlp, 'portable')];
  const featureLength = mlp.inputShape.reduce((product, size) => product * size, 1);
  const features = Uint8Array.from({ length: 50 * featureLength }, (_, i) => (i * 31) & 0xff);
  const labels = Uint8Array.from({ length: 50 }, (_, i) => i % 3);
  const store = { featureLength, features, labels };
  const normaliser = makeNormaliser({ kind: 'scale', scale: 1 / 255, offset: -0.5 }, store, []);
  const vectors = lent(within, homeLengths(featureLength, 3, samples));
  const home = makeSampleSet(store, undefined, 3, normaliser, { vectors, samples });
  const away = makeSampleSet(store, undefined, 3, normaliser);
  const [found, wanted] = [within, apart].map((engine) => new Float32Array(engine.layout.contributionLength)) as [
    Float32Array,
    Float32Array,
  ];
  for (const indices of [[3, 1, 4], [1, 5, 9, 2, 6, 5, 3, 5], [49]]) {
    const [here, there] = [home, away].map((set) => set.gather(indices, 0, indices.length));
    expect(here!.features.buffer).toBe(within.parameters.buffer);
    expect(here!.targets.buffer).toBe(within.parameters.buffer);
    expect(here).toEqual(there);
    within.contribution(here!, { step: 0, shard: 0 }, found);
    apart.contribution(there!, { step: 0, shard: 0 }, wanted);
    expect(found).toEqual(wanted);
  }
  // More than was announced is gathered elsewhere.
  const many = Array.from({ length: 30 }, (_, i) => i);
  expect(home.gather(many, 0, 30)).toEqual(away.gather(many, 0, 30));
});

test('a pass for which there is no room is refused, because growing would take the vectors away', () => {
  const engine = compiled(mlp, 'portable');
  const size = engine.pieceSize + 1;
  const lentTo = engine.lend([10], { samples: size - 1, shards: 1 });
  expect(lentTo?.fits([10])).toBe(true);
  const out = new Float32Array(engine.layout.contributionLength);
  const key = { step: 0, shard: 0 };
  expect(() => engine.contribution(batchFor(mlp, size), key, out)).toThrow(
    `a pass of ${size} samples where there is room for ${size - 1}`,
  );
  engine.contribution(batchFor(mlp, size - 1), key, out);
});

test('nothing is lent where it would be too much memory', () => {
  const engine = compiled(mlp, 'portable');
  expect(engine.lend([2 ** 29], { samples: 8, shards: 1 })).toBeUndefined();
  expect(engine.memoryBytes).toBeLessThan(2 ** 24);
  engine.contribution(batchFor(mlp, 300), { step: 0, shard: 0 }, new Float32Array(engine.layout.contributionLength));
});

function lent(engine: PlanEngine, lengths: readonly number[]) {
  const room = engine.lend(lengths, { samples, shards });
  if (room === undefined) throw new Error('nothing was lent');
  return room;
}
