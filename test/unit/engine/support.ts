/** Small networks, batches and engines for the tests of this folder. */

import type { Backend } from '../../../container/engine/backend.ts';
import { createEngine } from '../../../container/engine/create.ts';
import type { Batch, Engine } from '../../../container/engine/port.ts';
import { inferNetwork } from '../../../core/network.ts';
import type { Activation, LayerPlan, Loss, OptimizerPlan, TrainingPlan } from '../../../core/plan.ts';
import { keyed } from '../../../core/random.ts';

export const dense = (units: number, activation: Activation = 'linear', name = `dense_${units}`): LayerPlan => ({
  kind: 'dense',
  name,
  units,
  activation,
  useBias: true,
});

export const conv = (
  filters: number,
  more: Partial<Extract<LayerPlan, { kind: 'conv2d' }>> = {},
): Extract<LayerPlan, { kind: 'conv2d' }> => ({
  kind: 'conv2d',
  name: `conv_${filters}`,
  filters,
  kernelSize: [3, 3],
  strides: [1, 1],
  padding: 'same',
  activation: 'linear',
  useBias: true,
  ...more,
});

export const pool = (
  kind: 'maxPooling2d' | 'averagePooling2d',
  more: Partial<Extract<LayerPlan, { kind: 'maxPooling2d' | 'averagePooling2d' }>> = {},
): LayerPlan => ({ kind, name: 'pool', poolSize: [2, 2], strides: [2, 2], padding: 'valid', ...more });

export const globalPool = (kind: 'globalMaxPooling2d' | 'globalAveragePooling2d'): LayerPlan => ({
  kind,
  name: 'global_pool',
});
export const reshape = (...targetShape: number[]): LayerPlan => ({ kind: 'reshape', name: 'reshape', targetShape });
export const embedding = (inputDim: number, outputDim: number): LayerPlan => ({
  kind: 'embedding',
  name: 'embedding',
  inputDim,
  outputDim,
});
export const flatten: LayerPlan = { kind: 'flatten', name: 'flatten' };
export const dropout = (rate: number): LayerPlan => ({ kind: 'dropout', name: 'dropout', rate });
export const norm: LayerPlan = { kind: 'batchNormalization', name: 'norm', momentum: 0.9, epsilon: 1e-3 };
export const activation = (of: Activation): LayerPlan => ({
  kind: 'activation',
  name: `activation_${of}`,
  activation: of,
});

export interface Net {
  readonly inputShape: readonly number[];
  readonly layers: readonly LayerPlan[];
  readonly loss: Loss;
  readonly optimizer?: OptimizerPlan;
  readonly seed?: number;
  readonly compression?: TrainingPlan['compression'];
}

export const lenet: Net = {
  inputShape: [8, 8, 1],
  layers: [
    conv(4, { name: 'c1', activation: 'relu', kernelSize: [5, 5] }),
    pool('maxPooling2d'),
    conv(6, { name: 'c2', activation: 'relu', padding: 'valid' }),
    pool('averagePooling2d', { padding: 'same' } as never),
    flatten,
    dense(12, 'tanh'),
    dense(5, 'softmax'),
  ].map((layer, index) => ({ ...layer, name: `${layer.name}_${index}` })),
  loss: 'softmaxCrossEntropy',
};

export const mlp: Net = {
  inputShape: [7],
  layers: [dense(9, 'relu', 'a'), dense(6, 'relu', 'b'), dense(3, 'softmax', 'c')],
  loss: 'softmaxCrossEntropy',
};

/** One of everything that is trained, shuffled and dropped. */
export const everything: Net = {
  inputShape: [6, 6, 2],
  layers: [
    conv(4, { strides: [2, 1], activation: 'swish', useBias: false }),
    norm,
    activation('relu'),
    pool('maxPooling2d', { strides: [1, 1] } as never),
    flatten,
    dropout(0.4),
    dense(4, 'softmax'),
  ],
  loss: 'softmaxCrossEntropy',
};

export async function build(net: Net, backend: Backend = 'wasm'): Promise<Engine> {
  const shape = inferNetwork(net.inputShape, net.layers);
  if (shape.kind === 'invalid') throw new Error(shape.problems[0]!.message);
  const { outputShape, parameters, stateParameters } = shape;
  const { loss, compression = 'none' } = net;
  return createEngine(
    {
      name: 'test',
      seed: net.seed ?? 5,
      network: { kind: 'layers', ...net, outputShape, parameters, stateParameters },
      training: { loss, optimizer: net.optimizer ?? { kind: 'sgd', momentum: 0, nesterov: false }, compression },
    },
    { backend, warn: () => {} },
  );
}

/** Numbers of words in, an image of their vectors, one number for each filter out. */
export const words: Net = {
  inputShape: [12],
  layers: [
    embedding(7, 6),
    reshape(6, 4, 3),
    conv(5, { activation: 'tanh' }),
    globalPool('globalAveragePooling2d'),
    dense(4, 'softmax'),
  ],
  loss: 'softmaxCrossEntropy',
  optimizer: { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
};

/** Random features (numbers of rows for an embedding), one-hot targets (or values for a regression), from the seed alone. */
export function batchFor(net: Net, size: number, seed = 1): Batch {
  const shape = inferNetwork(net.inputShape, net.layers);
  if (shape.kind === 'invalid') throw new Error('does not fit');
  const [first] = net.layers;
  const random = keyed(seed, 77);
  const width = shape.outputShape.reduce((a, b) => a * b, 1);
  const features = Float32Array.from({ length: size * net.inputShape.reduce((a, b) => a * b, 1) }, () =>
    first?.kind === 'embedding' ? Math.floor(random.next() * first.inputDim) : random.normal(),
  );
  const targets = new Float32Array(size * width);
  for (let sample = 0; sample < size; sample += 1) {
    if (net.loss === 'meanSquaredError') {
      for (let j = 0; j < width; j += 1) targets[sample * width + j] = random.normal();
    } else if (width === 1) targets[sample] = random.next() < 0.5 ? 0 : 1;
    else targets[sample * width + Math.floor(random.next() * width)] = 1;
  }
  return { size, features, targets };
}

export function slice(batch: Batch, from: number, to: number): Batch {
  const cut = (all: Float32Array) => all.slice((all.length / batch.size) * from, (all.length / batch.size) * to);
  return { size: to - from, features: cut(batch.features), targets: cut(batch.targets) };
}

export function contribution(engine: Engine, batch: Batch, step = 0, shard = 0): Float32Array {
  const out = new Float32Array(engine.layout.contributionLength);
  engine.contribution(batch, { step, shard }, out);
  return out;
}

/** ||a - b|| / ||b||, or ||a|| when b is zero. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let length = 0;
  for (let i = 0; i < b.length; i += 1) {
    difference += (a[i]! - b[i]!) ** 2;
    length += b[i]! ** 2;
  }
  return Math.sqrt(difference / (length === 0 ? 1 : length));
}
