import { memory } from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { useBackend } from '../../../container/engine/backend.ts';
import { shardRange } from '../../../core/shards.ts';
import {
  activation,
  batchFor,
  build,
  contribution,
  conv,
  dense,
  distance,
  dropout,
  everything,
  flatten,
  lenet,
  mlp,
  type Net,
  norm,
  pool,
  slice,
} from './support.ts';

const sigmoid: Net = {
  inputShape: [4],
  layers: [dense(5, 'selu'), dense(1, 'sigmoid')],
  loss: 'sigmoidCrossEntropy',
};
const regression: Net = {
  inputShape: [4],
  layers: [dense(6, 'softplus'), dense(2, 'linear')],
  loss: 'meanSquaredError',
};
const curves: Net = {
  inputShape: [6, 5, 2],
  layers: [
    conv(4, { activation: 'elu', strides: [2, 2] }),
    activation('hardSigmoid'),
    pool('averagePooling2d', { padding: 'same', strides: [1, 1] } as never),
    flatten,
    dense(7, 'softsign'),
    dense(6, 'relu6'),
    dense(4, 'softmax'),
  ],
  loss: 'softmaxCrossEntropy',
};
const nets: Record<string, Net> = { mlp, lenet, everything, sigmoid, regression, curves };
const backends = ['wasm', 'cpu'] as const;

describe.each(Object.entries(nets))('%s', (_, net) => {
  test('wasm and cpu agree on the contribution and on the evaluation', async () => {
    const batch = batchFor(net, 9);
    const [wasm, cpu] = [await build(net, 'wasm'), await build(net, 'cpu')];
    expect(wasm.parameters).toEqual(cpu.parameters);
    const ours = contribution(wasm, batch, 2, 3);
    expect(distance(ours, contribution(cpu, batch, 2, 3))).toBeLessThan(1e-5);
    expect(distance([wasm.evaluate(batch).lossSum], [cpu.evaluate(batch).lossSum])).toBeLessThan(1e-5);
    expect(wasm.evaluate(batch).correct).toBe(cpu.evaluate(batch).correct);
  });

  test.each(backends)(
    'contribution() on %s gives the same bits on every call and in every engine (E1)',
    async (backend) => {
      const batch = batchFor(net, 6);
      const engine = await build(net, backend);
      const first = contribution(engine, batch, 4, 2);
      // Other work in between, on other shapes, must leave no trace.
      contribution(engine, batchFor(net, 3, 9), 5, 1);
      engine.evaluate(batchFor(net, 5, 8));
      const copy: typeof batch = { size: batch.size, features: batch.features.slice(), targets: batch.targets.slice() };
      expect(contribution(engine, copy, 4, 2)).toEqual(first);
      expect(contribution(await build(net, backend), batch, 4, 2)).toEqual(first);
    },
  );

  test.each(backends)('no call on %s leaves a tensor behind (E4)', async (backend) => {
    const engine = await build(net, backend);
    const batch = batchFor(net, 4);
    const life = () => {
      engine.update(contribution(engine, batch), 0.01, 0);
      engine.evaluate(batch);
      engine.findNonFinite(batch);
    };
    const before = memory();
    life();
    const once = memory();
    for (let i = 0; i < 5; i += 1) life();
    expect(memory().numTensors).toBe(once.numTensors);
    expect(memory().numBytes).toBe(once.numBytes);
    engine.dispose();
    expect(memory().numTensors).toBe(before.numTensors);
  });

  test('parameters and slots are the whole state (E3)', async () => {
    for (const optimizer of [
      { kind: 'sgd', momentum: 0.9, nesterov: true },
      { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
      { kind: 'rmsprop', decay: 0.9, momentum: 0.5, epsilon: 1e-7 },
    ] as const) {
      const one = await build({ ...net, optimizer });
      for (let step = 0; step < 3; step += 1) one.update(contribution(one, batchFor(net, 5, step), step), 0.01, step);
      const two = await build({ ...net, optimizer, seed: 99 });
      two.parameters.set(one.parameters);
      two.slots.set(one.slots);
      two.parametersChanged();
      // The seed also keys dropout, so what comes from batches is made by one engine and applied by both.
      for (let step = 3; step < 6; step += 1) {
        const reduced = contribution(one, batchFor(net, 5, step), step);
        one.update(reduced, 0.01, step);
        two.update(reduced, 0.01, step);
      }
      expect(two.parameters).toEqual(one.parameters);
      expect(two.evaluate(batchFor(net, 5))).toEqual(one.evaluate(batchFor(net, 5)));
    }
  });

  test('training lowers the loss', async () => {
    const engine = await build(net);
    const batch = batchFor(net, 16);
    const before = engine.evaluate(batch);
    for (let step = 0; step < 150; step += 1) engine.update(contribution(engine, batch, step), 0.1, step);
    const after = engine.evaluate(batch);
    expect(after.lossSum).toBeLessThan(0.7 * before.lossSum);
    expect(after.correct).toBeGreaterThanOrEqual(before.correct);
  });
});

test('the contributions of any shards add up to that of the whole batch, without normalisation and dropout', async () => {
  for (const net of [mlp, lenet, sigmoid, regression]) {
    const engine = await build(net);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.constantFrom(1, 2, 4, 8), (size, shards) => {
        const batch = batchFor(net, size);
        const sum = new Float32Array(engine.layout.contributionLength);
        for (let shard = 0; shard < shards; shard += 1) {
          const { from, to } = shardRange(size, shards, shard);
          for (const [i, value] of contribution(engine, slice(batch, from, to), 0, shard).entries()) sum[i]! += value;
        }
        const whole = contribution(engine, batch);
        expect(distance(sum, whole)).toBeLessThan(1e-4);
        expect(sum.slice(-2)).toEqual(whole.slice(-2));
      }),
      { numRuns: 15 },
    );
  }
});

