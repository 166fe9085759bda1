/** The promises of the plan compiler's engine that need nothing to compare with. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { KeyedBatch } from '../../../container/engine/port.ts';
import { TreeSum } from '../../../core/gang/tree-sum.ts';
import { cover, shardRange } from '../../../core/shards.ts';
import { compiled, providers } from './plan-support.ts';
import {
  activation,
  batchFor,
  contribution,
  conv,
  dense,
  dropout,
  everything,
  flatten,
  lenet,
  mlp,
  type Net,
  norm,
  pool,
  slice,
  words,
} from './support.ts';

const colour: Net = {
  inputShape: [9, 7, 3],
  layers: [
    conv(5, { activation: 'relu' }),
    norm,
    pool('averagePooling2d', { padding: 'same', poolSize: [3, 2] } as never),
    dropout(0.3),
    activation('swish'),
    flatten,
    dense(4, 'sigmoid'),
  ],
  loss: 'sigmoidCrossEntropy',
};
/** Large enough for the kernels that a library keeps for such sizes. */
const wide: Net = {
  inputShape: [300],
  layers: [dense(130, 'relu', 'a'), dropout(0.2), dense(67, 'relu', 'b'), dense(10, 'softmax', 'c')],
  loss: 'softmaxCrossEntropy',
};
const nets: Record<string, Net> = { mlp, wide, lenet, everything, colour, words };

/** Shards [from, to) of a batch that is cut into `count`, as a worker gets them. */
function shardsOf(net: Net, size: number, count: number, from = 0, to = count): KeyedBatch[] {
  const batch = batchFor(net, size);
  return Array.from({ length: to - from }, (_, i) => {
    const range = shardRange(size, count, from + i);
    return { batch: slice(batch, range.from, range.to), key: { step: 4, shard: from + i } };
  });
}

