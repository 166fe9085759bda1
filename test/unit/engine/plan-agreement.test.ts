/** The plan compiler against TensorFlow.js: values and gradients, for every layer, loss and optimizer. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Activation, OptimizerPlan } from '../../../core/plan.ts';
import { providers, sideBySide, worstTensor } from './plan-support.ts';
import {
  activation,
  batchFor,
  contribution,
  conv,
  dense,
  distance,
  dropout,
  embedding,
  everything,
  flatten,
  globalPool,
  lenet,
  type Net,
  norm,
  pool,
  reshape,
  words,
} from './support.ts';

const tolerance = 3e-5;

async function expectAgreement(net: Net, provider: (typeof providers)[number], size: number): Promise<void> {
  const { ours, theirs } = await sideBySide(net, provider);
  const batch = batchFor(net, size, size);
  const found = contribution(ours, batch, 3, 1);
  const wanted = contribution(theirs, batch, 3, 1);
  expect(worstTensor(ours, found, wanted), 'gradients').toBeLessThan(tolerance);
  const tail = ours.layout.parameterLength;
  expect(distance([found[tail]!], [wanted[tail]!]), 'loss').toBeLessThan(tolerance);
  expect(found.slice(tail + 1)).toEqual(wanted.slice(tail + 1));
  const [mine, reference] = [ours.evaluate(batch), theirs.evaluate(batch)];
  expect(distance([mine.lossSum], [reference.lossSum]), 'evaluated loss').toBeLessThan(tolerance);
  expect({ ...mine, lossSum: 0 }).toEqual({ ...reference, lossSum: 0 });
  theirs.dispose();
}

const activations: Activation[] = [
  'linear',
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
const out = dense(3, 'softmax', 'out');
const classifier = (inputShape: number[], ...layers: Net['layers']): Net => ({
  inputShape,
  layers: [...layers, out],
  loss: 'softmaxCrossEntropy',
});
const optimizers: OptimizerPlan[] = [
  { kind: 'sgd', momentum: 0, nesterov: false },
  { kind: 'sgd', momentum: 0.9, nesterov: false },
  { kind: 'sgd', momentum: 0.9, nesterov: true },
  { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
  { kind: 'rmsprop', decay: 0.9, momentum: 0, epsilon: 1e-7 },
  { kind: 'rmsprop', decay: 0.9, momentum: 0.5, epsilon: 1e-7 },
  { kind: 'sgd', momentum: 0.9, nesterov: true, weightDecay: 0.1, clipNorm: 0.02 },
  { kind: 'sgd', momentum: 0, nesterov: false, clipNorm: 100 },
  { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0.05, clipValue: 0.01 },
];

const images = fc.tuple(
  fc.integer({ min: 1, max: 13 }),
  fc.integer({ min: 1, max: 13 }),
  fc.integer({ min: 1, max: 4 }),
);
const pair = (max: number) => fc.tuple(fc.integer({ min: 1, max }), fc.integer({ min: 1, max }));
const windows = fc.record({
  size: pair(5),
  strides: pair(3),
  padding: fc.constantFrom('valid' as const, 'same' as const),
});
type Window = { size: [number, number]; padding: 'valid' | 'same' };
const fits = (image: number[], { size, padding }: Window): boolean =>
  padding === 'same' || (size[0] <= image[0]! && size[1] <= image[1]!);

describe.each(providers)('%s', (provider) => {
  test.each(activations)('dense and activation layers with %s', async (of) => {
    await expectAgreement(classifier([5], dense(7, of, 'a'), dense(6, of, 'b')), provider, 9);
    await expectAgreement(classifier([5], dense(7, 'linear', 'a'), activation(of)), provider, 4);
    await expectAgreement(classifier([3, 4, 5], dense(6, of, 'a'), activation(of), flatten), provider, 3);
  });

  test('dense layers of any size, with and without bias', async () => {
    const shapes = fc.tuple(
      fc.integer({ min: 1, max: 40 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 0, maxLength: 3 }),
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
    );
    await fc.assert(
      fc.asyncProperty(shapes, async ([width, hidden, size, useBias]) => {
        const layers = hidden.map(
          (units, i) => ({ ...dense(units, 'tanh', `d${i}`), useBias }) as Net['layers'][number],
        );
        await expectAgreement(classifier([width], ...layers), provider, size);
      }),
      { numRuns: 15 },
    );
  });

  test('convolutions of any shape', async () => {
    await fc.assert(
      fc.asyncProperty(
        images,
        windows,
        fc.integer({ min: 1, max: 9 }),
        fc.boolean(),
        async (image, window, filters, b) => {
          fc.pre(fits(image, window));
          const { size: kernelSize, strides, padding } = window;
          const layer = conv(filters, { kernelSize, strides, padding, useBias: b, activation: 'tanh' });
          const behind = conv(3, { name: 'first', activation: 'swish' });
          await expectAgreement(classifier(image, layer, flatten), provider, 3);
          await expectAgreement(
            classifier(image, behind, conv(filters, { ...layer, strides: [1, 1], padding: 'same' }), flatten),
            provider,
            2,
          );
          await expectAgreement(classifier(image, conv(image[2]!, { name: 'first' }), layer, flatten), provider, 2);
        },
      ),
      { numRuns: 20 },
    );
  });

  test.each(activations)('convolutions with %s', async (of) => {
    await expectAgreement(classifier([5, 6, 2], conv(4, { activation: of }), activation(of), flatten), provider, 4);
  });

  test('convolutions that are taken in pieces', async () => {
    const wide = conv(5, { name: 'wide', kernelSize: [5, 5], activation: 'relu' });
    const large = conv(4, { strides: [2, 1], padding: 'valid' });
    const small = pool('averagePooling2d', { poolSize: [16, 16], strides: [16, 16] } as never);
    await expectAgreement(classifier([96, 80, 4], wide, large, small, flatten), provider, 2);
  });

  test('pooling of any shape', async () => {
    await fc.assert(
      fc.asyncProperty(images, windows, fc.boolean(), async (image, window, isMax) => {
        fc.pre(fits(image, window));
        const { size: poolSize, strides, padding } = window;
        const layer = pool(isMax ? 'maxPooling2d' : 'averagePooling2d', { poolSize, strides, padding } as never);
        await expectAgreement(classifier(image, conv(3), layer, flatten), provider, 3);
        await expectAgreement(classifier(image, layer, conv(3, { activation: 'relu' }), flatten), provider, 3);
      }),
      { numRuns: 20 },
    );
  });

  test('global pooling of any shape', async () => {
    await fc.assert(
      fc.asyncProperty(images, fc.boolean(), async (image, isMax) => {
        const layer = globalPool(isMax ? 'globalMaxPooling2d' : 'globalAveragePooling2d');
        await expectAgreement(classifier(image, conv(3), layer), provider, 3);
        await expectAgreement(classifier(image, conv(5, { activation: 'tanh' }), layer, dense(4, 'tanh')), provider, 3);
      }),
      { numRuns: 10 },
    );
  });

  test('reshaping and embeddings', async () => {
    const between = [dense(30, 'tanh', 'a'), reshape(5, 3, 2), conv(4), reshape(6, 10), dense(3, 'tanh', 'b'), flatten];
    await expectAgreement(classifier([8], ...between), provider, 7);
    await expectAgreement(words, provider, 9);
    await fc.assert(
      fc.asyncProperty(pair(9), fc.integer({ min: 1, max: 9 }), async ([rows, width], length) => {
        await expectAgreement(
          classifier([length], embedding(rows, width), flatten, dense(3, 'tanh', 'a')),
          provider,
          6,
        );
      }),
      { numRuns: 10 },
    );
  });

  test('batch normalisation', async () => {
    await expectAgreement(classifier([5], norm, dense(7, 'tanh', 'a')), provider, 9);
    await expectAgreement(classifier([5], dense(7, 'tanh', 'a'), norm, activation('relu')), provider, 9);
    await expectAgreement(classifier([5, 4, 3], norm, conv(4), flatten), provider, 6);
    await expectAgreement(classifier([5, 4, 3], conv(4), norm, activation('relu'), flatten), provider, 6);
    await expectAgreement(
      classifier([5, 4, 3], conv(4), pool('maxPooling2d'), norm, dropout(0.3), flatten),
      provider,
      6,
    );
    await expectAgreement(classifier([5, 4, 3], dense(4, 'tanh', 'a'), norm, flatten), provider, 6);
  });

  test('whole networks', async () => {
    for (const net of [lenet, everything]) await expectAgreement(net, provider, 8);
    const image: Net = { inputShape: [6, 5, 2], layers: [conv(3)], loss: 'meanSquaredError' };
    await expectAgreement(image, provider, 3);
  });

  test('losses', async () => {
    for (const [loss, last] of [
      ['softmaxCrossEntropy', dense(4, 'softmax')],
      ['softmaxCrossEntropy', dense(4, 'linear')],
      ['sigmoidCrossEntropy', dense(1, 'sigmoid')],
      ['sigmoidCrossEntropy', dense(1, 'linear')],
      ['sigmoidCrossEntropy', dense(5, 'sigmoid')],
      ['meanSquaredError', dense(1, 'linear')],
      ['meanSquaredError', dense(3, 'softmax')],
      ['meanSquaredError', dense(3, 'swish')],
    ] as const) {
      await expectAgreement({ inputShape: [6], layers: [dense(8, 'tanh', 'a'), last], loss }, provider, 7);
    }
  });

  test('dropout takes the same values as TensorFlow.js does', async () => {
    for (const rate of [0, 0.1, 0.5, 0.93]) {
      await expectAgreement(
        classifier([11], dense(13, 'tanh', 'a'), dropout(rate), dense(5, 'relu', 'b')),
        provider,
        7,
      );
      await expectAgreement(classifier([3, 4, 5], dropout(rate), dense(5, 'relu', 'b'), flatten), provider, 3);
    }
  });

  test.each(optimizers)('optimizer %j', async (optimizer) => {
    const net: Net = { ...classifier([7], dense(9, 'tanh', 'a')), optimizer };
    const { ours, theirs } = await sideBySide(net, provider);
    for (let step = 0; step < 6; step += 1) {
      const reduced = contribution(theirs, batchFor(net, 6, step), step);
      ours.update(reduced, 0.03, step);
      theirs.update(reduced, 0.03, step);
      expect(distance(ours.parameters, theirs.parameters)).toBeLessThan(1e-6);
      expect(distance(ours.slots, theirs.slots)).toBeLessThan(1e-6);
    }
  });
});
