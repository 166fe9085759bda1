/** Names of layers, the flatten layer that is added, and what does not fit. Also the sizes that Fargate has. */
import { describe, expect, it } from 'vitest';
import type { LayerConfig } from '../../core/config/layers.ts';
import { isFargateSize, nearestSizes, smallestSize } from '../../core/fargate.ts';
import { nameLayers, resolveNetwork } from '../../core/layers.ts';
import type { Activation, DataShape } from '../../core/plan.ts';

const dense = (units: number, activation: Activation = 'linear', name?: string): LayerConfig => ({
  kind: 'dense',
  units,
  activation,
  useBias: true,
  ...(name === undefined ? {} : { name }),
});
const flatten: LayerConfig = { kind: 'flatten' };
const conv: LayerConfig = {
  kind: 'conv2d',
  filters: 2,
  kernelSize: [3, 3],
  strides: [1, 1],
  padding: 'valid',
  activation: 'relu',
  useBias: true,
};
const images: Pick<DataShape, 'inputShape' | 'outputs' | 'task'> = {
  inputShape: [8, 8, 1],
  outputs: 3,
  task: 'classification',
};

function messages(
  layers: readonly LayerConfig[],
  loss: 'softmaxCrossEntropy' | 'meanSquaredError' = 'softmaxCrossEntropy',
) {
  const resolved = resolveNetwork(layers, images, loss);
  return resolved.kind === 'invalid' ? resolved.problems.map(({ message, accepted }) => `${message}; ${accepted}`) : [];
}

describe('nameLayers()', () => {
  it('counts by kind and goes around names that are taken', () => {
    const named = nameLayers([dense(1), flatten, dense(2, 'linear', 'dense_2'), dense(3), dense(4, 'linear', 'out')]);
    expect(named.map(({ name }) => name)).toEqual(['dense_1', 'flatten_1', 'dense_2', 'dense_3', 'out']);
  });
});

describe('resolveNetwork()', () => {
  it('flattens images for a network that begins dense, and only then', () => {
    const names = (layers: readonly LayerConfig[], data = images) => {
      const resolved = resolveNetwork(layers, data, 'softmaxCrossEntropy');
      return resolved.kind === 'resolved' ? resolved.network.layers.map(({ name }) => name) : resolved.problems;
    };
    expect(names([dense(3)])).toEqual(['input_flatten', 'dense_1']);
    expect(names([dense(3, 'linear', 'input_flatten')])).toEqual(['input_flatten_', 'input_flatten']);
    expect(names([flatten, dense(3)])).toEqual(['flatten_1', 'dense_1']);
    expect(names([dense(3)], { ...images, inputShape: [5] })).toEqual(['dense_1']);
  });

  it('counts parameters', () => {
    const resolved = resolveNetwork([conv, flatten, dense(3)], images, 'softmaxCrossEntropy');
    expect(resolved).toMatchObject({ kind: 'resolved', network: { parameters: 9 * 2 + 2 + 6 * 6 * 2 * 3 + 3 } });
  });

  it.each<[string, readonly LayerConfig[], string]>([
    [
      'a dense layer on an image',
      [conv, dense(3)],
      'gets an input of shape 6 x 6 x 2; a flat input: write "- flatten"',
    ],
    ['an output that is an image', [conv], 'of shape 6 x 6 x 2, the data have 3 classes; "- flatten" and'],
    ['too few outputs', [dense(2)], 'has 2 output(s), the data have 3 classes; a last dense layer with units: 3'],
    [
      'a loss that needs another end',
      [dense(3, 'relu')],
      'does not fit a last layer with activation "relu"; "softmax" or',
    ],
    ['a window larger than the image', [conv, conv, conv, conv], 'is larger than its 2 x 2 input; a window of at most'],
    ['an image layer after flatten', [flatten, conv], 'gets an input of shape [64]; an image'],
  ])('refuses %s', (_, layers, expected) => {
    expect(messages(layers).join('\n')).toContain(expected);
  });

  it('takes logits or probabilities for a cross-entropy, and anything for the squared error', () => {
    expect(messages([dense(3)])).toEqual([]);
    expect(messages([dense(3, 'softmax')])).toEqual([]);
    expect(messages([dense(3), { kind: 'activation', activation: 'softmax' }])).toEqual([]);
    expect(messages([dense(3, 'tanh')], 'meanSquaredError')).toEqual([]);
  });
});

describe('Fargate sizes', () => {
  it.each([
    [256, 512, true],
    [256, 4096, false],
    [1024, 8192, true],
    [1024, 8193, false],
    [8192, 20_480, true],
    [8192, 18_432, false],
    [16_384, 122_880, true],
    [300, 512, false],
  ])('cpu %d with %d MiB: %s', (cpu, memoryMiB, exists) => {
    expect(isFargateSize({ cpu, memoryMiB })).toBe(exists);
  });

  it('the smallest that holds', () => {
    expect(smallestSize({ memoryMiB: 3000 })).toEqual({ cpu: 512, memoryMiB: 3072 });
    expect(smallestSize({ cpu: 1024, memoryMiB: 9000 })).toEqual({ cpu: 2048, memoryMiB: 9216 });
    expect(smallestSize({ memoryMiB: 200_000 })).toBeUndefined();
  });

  it('the nearest, in words', () => {
    expect(nearestSizes({ cpu: 1024, memoryMiB: 9000 })).toBe(
      'cpu 1024 with memoryMiB 8192, or cpu 2048 with memoryMiB 9216',
    );
    expect(nearestSizes({ memoryMiB: 700 })).toContain('memoryMiB');
  });
});
