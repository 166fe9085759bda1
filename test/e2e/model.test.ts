/** The exported model is the trained one, for anybody who has TensorFlow.js and nothing of ours. */
import '@tensorflow/tfjs-backend-cpu';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { io, setBackend, type Tensor, tensor } from '@tensorflow/tfjs-core';
import { loadLayersModel } from '@tensorflow/tfjs-layers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatasets } from '../../cloud/embedded/datasets.ts';
import { loadDataset } from '../../container/data/load.ts';
import type { RunPlan } from '../../core/plan.ts';
import { Lab } from './harness.ts';

let lab: Lab;
beforeAll(async () => {
  lab = new Lab();
  await setBackend('cpu');
});
afterAll(() => lab.close());

const config = `version: 1
name: exported
data: {source: digits, samples: 960, testSamples: 200}
network:
  layers:
    - conv2d: {filters: 4, kernelSize: 5, strides: 2, activation: relu}
    - flatten
    - dropout: {rate: 0.1}
    - dense: {units: 10, activation: softmax}
training: {epochs: 2, batchSize: 64, optimizer: {kind: adam, learningRate: 0.01}}
cluster: {workers: 2}
`;

test('plain TensorFlow.js loads the model and predicts with the accuracy that the result tells', async () => {
  const result = await lab.train(lab.config('exported', config));
  const { artifacts, metrics } = result;
  const model = await loadLayersModel(fromFiles(artifacts.model!));
  const plan = JSON.parse(readFileSync(artifacts.plan!, 'utf8')) as RunPlan;
  const data = await loadDataset(plan, createDatasets({ bucketFolder: lab.folder }));
  const { size } = data.test;
  const batch = data.test.gather(
    Array.from({ length: size }, (_, i) => i),
    0,
    size,
  );
  const input = tensor(batch.features, [size, ...plan.shape.inputShape]);
  const scores = (model.predict(input) as Tensor).dataSync();
  let correct = 0;
  for (let i = 0; i < size; i++) {
    const best = (values: ArrayLike<number>) => {
      let at = 0;
      for (let k = 1; k < 10; k++) if (values[i * 10 + k]! > values[i * 10 + at]!) at = k;
      return at;
    };
    if (best(scores) === best(batch.targets)) correct += 1;
  }
  expect(metrics.accuracy).toBeGreaterThan(0.3);
  expect(correct / size).toBeCloseTo(metrics.accuracy!, 2);
}, 60_000);

/** What tfjs-node's file:// handler does, in plain TensorFlow.js. */
function fromFiles(path: string): io.IOHandler {
  const { modelTopology, weightsManifest, format } = JSON.parse(readFileSync(path, 'utf8')) as io.ModelJSON;
  const files = weightsManifest.flatMap((group) => group.paths.map((name) => readFileSync(join(dirname(path), name))));
  const weights = Buffer.concat(files);
  return io.fromMemory({
    modelTopology,
    ...(format === undefined ? {} : { format }),
    weightSpecs: weightsManifest.flatMap((group) => group.weights),
    weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength) as ArrayBuffer,
  });
}