describe.each(providers)('%s', (provider) => {
  test.each(Object.entries(nets))(
    'contribution() gives the same bits on every call and in every engine (E1): %s',
    (_, net) => {
      const engine = compiled(net, provider);
      const batch = batchFor(net, 6);
      const first = contribution(engine, batch, 4, 2);
      expect(first.every(Number.isFinite)).toBe(true);
      // Other work in between, on other shapes and in larger memory, must leave no trace.
      contribution(engine, batchFor(net, 33, 9), 5, 1);
      engine.evaluate(batchFor(net, 300, 8));
      contribution(engine, batchFor(net, 3, 7), 5, 1);
      expect(contribution(engine, batch, 4, 2)).toEqual(first);
      expect(contribution(compiled(net, provider), batch, 4, 2)).toEqual(first);
    },
  );

  test.each(Object.entries(nets))('shards give the same bits alone and in company (E7): %s', (_, net) => {
    const engine = compiled(net, provider);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 40 }), fc.constantFrom(1, 2, 4, 8), (size, count) => {
        const shards = shardsOf(net, size, count);
        const tree = new TreeSum(count);
        let wanted: Float32Array | undefined;
        for (const [index, { batch, key }] of shards.entries()) {
          wanted = tree.add({ level: 0, index }, contribution(engine, batch, key.step, key.shard));
        }
        const found = new Float32Array(engine.layout.contributionLength).fill(7);
        engine.contributions([{ parts: shards, out: found }]);
        // Bit by bit: 0 and -0 are not the same.
        expect(Buffer.compare(Buffer.from(found.buffer), Buffer.from(wanted!.buffer))).toBe(0);
      }),
      { numRuns: 25 },
    );
  });

  test.each(Object.entries(nets))('nodes give the same bits alone and in company (E7): %s', (_, net) => {
    const engine = compiled(net, provider);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 90 }), fc.nat(15), fc.nat(16), (size, first, run) => {
        const nodes = cover({ from: first, to: Math.min(16, first + run) }).map(({ level, index }) => ({
          parts: shardsOf(net, size, 16, index * 2 ** level, (index + 1) * 2 ** level),
          out: contributionOf(engine).fill(7),
        }));
        engine.contributions(nodes);
        for (const { parts, out } of nodes) {
          const alone = contributionOf(engine);
          engine.contributions([{ parts, out: alone }]);
          expect(Buffer.compare(Buffer.from(out.buffer), Buffer.from(alone.buffer))).toBe(0);
        }
      }),
      { numRuns: 20 },
    );
  });

  test('any number of shards goes in one call: 128 of them, some empty', () => {
    const engine = compiled(colour, provider);
    const shards = shardsOf(colour, 100, 128);
    const tree = new TreeSum(128);
    let wanted: Float32Array | undefined;
    for (const [index, { batch, key }] of shards.entries()) {
      wanted = tree.add({ level: 0, index }, contribution(engine, batch, key.step, key.shard));
    }
    const found = contributionOf(engine);
    engine.contributions([{ parts: shards, out: found }]);
    expect(found).toEqual(wanted);
  });

  test('more samples than one pass takes are several passes, with the same bits', () => {
    const net: Net = {
      inputShape: [64, 64, 4],
      layers: [conv(8, { activation: 'relu' }), norm, pool('maxPooling2d'), flatten, dense(2, 'softmax')],
      loss: 'softmaxCrossEntropy',
    };
    const engine = compiled(net, provider);
    const shards = shardsOf(net, 80, 8);
    const found = contributionOf(engine);
    engine.contributions([{ parts: shards, out: found }]);
    // A pass of all of them would need more than this.
    expect(engine.memoryBytes).toBeLessThan(45 * 2 ** 20);
    const tree = new TreeSum(8);
    let wanted: Float32Array | undefined;
    for (const [index, { batch, key }] of shards.entries()) {
      wanted = tree.add({ level: 0, index }, contribution(engine, batch, key.step, key.shard));
    }
    expect(found).toEqual(wanted);
  });

  test('the gradient of a large layer, added up in pieces, is that of its samples', () => {
    // More weights than a piece has values, and more samples than our products sum up at once.
    const net: Net = {
      inputShape: [300],
      layers: [dense(301, 'relu'), dense(2, 'softmax')],
      loss: 'softmaxCrossEntropy',
    };
    const batch = batchFor(net, 400);
    const found = contribution(compiled(net, provider), batch);
    // So few samples go without pieces there.
    const other = compiled(net, 'portable');
    const wanted = new Float64Array(found.length);
    for (let from = 0; from < 400; from += 100) {
      for (const [i, value] of contribution(other, slice(batch, from, from + 100)).entries()) wanted[i]! += value;
    }
    const worst = found.reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i]!)), 0);
    expect(worst).toBeLessThan(1e-2);
  });

  test('a number of shards that fills no node of the tree is refused', () => {
    const engine = compiled(mlp, provider);
    for (const count of [0, 3, 12]) {
      const parts = shardsOf(mlp, 32, 16, 0, count);
      expect(() => engine.contributions([{ parts, out: contributionOf(engine) }])).toThrow(/node/);
    }
  });

  test.each(Object.entries(nets))('steps need no more memory than the first (E4): %s', (_, net) => {
    const engine = compiled(net, provider);
    const life = (step: number, size: number) => {
      const out = contributionOf(engine);
      engine.contributions([{ parts: shardsOf(net, size, 8), out }]);
      engine.update(out, 0.01, step);
      engine.evaluate(batchFor(net, size));
      engine.findNonFinite(batchFor(net, size));
    };
    life(0, 40);
    const once = engine.memoryBytes;
    const { buffer } = engine.parameters;
    for (let step = 1; step < 6; step += 1) life(step, 40 - step);
    expect(engine.memoryBytes).toBe(once);
    expect(engine.parameters.buffer).toBe(buffer);
  });

  test.each(Object.entries(nets))('parameters and slots are the whole state (E3): %s', (_, net) => {
    for (const optimizer of [
      { kind: 'sgd', momentum: 0.9, nesterov: true },
      { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
      { kind: 'rmsprop', decay: 0.9, momentum: 0.5, epsilon: 1e-7 },
    ] as const) {
      const one = compiled({ ...net, optimizer }, provider);
      const step = (engine: typeof one, index: number) =>
        engine.update(contribution(engine, batchFor(net, 5, index), index), 0.01, index);
      for (let index = 0; index < 3; index += 1) step(one, index);
      const two = compiled({ ...net, optimizer }, provider);
      two.parameters.set(one.parameters);
      two.slots.set(one.slots);
      two.parametersChanged();
      for (let index = 3; index < 6; index += 1) for (const engine of [one, two]) step(engine, index);
      expect(two.parameters).toEqual(one.parameters);
      expect(two.evaluate(batchFor(net, 5))).toEqual(one.evaluate(batchFor(net, 5)));
    }
  });

  test('an empty batch contributes zeros, and a step without samples changes nothing', () => {
    const engine = compiled(everything, provider);
    const empty = { size: 0, features: new Float32Array(0), targets: new Float32Array(0) };
    const out = contributionOf(engine).fill(7);
    engine.contribution(empty, { step: 0, shard: 0 }, out);
    expect(out.every((value) => value === 0)).toBe(true);
    expect(engine.evaluate(empty)).toEqual({ samples: 0, lossSum: 0, correct: 0 });
    const before = engine.parameters.slice();
    engine.update(out, 0.1, 0);
    expect(engine.parameters).toEqual(before);
  });

  test('findNonFinite() names the first layer with a bad weight or a bad output, and the loss shows it (E6)', () => {
    const engine = compiled(mlp, provider);
    const batch = batchFor(mlp, 4);
    const tail = engine.layout.parameterLength;
    expect(engine.findNonFinite(batch)).toBeUndefined();
    engine.parameters[engine.layout.tensors[2]!.offset] = Number.POSITIVE_INFINITY;
    engine.parametersChanged();
    expect(engine.findNonFinite(batch)).toBe('b');
    expect(engine.evaluate(batch).lossSum).toBeNaN();
    expect(contribution(engine, batch)[tail]).toBeNaN();
    const fresh = compiled(mlp, provider);
    fresh.parameters.fill(1e30);
    fresh.parametersChanged();
    // The weights are finite; the outputs of the first layer overflow only in the second.
    expect(fresh.findNonFinite({ ...batch, features: batch.features.map(Math.abs) })).toBe('b');
    const images = compiled(lenet, provider);
    images.parameters[images.layout.tensors[2]!.offset] = Number.NaN;
    images.parametersChanged();
    expect(images.findNonFinite(batchFor(lenet, 2))).toBe('c2_2');
    const data = batchFor(lenet, 2);
    data.features[5] = Number.NaN;
    expect(compiled(lenet, provider).findNonFinite(data)).toBe('c1_0');
    expect(contribution(compiled(lenet, provider), data)[images.layout.parameterLength]).toBeNaN();
  });

  test('findNonFinite() names the last layer when the loss alone overflows', () => {
    const net: Net = {
      inputShape: [2],
      layers: [dense(3, 'tanh', 'a'), dense(1, 'linear', 'b')],
      loss: 'meanSquaredError',
    };
    const engine = compiled(net, provider);
    const batch = batchFor(net, 4);
    batch.targets.fill(1e30);
    expect(engine.findNonFinite(batch)).toBe('b');
  });

  test('a number that is no row of the embedding shows in the loss, with the name of the layer', () => {
    for (const wrong of [7, -1, 0.5, 1e9, Number.NaN]) {
      const engine = compiled(words, provider);
      const batch = batchFor(words, 4);
      batch.features[17] = wrong;
      expect(contribution(engine, batch)[engine.layout.parameterLength]).toBeNaN();
      expect(engine.findNonFinite(batch)).toBe('embedding');
    }
  });

  test('an update that leaves the numbers shows in the next loss, whatever the optimizer (E6)', () => {
    for (const optimizer of [
      { kind: 'sgd', momentum: 0, nesterov: false },
      { kind: 'sgd', momentum: 0.9, nesterov: true },
      { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
      { kind: 'rmsprop', decay: 0.9, momentum: 0.5, epsilon: 1e-7 },
    ] as const) {
      const engine = compiled({ ...mlp, optimizer }, provider);
      const batch = batchFor(mlp, 4);
      const tail = engine.layout.parameterLength;
      const sum = contribution(engine, batch);
      engine.update(sum, 0.01, 0);
      expect(contribution(engine, batch)[tail]).toBeGreaterThan(0);
      // One weight alone: the last, which is not in a group of four.
      sum[engine.layout.trainableLength - 1] = 3e38;
      engine.update(sum, 3e38, 1);
      expect(contribution(engine, batch)[tail]).toBeNaN();
    }
  });

  test('training lowers the loss', () => {
    for (const net of Object.values(nets)) {
      const engine = compiled(net, provider);
      const batch = batchFor(net, 16);
      const before = engine.evaluate(batch);
      for (let step = 0; step < 150; step += 1) engine.update(contribution(engine, batch, step), 0.1, step);
      expect(engine.evaluate(batch).lossSum).toBeLessThan(0.7 * before.lossSum);
    }
  });
});

function contributionOf(engine: ReturnType<typeof compiled>): Float32Array {
  return new Float32Array(engine.layout.contributionLength);
}
