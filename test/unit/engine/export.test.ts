import { type io, softmax, type Tensor, tensor, tidy, unstack } from '@tensorflow/tfjs-core';
import { type LayersModel, loadLayersModel } from '@tensorflow/tfjs-layers';
import { expect, test } from 'vitest';
import { useBackend, values } from '../../../container/engine/backend.ts';
import type { ExportedModel } from '../../../container/engine/port.ts';
import { parseTopology } from '../../../core/topology.ts';
import { compiled, providers } from './plan-support.ts';
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
  globalPool,
  lenet,
  mlp,
  type Net,
  norm,
  pool,
  slice,
  words,
} from './support.ts';

/** As a reader of the two files would load it. */
function load({ topology, weights }: ExportedModel): Promise<LayersModel> {
  const { modelTopology, weightsManifest, format } = JSON.parse(topology);
  expect(weightsManifest[0].paths).toEqual(['weights.bin']);
  const artifacts: io.ModelArtifacts = {
    modelTopology,
    format,
    weightSpecs: weightsManifest[0].weights,
    weightData: weights.buffer as ArrayBuffer,
  };
  return loadLayersModel({ load: async () => artifacts });
}

const curves: Net = {
  inputShape: [5, 5, 2],
  layers: [
    conv(3, { activation: 'hardSigmoid', strides: [2, 1], padding: 'valid', kernelSize: [2, 3] }),
    norm,
    ...(['relu6', 'elu', 'selu', 'softsign', 'softplus', 'swish', 'sigmoid', 'tanh'] as const).map(activation),
    pool('averagePooling2d', { padding: 'same', poolSize: [3, 2], strides: [2, 2] } as never),
    dropout(0.5),
    flatten,
    { ...dense(4, 'linear'), useBias: false } as never,
    activation('softmax'),
  ],
  loss: 'softmaxCrossEntropy',
};
const wholes: Net = {
  inputShape: [6, 5, 2],
  layers: [conv(4, { activation: 'tanh' }), globalPool('globalMaxPooling2d'), dense(3, 'softmax')],
  loss: 'softmaxCrossEntropy',
};
const binary: Net = { inputShape: [3], layers: [dense(4, 'tanh'), dense(1, 'sigmoid')], loss: 'sigmoidCrossEntropy' };
const logits: Net = { inputShape: [3], layers: [dense(4, 'tanh'), dense(3)], loss: 'softmaxCrossEntropy' };
const regression: Net = { inputShape: [3], layers: [dense(4, 'swish'), dense(2)], loss: 'meanSquaredError' };

/** The loss of one sample from what the loaded model predicts, and the number of right answers. */
function judge({ loss }: Net, raw: Tensor, target: Float32Array, areLogits: boolean): number {
  const p = [...values(areLogits ? softmax(raw) : raw)];
  switch (loss) {
    case 'softmaxCrossEntropy':
      return -p.reduce((sum, value, j) => sum + target[j]! * Math.log(value), 0);
    case 'sigmoidCrossEntropy':
      return -p.reduce((sum, value, j) => sum + Math.log(target[j] === 1 ? value : 1 - value), 0) / p.length;
    case 'meanSquaredError':
      return p.reduce((sum, value, j) => sum + (value - target[j]!) ** 2, 0) / p.length;
  }
}

const exported = { mlp, lenet, everything, curves, binary, logits, regression, words, wholes };
const engines = ['tensorflow', ...providers] as const;

test.each(engines.flatMap((by) => Object.entries(exported).map(([name, net]) => [name, by, net] as const)))(
  'tfjs-layers loads the exported model and predicts what evaluate() computes (X1): %s by %s',
  async (name, by, net) => {
    const adam = { ...net, optimizer: { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } as const };
    const engine = by === 'tensorflow' ? await build(adam) : compiled(adam, by);
    for (let step = 0; step < 12; step += 1)
      engine.update(contribution(engine, batchFor(net, 12, step), step), 0.02, step);
    const exported = engine.exportModel();
    const model = await load(exported);
    const batch = batchFor(net, 10, 50);
    useBackend('wasm');
    const losses = tidy(() => {
      const rows = unstack(model.predict(tensor(batch.features, [10, ...net.inputShape])) as Tensor);
      return Array.from(rows, (row, i) => judge(net, row, slice(batch, i, i + 1).targets, name === 'logits'));
    }) as unknown as number[];
    const ours = losses.map((_, i) => engine.evaluate(slice(batch, i, i + 1)).lossSum);
    expect(distance(losses, ours)).toBeLessThan(1e-4);
    expect(new Set(ours).size).toBeGreaterThan(5);
    model.dispose();
  },
);

test('the exported topology reads back as the layers it was made of, also after tfjs-layers has written it', async () => {
  for (const net of [mlp, lenet, everything, curves, words, wholes]) {
    const exported = (await build(net)).exportModel();
    const expected = { kind: 'network', inputShape: net.inputShape, layers: net.layers };
    expect(parseTopology(exported.topology)).toEqual(expected);
    const rewritten = (await load(exported)).toJSON(undefined, true) as unknown as string;
    expect(parseTopology(rewritten)).toEqual(expected);
  }
});

test('createEngine() builds a network of kind "model" from its topology, with weights from the seed', async () => {
  const { createEngine } = await import('../../../container/engine/create.ts');
  const layers = await build(lenet);
  const plan = {
    name: 'x',
    seed: 5,
    network: {
      kind: 'model',
      inputShape: [8, 8, 1],
      outputShape: [5],
      uri: 'model.json',
      topologyKey: 'k',
      parameters: 0,
      stateParameters: 0,
    },
    training: { loss: 'softmaxCrossEntropy', optimizer: { kind: 'sgd', momentum: 0, nesterov: false } },
  } as const;
  const warn = () => {};
  const { topology } = layers.exportModel();
  expect((await createEngine(plan, { topology, warn })).parameters).toEqual(layers.parameters);
  await expect(createEngine(plan, { topology: '{}', warn })).rejects.toThrow(/no model found/);
  const wrongLoss = { ...plan, training: { ...plan.training, loss: 'sigmoidCrossEntropy' } } as const;
  await expect(createEngine(wrongLoss, { topology, warn })).rejects.toThrow(/sigmoid or linear/);
});
