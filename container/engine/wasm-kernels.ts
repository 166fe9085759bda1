/**
 * Repairs the kernels of @tensorflow/tfjs-backend-wasm 4.22 that training needs, out of kernels it has. Forward passes
 * of the stock backend are fast, with one that is wrong; its gradients are slow or missing:
 *
 *   Conv2D, FusedConv2D         all zeros where a stride is larger than the window: a window filled up with zeros
 *   BatchMatMul, _FusedMatMul   a transposed operand falls to a scalar loop, 10 to 20 times slower: transpose first
 *   Conv2DBackpropFilter        missing: a convolution over transposed axes, batch and channels exchanged
 *   Conv2DBackpropInput         slow: at stride 1 it is a convolution of the padded gradient with the rotated filter
 *   UnsortedSegmentSum          missing: ScatterNd, which adds duplicates
 *
 * Invariants
 *  W1  Every repaired kernel agrees with the cpu backend (test/unit/engine/wasm-kernels.test.ts).
 *  W2  A kernel disposes of every tensor it made but the one it returns.
 *  W3  Repairing twice is the same as repairing once.
 */
import {
  type NamedAttrMap as Attributes,
  backend_util,
  backend as currentBackend,
  getKernel,
  type KernelConfig,
  type KernelFunc,
  registerKernel,
  type TensorInfo,
  unregisterKernel,
  util,
} from '@tensorflow/tfjs-core';

type Inputs = Readonly<Record<string, TensorInfo>>;
type Kernel = (inputs: Inputs, attributes: Attributes) => TensorInfo;
type Shape4 = [number, number, number, number];

interface Convolution {
  readonly strides: [number, number] | number;
  readonly pad: 'valid' | 'same' | number;
  readonly dataFormat: 'NHWC' | 'NCHW';
  readonly dimRoundingMode: 'floor' | 'round' | 'ceil';
}

const name = 'wasm';
let repaired = false;

/** Call once the wasm backend is the current one. */
export function repairWasmKernels(): void {
  if (repaired) return;
  repaired = true;
  for (const kernel of ['BatchMatMul', '_FusedMatMul']) replace(kernel, transposedProduct);
  for (const kernel of ['Conv2D', 'FusedConv2D']) replace(kernel, wideStrides);
  replace('Conv2DBackpropInput', convolutionInputGradient);
  replace('Conv2DBackpropFilter', () => convolutionFilterGradient);
  replace('UnsortedSegmentSum', () => segmentSum);
}

/** Registers a kernel that may fall back to the stock one; its set-up is kept, because the stock function needs it. */
function replace(kernel: string, make: (stock: Kernel) => Kernel): void {
  const config = getKernel(kernel, name) as KernelConfig | undefined;
  if (config) unregisterKernel(kernel, name);
  const stock: Kernel = (inputs, attributes) => call(config?.kernelFunc, inputs, attributes);
  const repair = make(stock);
  registerKernel({
    ...config,
    kernelName: kernel,
    backendName: name,
    kernelFunc: ({ inputs, attrs }) => repair(inputs as Inputs, attrs as unknown as Attributes),
  });
}

function call(kernel: KernelFunc | undefined, inputs: Inputs, attributes: Attributes): TensorInfo {
  if (kernel === undefined) throw new Error('the wasm backend has no such kernel');
  const out = kernel({ inputs: { ...inputs }, attrs: attributes as never, backend: currentBackend() });
  return Array.isArray(out) ? out[0]! : out;
}

function run(kernel: string, inputs: Inputs, attributes: Attributes): TensorInfo {
  return call(getKernel(kernel, name)?.kernelFunc, inputs, attributes);
}

function drop(...tensors: TensorInfo[]): void {
  for (const { dataId } of tensors) currentBackend().disposeData(dataId);
}

function transpose(x: TensorInfo, perm: number[]): TensorInfo {
  return run('Transpose', { x }, { perm });
}

function swapLastTwo(x: TensorInfo): TensorInfo {
  const rank = x.shape.length;
  const perm = [...Array(rank).keys()];
  perm[rank - 1] = rank - 2;
  perm[rank - 2] = rank - 1;
  return transpose(x, perm);
}

function transposedProduct(stock: Kernel): Kernel {
  return (inputs, attributes) => {
    const { transposeA, transposeB } = attributes;
    if (!transposeA && !transposeB) return stock(inputs, attributes);
    const a = transposeA ? swapLastTwo(inputs.a!) : inputs.a!;
    const b = transposeB ? swapLastTwo(inputs.b!) : inputs.b!;
    const out = stock({ ...inputs, a, b }, { ...attributes, transposeA: false, transposeB: false });
    if (transposeA) drop(a);
    if (transposeB) drop(b);
    return out;
  };
}

function convolution(x: readonly number[], filter: readonly number[], attributes: Convolution) {
  const { strides, pad, dimRoundingMode, dataFormat } = attributes;
  const format = dataFormat === 'NCHW' ? 'channelsFirst' : 'channelsLast';
  if (format === 'channelsFirst') throw new Error('the wasm backend computes convolutions with channels last only');
  return backend_util.computeConv2DInfo(x as Shape4, filter as Shape4, strides, 1, pad, dimRoundingMode, false, format);
}

