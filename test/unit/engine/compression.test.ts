/** `training.compression: bf16` in the engines: rounded at every node of the tree, and nothing but the gradient. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { roundToBfloat16 } from '../../../core/bfloat16.ts';
import { TreeSum } from '../../../core/gang/tree-sum.ts';
import { plainPool } from '../../../core/gang/vector-pool.ts';
import { shardRange } from '../../../core/shards.ts';
import { builds, compiled } from './plan-support.ts';
import { batchFor, build, contribution, dense, everything, lenet, mlp, type Net, slice } from './support.ts';

const wide: Net = {
  inputShape: [70],
  layers: [dense(61, 'relu', 'a'), dense(10, 'softmax', 'b')],
  loss: 'softmaxCrossEntropy',
};
/** Its shards are too many rows for a product over all of them at once. */
const tall: Net = {
  ...mlp,
  inputShape: [50, 7],
  layers: [dense(5, 'relu', 'a'), { kind: 'flatten', name: 'f' }, dense(3, 'softmax', 'b')],
};
const bf16 = (net: Net): Net => ({ ...net, compression: 'bf16' });
const bytesOf = (values: Float32Array): string => Buffer.from(values.buffer).toString('hex');

function shardsOf(net: Net, size: number, count: number) {
  const batch = batchFor(net, size);
  return Array.from({ length: count }, (_, shard) => {
    const { from, to } = shardRange(size, count, shard);
    return { batch: slice(batch, from, to), key: { step: 4, shard } };
  });
}

test.each(builds)('%s rounds every shard and every sum of shards, as the protocol does', (provider) => {
  for (const net of [mlp, wide, tall, lenet, everything]) {
    const [plain, engine] = [compiled(net, provider), compiled(bf16(net), provider)];
    const { roundedLength, trainableLength, contributionLength } = engine.layout;
    expect(roundedLength).toBe(trainableLength);
    expect(plain.layout.roundedLength).toBe(0);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 70 }), fc.constantFrom(1, 2, 4, 8), (size, count) => {
        const shards = shardsOf(net, size, count);
        const tree = new TreeSum(count, plainPool, roundedLength);
        let wanted: Float32Array | undefined;
        for (const [index, { batch, key }] of shards.entries()) {
          const leaf = contribution(engine, batch, key.step, key.shard);
          const exact = contribution(plain, batch, key.step, key.shard);
          roundToBfloat16(exact, trainableLength);
          expect(bytesOf(leaf)).toBe(bytesOf(exact));
          wanted = tree.add({ level: 0, index }, leaf);
        }
        const found = new Float32Array(contributionLength).fill(7);
        engine.contributions([{ parts: shards, out: found }]);
        expect(bytesOf(found)).toBe(bytesOf(wanted!));
      }),
      { numRuns: 8 },
    );
  }
});

test('TensorFlow.js rounds the gradient, and neither the moving statistics nor what is counted', async () => {
  const [plain, engine] = [await build(everything), await build(bf16(everything))];
  const batch = batchFor(everything, 9);
  const exact = contribution(plain, batch);
  const found = contribution(engine, batch);
  expect(found).not.toEqual(exact);
  roundToBfloat16(exact, engine.layout.trainableLength);
  expect(bytesOf(found)).toBe(bytesOf(exact));
});

test('a loss that is not finite comes through: it is not rounded', () => {
  const engine = compiled(bf16(mlp), 'portable');
  engine.parameters[3] = Number.NaN;
  engine.parametersChanged();
  const found = contribution(engine, batchFor(mlp, 8));
  expect(found[engine.layout.parameterLength]).toBeNaN();
  expect(found.subarray(0, engine.layout.roundedLength).some(Number.isNaN)).toBe(true);
});