test('an empty batch contributes zeros, and a step without samples changes nothing', async () => {
  const engine = await build(everything);
  const empty = { size: 0, features: new Float32Array(0), targets: new Float32Array(0) };
  const out = new Float32Array(engine.layout.contributionLength).fill(7);
  engine.contribution(empty, { step: 0, shard: 0 }, out);
  expect(out.every((value) => value === 0)).toBe(true);
  expect(engine.evaluate(empty)).toEqual({ samples: 0, lossSum: 0, correct: 0 });
  const before = engine.parameters.slice();
  engine.update(out, 0.1, 0);
  expect(engine.parameters).toEqual(before);
});

test('the tail is the loss sum, the correct and the samples, as evaluate() counts them', async () => {
  const engine = await build(lenet);
  const batch = batchFor(lenet, 7);
  const { lossSum, correct } = engine.evaluate(batch);
  const tail = contribution(engine, batch).slice(-3);
  expect(tail[0]).toBeCloseTo(lossSum, 4);
  expect([tail[1], tail[2]]).toEqual([correct, 7]);
});

test('evaluate() cuts a large batch into pieces that add up', async () => {
  // 16 Mi values an image: each sample is a piece of its own.
  const net: Net = {
    inputShape: [512, 512, 1],
    layers: [conv(8, { strides: [1, 1] }), flattenTo(), dense(2, 'softmax')],
    loss: 'softmaxCrossEntropy',
  };
  const engine = await build(net);
  const batch = batchFor(net, 5);
  const one = [0, 1, 2, 3, 4].map((i) => engine.evaluate(slice(batch, i, i + 1)));
  const all = engine.evaluate(batch);
  expect(all.samples).toBe(5);
  expect(all.correct).toBe(one.reduce((sum, { correct }) => sum + correct, 0));
  expect(all.lossSum).toBeCloseTo(
    one.reduce((sum, { lossSum }) => sum + lossSum, 0),
    4,
  );
});

