import { expect, test } from 'vitest';
import type { Backend } from '../../../container/engine/backend.ts';
import type { Activation, LayerPlan } from '../../../core/plan.ts';
import {
  activation,
  batchFor,
  build,
  contribution,
  conv,
  dense,
  dropout,
  embedding,
  flatten,
  globalPool,
  type Net,
  norm,
  pool,
  reshape,
} from './support.ts';

const norm2 = (values: ArrayLike<number>): number => Math.hypot(...Array.from(values));

/** Central differences of the loss sum, weight by weight, against the gradient; the worst tensor counts. */
async function worstTensor(net: Net, backend: Backend): Promise<number> {
  const engine = await build(net, backend);
  const batch = batchFor(net, 4);
  // Zero biases and unit gammas hide mistakes.
  for (let i = 0; i < engine.layout.trainableLength; i += 1) engine.parameters[i]! += 0.1 * Math.sin(3 * i + 1);
  engine.parametersChanged();
  const analytic = contribution(engine, batch, 3, 1);
  // Small, because rectifiers and maxima have kinks; not smaller, because the loss is a float32.
  const epsilon = 1e-3;
  const lossAt = (index: number, value: number): number => {
    engine.parameters[index] = value;
    engine.parametersChanged();
    return contribution(engine, batch, 3, 1)[engine.layout.parameterLength]!;
  };
  let worst = 0;
  for (const { offset, length, trainable } of engine.layout.tensors) {
    if (!trainable) continue;
    // At most about two dozen weights a tensor, spread over it.
    const stride = Math.ceil(length / 24);
    const indices = Array.from({ length: Math.ceil(length / stride) }, (_, i) => offset + i * stride);
    const numeric = indices.map((index) => {
      const at = engine.parameters[index]!;
      const slope = (lossAt(index, at + epsilon) - lossAt(index, at - epsilon)) / (2 * epsilon);
      lossAt(index, at);
      return slope;
    });
    const found = indices.map((index) => analytic[index]!);
    // A bias in front of a normalisation has no gradient at all: what is left is noise, small beside the rest.
    const scale = Math.max(norm2(numeric), 0.05 * norm2(analytic.subarray(0, engine.layout.trainableLength)));
    worst = Math.max(worst, norm2(numeric.map((slope, i) => slope - found[i]!)) / scale);
  }
  engine.dispose();
  return worst;
}

const classifier = (inputShape: number[], ...layers: LayerPlan[]): Net => ({
  inputShape,
  layers: [...layers, dense(3, 'softmax', 'out')],
  loss: 'softmaxCrossEntropy',
});

const image = [5, 4, 2];
const cases: Record<string, Net> = {
  'dense without bias': classifier([4], { ...dense(5, 'tanh'), useBias: false } as LayerPlan),
  'dense over the last axis of an image': classifier(image, dense(3, 'tanh'), flatten),
  'conv2d same': classifier(image, conv(3, { activation: 'tanh' }), flatten),
  'conv2d valid, without bias': classifier(image, conv(3, { padding: 'valid', useBias: false }), flatten),
  'conv2d with stride 2': classifier(image, conv(2, { name: 'first' }), conv(3, { strides: [2, 2] }), flatten),
  'conv2d with uneven kernel and stride': classifier(
    image,
    conv(2, { name: 'first', activation: 'swish' }),
    conv(3, { kernelSize: [2, 3], strides: [2, 1], padding: 'valid' }),
    flatten,
  ),
  'conv2d with gaps between the windows': classifier(
    image,
    conv(2, { name: 'first', activation: 'tanh' }),
    conv(3, { kernelSize: [1, 2], strides: [2, 3] }),
    flatten,
  ),
  'two conv2d': classifier(image, conv(3, { name: 'first', activation: 'tanh' }), conv(2), flatten),
  maxPooling2d: classifier(image, conv(3), pool('maxPooling2d'), flatten),
  'maxPooling2d, overlapping, same': classifier(
    image,
    conv(3),
    pool('maxPooling2d', { poolSize: [3, 2], strides: [1, 1], padding: 'same' } as never),
    flatten,
  ),
  'maxPooling2d of single values': classifier(
    image,
    conv(3),
    pool('maxPooling2d', { poolSize: [1, 1], strides: [2, 3] } as never),
    flatten,
  ),
  averagePooling2d: classifier(image, conv(3), pool('averagePooling2d'), flatten),
  'averagePooling2d, overlapping, same': classifier(
    image,
    conv(3),
    pool('averagePooling2d', { poolSize: [2, 2], strides: [1, 2], padding: 'same' } as never),
    flatten,
  ),
  globalMaxPooling2d: classifier(image, conv(3), globalPool('globalMaxPooling2d')),
  globalAveragePooling2d: classifier(image, conv(3), globalPool('globalAveragePooling2d')),
  reshape: classifier(
    [24],
    dense(30, 'tanh', 'first'),
    reshape(5, 3, 2),
    conv(2),
    reshape(6, 5),
    dense(4, 'tanh'),
    flatten,
  ),
  embedding: classifier([5], embedding(6, 4), flatten, dense(5, 'tanh')),
  dropout: classifier([6], dense(8, 'tanh'), dropout(0.5)),
  'batchNormalization of rows': classifier([4], dense(6), norm, activation('tanh')),
  'batchNormalization of images': classifier(image, conv(3), norm, flatten),
  'batchNormalization first': classifier([4], norm),
  'activation layer last': {
    ...classifier([4], dense(5, 'tanh')),
    layers: [dense(5, 'tanh'), dense(3), activation('softmax')],
  },
  'softmaxCrossEntropy on logits': { ...classifier([4]), layers: [dense(3, 'linear')] },
  sigmoidCrossEntropy: {
    inputShape: [4],
    layers: [dense(5, 'tanh'), dense(1, 'sigmoid')],
    loss: 'sigmoidCrossEntropy',
  },
  'sigmoidCrossEntropy, several outputs': {
    inputShape: [4],
    layers: [dense(4, 'sigmoid')],
    loss: 'sigmoidCrossEntropy',
  },
  meanSquaredError: { inputShape: [4], layers: [dense(5, 'tanh'), dense(2)], loss: 'meanSquaredError' },
  'meanSquaredError below a softmax': { inputShape: [4], layers: [dense(3, 'softmax')], loss: 'meanSquaredError' },
};
const activations: Activation[] = [
  'relu',
  'relu6',
  'elu',
  'selu',
  'sigmoid',
  'hardSigmoid',
  'tanh',
  'softmax',
  'softplus',
  'softsign',
  'swish',
];
for (const of of activations) {
  cases[`dense with ${of}`] = classifier([4], dense(5, of));
  cases[`conv2d with ${of}`] = classifier([3, 3, 1], conv(2, { activation: of }), flatten);
  cases[`activation ${of}`] = classifier([4], dense(5), activation(of));
}

for (const backend of ['cpu', 'wasm'] as const) {
  test.each(Object.entries(cases))(`contribution() on ${backend} is the gradient of the loss: %s`, async (_, net) => {
    expect(await worstTensor(net, backend)).toBeLessThan(1e-2);
  });
}
