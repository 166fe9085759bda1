import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { initialise } from '../../../container/engine/initial.ts';
import { inferNetwork } from '../../../core/network.ts';
import { activation, conv, dense, everything, mlp, type Net, norm } from './support.ts';

function weights(net: Net, seed: number): Record<string, Float32Array> {
  const shape = inferNetwork(net.inputShape, net.layers);
  if (shape.kind === 'invalid') throw new Error('does not fit');
  const out = new Float32Array(shape.parameters + shape.stateParameters);
  initialise(out, shape.tensors, net.layers, seed);
  let offset = 0;
  return Object.fromEntries(
    shape.tensors.map(({ name, shape }) => {
      const length = shape.reduce((a, b) => a * b, 1);
      offset += length;
      return [name, out.slice(offset - length, offset)];
    }),
  );
}

const largest = (values: Float32Array | undefined) =>
  values!.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

test('initialise() has a known answer: every worker of a run must start from these bits', () => {
  const digest = createHash('sha256');
  for (const values of Object.values(weights(everything, 17))) digest.update(values);
  expect(digest.digest('hex')).toMatchInlineSnapshot(
    `"ef6bc2d4346178512029a9c1115789926883e77f91c8bbe26633c57020216693"`,
  );
});

test('kernels are uniform within heUniform or glorotUniform, by the activation they feed', () => {
  const net: Net = {
    inputShape: [60],
    layers: [
      dense(90, 'relu', 'he'),
      dense(50, 'tanh', 'glorot'),
      dense(80, 'linear', 'late'),
      norm,
      activation('relu'),
    ],
    loss: 'meanSquaredError',
  };
  const found = weights(net, 1);
  const limits = { he: Math.sqrt(6 / 60), glorot: Math.sqrt(6 / (90 + 50)), late: Math.sqrt(6 / 50) };
  for (const [name, limit] of Object.entries(limits)) {
    expect(largest(found[`${name}/kernel`])).toBeLessThanOrEqual(limit * (1 + 1e-6));
    expect(largest(found[`${name}/kernel`])).toBeGreaterThan(0.98 * limit);
  }
  const image = weights({ ...net, inputShape: [8, 8, 3], layers: [conv(40, { activation: 'relu' })] }, 1);
  expect(largest(image['conv_40/kernel'])).toBeLessThanOrEqual(Math.sqrt(6 / 27) * (1 + 1e-6));
});

test('biases, betas and moving means start at 0, gammas and moving variances at 1; seeds and layers differ', () => {
  const found = weights(everything, 3);
  for (const [name, value] of [
    ['norm/gamma', 1],
    ['norm/beta', 0],
    ['norm/moving_mean', 0],
    ['norm/moving_variance', 1],
    ['dense_4/bias', 0],
  ] as const) {
    expect(new Set(found[name])).toEqual(new Set([value]));
  }
  expect(weights(mlp, 1)['a/kernel']).not.toEqual(weights(mlp, 2)['a/kernel']);
  const twice: Net = {
    inputShape: [4],
    layers: [dense(4, 'relu', 'x'), dense(4, 'relu', 'y')],
    loss: 'meanSquaredError',
  };
  expect(weights(twice, 1)['x/kernel']).not.toEqual(weights(twice, 1)['y/kernel']);
});