/** Makes the dense layer behind it small enough for a test. */
function flattenTo() {
  return pool('averagePooling2d', { poolSize: [512, 512], strides: [512, 512] } as never);
}

test('dropout drops its share, differs by step and shard, and is off in evaluate()', async () => {
  const net: Net = { inputShape: [2000], layers: [dropout(0.25), dense(1)], loss: 'meanSquaredError' };
  const engine = await build(net);
  const batch = { size: 1, features: new Float32Array(2000).fill(1), targets: Float32Array.of(1e6) };
  // The gradient of a weight is its input times a constant: zero exactly where the mask is.
  const mask = (step: number, shard: number) =>
    [...contribution(engine, batch, step, shard).subarray(0, 2000)].map((value) => (value === 0 ? 0 : 1));
  const kept = mask(0, 0).reduce((sum: number, value) => sum + value, 0);
  expect(Math.abs(kept - 1500)).toBeLessThan(80);
  expect(mask(0, 0)).toEqual(mask(0, 0));
  for (const [step, shard] of [
    [1, 0],
    [0, 1],
  ] as const)
    expect(mask(step, shard)).not.toEqual(mask(0, 0));
  expect(engine.evaluate(batch)).toEqual(engine.evaluate(batch));
});

test('batch normalisation follows the moving statistics of the shards, weighted by their samples', async () => {
  const net: Net = { inputShape: [2], layers: [norm, dense(1)], loss: 'meanSquaredError' };
  const engine = await build(net);
  const batch = { size: 3, features: Float32Array.of(1, 10, 2, 20, 6, 60), targets: new Float32Array(3) };
  const { trainableLength, stateLength } = engine.layout;
  expect(stateLength).toBe(4);
  const [mean, variance] = [3, (4 + 1 + 9) / 3];
  const drift = contribution(engine, batch).slice(trainableLength, trainableLength + stateLength);
  const expected = [mean, 10 * mean, variance - 1, 100 * variance - 1].map((change) => 3 * 0.1 * change);
  expect(distance(drift, expected)).toBeLessThan(1e-6);
  engine.update(contribution(engine, batch), 0, 0);
  const state = engine.parameters.slice(trainableLength);
  expect(distance(state, [0.3, 3, 1 + 0.1 * (variance - 1), 1 + 0.1 * (100 * variance - 1)])).toBeLessThan(1e-6);
});

test('findNonFinite() names the first layer with a bad weight or a bad output', async () => {
  const engine = await build(mlp);
  const batch = batchFor(mlp, 4);
  expect(engine.findNonFinite(batch)).toBeUndefined();
  engine.parameters[engine.layout.tensors[2]!.offset] = Number.NaN;
  engine.parametersChanged();
  expect(engine.findNonFinite(batch)).toBe('b');
  expect(engine.evaluate(batch).lossSum).toBeNaN();
  const fresh = await build(mlp);
  fresh.parameters.fill(1e30);
  fresh.parametersChanged();
  // The weights are finite; the outputs of the first layer overflow only in the second.
  expect(fresh.findNonFinite({ ...batch, features: batch.features.map(Math.abs) })).toBe('b');
});

test('the layout lists trainable tensors first, by the names of the exported model', async () => {
  const { layout } = await build(everything);
  expect(layout.tensors.map(({ name, trainable }) => `${name}${trainable ? '' : ' (state)'}`)).toEqual([
    'conv_4/kernel',
    'norm/gamma',
    'norm/beta',
    'dense_4/kernel',
    'dense_4/bias',
    'norm/moving_mean (state)',
    'norm/moving_variance (state)',
  ]);
  const last = layout.tensors.at(-1)!;
  expect(last.offset + last.length).toBe(layout.parameterLength);
  expect(layout.contributionLength).toBe(layout.parameterLength + 3);
  useBackend('wasm');
});
