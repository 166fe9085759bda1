import { expect, test } from 'vitest';
import { inferNetwork } from '../../core/network.ts';
import type { LayerPlan } from '../../core/plan.ts';
import { conv, dense, embedding, everything, flatten, globalPool, pool, reshape } from './engine/support.ts';

test('inferNetwork() counts the parameters of the usual networks', () => {
  const mlp = inferNetwork([784], [dense(128, 'relu', 'a'), dense(128, 'relu', 'b'), dense(10, 'softmax')]);
  expect(mlp).toMatchObject({
    outputShape: [10],
    parameters: 784 * 128 + 128 + 128 * 128 + 128 + 1290,
    stateParameters: 0,
  });
  expect(inferNetwork([6, 6, 2], everything.layers)).toMatchObject({
    shapes: [[3, 6, 4], [3, 6, 4], [3, 6, 4], [2, 5, 4], [40], [40], [4]],
    parameters: 72 + 8 + 160 + 4,
    stateParameters: 8,
  });
});

test('inferNetwork() lays windows as TensorFlow does', () => {
  const shapes = (height: number, padding: 'valid' | 'same', kernel: number, stride: number) => {
    const shape = inferNetwork([height, 9, 1], [conv(1, { padding, kernelSize: [kernel, 1], strides: [stride, 1] })]);
    return shape.kind === 'network' ? shape.outputShape[0] : undefined;
  };
  expect([
    shapes(7, 'valid', 3, 2),
    shapes(8, 'valid', 3, 2),
    shapes(7, 'same', 3, 2),
    shapes(8, 'same', 3, 3),
  ]).toEqual([3, 3, 4, 3]);
});

test('inferNetwork() says which layer does not fit, and what would', () => {
  expect(inferNetwork([784], [dense(5), conv(3)])).toEqual({
    kind: 'invalid',
    problems: [
      {
        layer: 1,
        kind: 'misfit',
        message: 'layer "conv_3" gets an input of shape [5]',
        accepted: 'an image of shape [height, width, channels]',
      },
    ],
  });
  expect(inferNetwork([4, 4, 1], [pool('maxPooling2d', { poolSize: [5, 2] } as never), flatten])).toMatchObject({
    kind: 'invalid',
    problems: [{ layer: 0, message: 'the 5 x 2 window of layer "pool" is larger than its 4 x 4 input' }],
  });
  const told = (inputShape: number[], ...layers: LayerPlan[]) => {
    const shape = inferNetwork(inputShape, layers);
    return shape.kind === 'invalid' ? shape.problems.map(({ message, accepted }) => `${message}: ${accepted}`) : [];
  };
  expect(told([12], reshape(5, 2))).toEqual([
    'layer "reshape" cannot make [5, 2] with 10 values of [12] with 12 values: a targetShape with 12 values',
  ]);
  expect(told([12], globalPool('globalMaxPooling2d'))).toEqual([
    'layer "global_pool" gets an input of shape [12]: an image of shape [height, width, channels]',
  ]);
  const accepted = 'an embedding as the first layer, over a row of whole numbers';
  expect(told([12], dense(4), embedding(9, 2))).toEqual([
    `embedding layer "embedding" comes after another layer: ${accepted}`,
  ]);
  expect(told([3, 4, 1], embedding(9, 2))).toEqual([
    `embedding layer "embedding" gets an input of shape [3, 4, 1]: ${accepted}`,
  ]);
});
