/**
 * The weights of seven networks after ten steps, to the bit. The digests were taken once; another processor, another
 * version of Node or another order of any sum must not change them (P2). Whoever changes a kernel on purpose takes them
 * anew and says so: runs of before cannot be resumed then.
 */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import type { Build } from '../../../container/engine/plan/kernels.ts';
import type { OptimizerPlan } from '../../../core/plan.ts';
import { shardRange } from '../../../core/shards.ts';
import { builds, compiled } from './plan-support.ts';
import {
  activation,
  batchFor,
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

const adam: OptimizerPlan = { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };
const nets: Record<string, Net & { optimizer: OptimizerPlan }> = {
  mlp: { ...mlp, optimizer: { kind: 'sgd', momentum: 0, nesterov: false } },
  deep: {
    inputShape: [100],
    layers: [
      dense(64, 'elu', 'a'),
      dense(37, 'selu', 'b'),
      dropout(0.2),
      dense(29, 'softplus', 'c'),
      dense(30, 'swish', 'd'),
      dense(1, 'sigmoid', 'e'),
    ],
    loss: 'sigmoidCrossEntropy',
    optimizer: adam,
  },
  regression: {
    inputShape: [9],
    layers: [dense(20, 'tanh', 'a'), norm, dense(3, 'softsign', 'b')],
    loss: 'meanSquaredError',
    optimizer: { kind: 'rmsprop', decay: 0.9, momentum: 0.5, epsilon: 1e-7 },
  },
  lenet: { ...lenet, optimizer: { kind: 'sgd', momentum: 0.9, nesterov: true } },
  everything: { ...everything, optimizer: adam },
  colour: {
    inputShape: [17, 15, 3],
    layers: [
      conv(7, { kernelSize: [3, 5], padding: 'valid', activation: 'relu6' }),
      pool('averagePooling2d', { padding: 'same', poolSize: [3, 2] } as never),
      norm,
      activation('hardSigmoid'),
      conv(9, { strides: [2, 2], activation: 'sigmoid' }),
      flatten,
      dense(4, 'softmax'),
    ],
    loss: 'softmaxCrossEntropy',
    optimizer: { kind: 'rmsprop', decay: 0.95, momentum: 0, epsilon: 1e-7 },
  },
  words: { ...words, optimizer: { ...adam, weightDecay: 0.1, clipNorm: 0.05 } },
};

const known: { readonly [P in Build]: Readonly<Record<string, string>> } = {
  exact: {
    mlp: 'e12bcbdfa86ada4a',
    deep: '38fb7a6819e9b245',
    regression: '5ff1859957173cfa',
    lenet: '7c0904e5327cb1cb',
    everything: '541e41758175e450',
    colour: 'ac1795e551030f5a',
    words: '05acd9f95c803ac2',
  },
  portable: {
    mlp: '983ad967e8ac0d04',
    deep: '94ce4b95e528cdd8',
    regression: 'ed5bca75bb900eb7',
    lenet: '8c0cf341917ad78b',
    everything: '7b78ee7b3fa96d11',
    colour: 'c75d802377e1c1bb',
    words: '195ff36b618f67db',
  },
};

/** Ten steps on batches of 21 samples in four shards. */
function trained(net: Net, provider: Build): string {
  const engine = compiled(net, provider);
  const reduced = new Float32Array(engine.layout.contributionLength);
  for (let step = 0; step < 10; step += 1) {
    const batch = batchFor(net, 21, step);
    const parts = [0, 1, 2, 3].map((shard) => {
      const { from, to } = shardRange(21, 4, shard);
      return { batch: slice(batch, from, to), key: { step, shard } };
    });
    engine.contributions([{ parts, out: reduced }]);
    engine.update(reduced, 0.01, step);
  }
  const { buffer, byteOffset, byteLength } = engine.parameters;
  return createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('hex')
    .slice(0, 16);
}

test.each(builds)('ten steps on %s give the known weights', (provider) => {
  expect(Object.fromEntries(Object.entries(nets).map(([name, net]) => [name, trained(net, provider)]))).toEqual(
    known[provider],
  );
});

test('the providers are not the same', () => {
  for (const name of Object.keys(nets)) expect(known.exact[name]).not.toBe(known.portable[name]);
});
