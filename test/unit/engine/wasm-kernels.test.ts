import { engine, matMul, type NamedAttrMap, type Tensor, tensor, tidy } from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { startBackend, useBackend } from '../../../container/engine/backend.ts';
import { repairWasmKernels } from '../../../container/engine/wasm-kernels.ts';
import { keyed } from '../../../core/random.ts';

beforeAll(async () => {
  await startBackend('cpu', () => {});
  await startBackend('wasm', () => {});
});

function random(shape: number[], seed: number): Tensor {
  const stream = keyed(seed, 1);
  return tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => stream.normal()),
    shape,
  );
}

/** The same computation on both backends; the largest difference, and that no tensor of the kernel stays. */
function compare(compute: () => Tensor): number {
  const on = (backend: 'cpu' | 'wasm'): Float32Array => {
    useBackend(backend);
    const before = engine().memory().numDataBuffers;
    const result = tidy(() => compute().dataSync()) as unknown as Float32Array;
    expect(engine().memory().numDataBuffers).toBe(before);
    return result.slice();
  };
  const [cpu, wasm] = [on('cpu'), on('wasm')];
  expect(wasm.length).toBe(cpu.length);
  return cpu.reduce((worst, value, i) => Math.max(worst, Math.abs(value - wasm[i]!)), 0);
}

const run = (name: string, inputs: Record<string, Tensor>, attributes: object): Tensor =>
  engine().runKernel(name, inputs, attributes as NamedAttrMap) as Tensor;

test.each([
  [[5, 7], [7, 3], false, false],
  [[7, 5], [7, 3], true, false],
  [[5, 7], [3, 7], false, true],
  [[7, 5], [3, 7], true, true],
  [[4, 7, 5], [4, 7, 3], true, false],
  [[2, 2, 5, 7], [2, 2, 3, 7], false, true],
  [[1, 7, 5], [4, 3, 7], true, true],
])('product of %j and %j, transposed %s and %s', (a, b, transposeA, transposeB) => {
  expect(compare(() => matMul(random(a, 1), random(b, 2), transposeA, transposeB))).toBeLessThan(1e-5);
});

test('fused product with transposed operands, bias and activation', () => {
  const attributes = { transposeA: true, transposeB: true, activation: 'relu', leakyreluAlpha: 0.2 };
  const inputs = () => ({ a: random([1, 7, 5], 1), b: random([1, 3, 7], 2), bias: random([3], 3) });
  expect(compare(() => run('_FusedMatMul', inputs(), attributes))).toBeLessThan(1e-5);
});

const convolutions = [
  { x: [2, 6, 5, 3], filter: [3, 3, 3, 4], strides: [1, 1], pad: 'same', y: [2, 6, 5, 4] },
  { x: [2, 6, 5, 3], filter: [3, 2, 3, 4], strides: [1, 1], pad: 'valid', y: [2, 4, 4, 4] },
  { x: [3, 7, 8, 1], filter: [5, 5, 1, 2], strides: [2, 2], pad: 'same', y: [3, 4, 4, 2] },
  // The last row and column are reached by no window: the composed gradient is larger and is cut.
  { x: [2, 8, 8, 2], filter: [3, 3, 2, 2], strides: [2, 2], pad: 'valid', y: [2, 3, 3, 2] },
  { x: [1, 9, 6, 2], filter: [2, 3, 2, 5], strides: [3, 1], pad: 'valid', y: [1, 3, 4, 5] },
  { x: [2, 4, 4, 3], filter: [1, 1, 3, 2], strides: [1, 1], pad: 'same', y: [2, 4, 4, 2] },
  { x: [1, 3, 3, 2], filter: [4, 4, 2, 2], strides: [1, 1], pad: 'same', y: [1, 3, 3, 2] },
  // Windows with gaps between them, at the edges too.
  { x: [2, 7, 8, 3], filter: [1, 1, 3, 4], strides: [2, 2], pad: 'valid', y: [2, 4, 4, 4] },
  { x: [2, 7, 8, 3], filter: [1, 2, 3, 4], strides: [3, 5], pad: 'same', y: [2, 3, 2, 4] },
  { x: [1, 9, 4, 2], filter: [2, 3, 2, 2], strides: [4, 1], pad: 'valid', y: [1, 2, 2, 2] },
] as const;

test.each(convolutions)('the convolution %j, plain and with bias and activation', ({ x, filter, strides, pad, y }) => {
  const attributes = { strides, pad, dataFormat: 'NHWC', dilations: [1, 1], dimRoundingMode: null };
  const inputs = () => ({ x: random([...x], 1), filter: random([...filter], 2) });
  expect(run('Conv2D', inputs(), attributes).shape).toEqual(y);
  expect(compare(() => run('Conv2D', inputs(), attributes))).toBeLessThan(2e-5);
  const fused = () => ({ ...inputs(), bias: random([filter[3]], 4) });
  expect(compare(() => run('FusedConv2D', fused(), { ...attributes, activation: 'relu' }))).toBeLessThan(2e-5);
});

test.each(convolutions)('gradients of the convolution %j', ({ x, filter, strides, pad, y }) => {
  const attributes = { strides, pad, dataFormat: 'NHWC', dimRoundingMode: null };
  const dy = () => random([...y], 3);
  const byFilter = () =>
    run('Conv2DBackpropFilter', { x: random([...x], 1), dy: dy() }, { ...attributes, filterShape: filter });
  const byInput = () =>
    run('Conv2DBackpropInput', { dy: dy(), filter: random([...filter], 2) }, { ...attributes, inputShape: x });
  expect(compare(byFilter)).toBeLessThan(2e-5);
  expect(compare(byInput)).toBeLessThan(2e-5);
});

test('a segment sum, the gradient of a lookup, adds up what was looked up twice', () => {
  const inputs = () => ({ x: random([4, 2, 3], 1), segmentIds: tensor([3, 0, 3, 1], [4], 'int32') });
  expect(compare(() => run('UnsortedSegmentSum', inputs(), { numSegments: 5 }))).toBeLessThan(1e-6);
});

test('repairing twice is repairing once (W3)', () => {
  repairWasmKernels();
  expect(compare(() => matMul(random([7, 5], 1), random([7, 3], 2), true, false))).toBeLessThan(1e-5);
});