function pad(x: TensorInfo, top: number, bottom: number, left: number, right: number): TensorInfo {
  const paddings: Attributes = {
    paddings: [
      [0, 0],
      [top, bottom],
      [left, right],
      [0, 0],
    ] as never,
    constantValue: 0,
  };
  return run('PadV2', { x }, paddings);
}

/** Weights of zero make the window as large as the stride; the image gets as many zeros as the last window needs. */
function wideStrides(stock: Kernel): Kernel {
  return (inputs, attributes) => {
    const { x, filter } = inputs as { x: TensorInfo; filter: TensorInfo };
    const [height, width] = filter.shape as Shape4;
    const { strides } = attributes as unknown as Convolution;
    const [down, across] = typeof strides === 'number' ? [strides, strides] : strides;
    const [high, wide] = [Math.max(height, down), Math.max(width, across)];
    if (high === height && wide === width) return stock(inputs, attributes);
    const info = convolution(x.shape, filter.shape, attributes as unknown as Convolution);
    const { top, left } = info.padInfo;
    const missing = (count: number, stride: number, window: number, before: number, length: number): number =>
      Math.max(0, (count - 1) * stride + window - before - length);
    const bottom = missing(info.outHeight, down, high, top, info.inHeight);
    const right = missing(info.outWidth, across, wide, left, info.inWidth);
    const image = pad(x, top, bottom, left, right);
    const paddings = [
      [0, high - height],
      [0, wide - width],
      [0, 0],
      [0, 0],
    ];
    const window = run('PadV2', { x: filter }, { paddings: paddings as never, constantValue: 0 });
    const out = stock({ ...inputs, x: image, filter: window }, { ...attributes, pad: 'valid' });
    drop(image, window);
    return out;
  };
}

/** Conv2D without padding and with stride 1. */
function correlate(x: TensorInfo, filter: TensorInfo, dilations: [number, number]): TensorInfo {
  return run('Conv2D', { x, filter }, { strides: [1, 1], pad: 'valid', dataFormat: 'NHWC', dilations });
}

/**
 * dW[h, w, i, o] = sum over samples and positions of x[n, y*s+h, x*s+w, i] * dy[n, y, x, o]: a correlation in which the
 * input channels are the batch, the samples are the channels, dy is the filter and the stride is its dilation.
 */
const convolutionFilterGradient: Kernel = ({ x, dy }, attributes) => {
  const filterShape = attributes.filterShape as unknown as Shape4;
  const info = convolution(x!.shape, filterShape, attributes as unknown as Convolution);
  const { top, bottom, left, right } = info.padInfo;
  const [height, width, inChannels, outChannels] = filterShape;
  const padded = top + bottom + left + right > 0 ? pad(x!, top, bottom, left, right) : x!;
  const images = transpose(padded, [3, 1, 2, 0]);
  const filter = transpose(dy!, [1, 2, 0, 3]);
  let gradient = correlate(images, filter, [info.strideHeight, info.strideWidth]);
  if (padded !== x) drop(padded);
  drop(images, filter);
  // Rows and columns of the input that no window reached make the result larger than the filter.
  if (gradient.shape[1] !== height || gradient.shape[2] !== width) {
    const whole = gradient;
    gradient = run('Slice', { x: whole }, { begin: [0, 0, 0, 0], size: [inChannels, height, width, outChannels] });
    drop(whole);
  }
  const out = transpose(gradient, [1, 2, 0, 3]);
  drop(gradient);
  return out;
};

function convolutionInputGradient(stock: Kernel): Kernel {
  return (inputs, attributes) => {
    const { dy, filter } = inputs;
    const inputShape = attributes.inputShape as unknown as Shape4;
    const info = convolution(inputShape, filter!.shape, attributes as unknown as Convolution);
    if (info.strideHeight !== 1 || info.strideWidth !== 1) return stock(inputs, attributes);
    const { top, bottom, left, right } = info.padInfo;
    const [height, width] = filter!.shape as Shape4;
    const rotated = run('Reverse', { x: filter! }, { dims: [0, 1] });
    const exchanged = transpose(rotated, [0, 1, 3, 2]);
    const padded = pad(dy!, height - 1 - top, height - 1 - bottom, width - 1 - left, width - 1 - right);
    const out = correlate(padded, exchanged, [1, 1]);
    drop(rotated, exchanged, padded);
    return out;
  };
}

const segmentSum: Kernel = ({ x, segmentIds }, attributes) => {
  const segments = attributes.numSegments as number;
  const count = util.sizeFromShape(segmentIds!.shape);
  const rest = x!.shape.slice(segmentIds!.shape.length);
  const width = util.sizeFromShape(rest);
  const indices = run('Reshape', { x: segmentIds! }, { shape: [count, 1] });
  const updates = run('Reshape', { x: x! }, { shape: [count, width] });
  const sum = run('ScatterNd', { indices, updates }, { shape: [segments, width] });
  const out = run('Reshape', { x: sum }, { shape: [segments, ...rest] });
  drop(indices, updates, sum);
  return out;
};
