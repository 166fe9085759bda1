/**
 * The convolution: image by image, its columns (kernels/convolution.ts) and a product. A large image goes in pieces of
 * whole rows, so that the columns stay in the cache.
 */
import type { LayerPlan } from '../../../core/plan.ts';
import { curve } from './pointwise.ts';
import type { Shard, Site, Step } from './step.ts';
import { paddingBefore } from './window.ts';

/** Values of the columns of one piece: 256 KiB. */
const pieceValues = 64 * 1024;

export function convolutionLayer(plan: Extract<LayerPlan, { kind: 'conv2d' }>, site: Site): Step {
  const { input, bench, shape, scratch } = site;
  const { kernels } = bench;
  const { product } = kernels;
  const [height, width, channels] = input.shape as readonly [number, number, number];
  const [outHeight, outWidth, filters] = shape as readonly [number, number, number];
  const [top, left] = ([0, 1] as const).map((axis) =>
    paddingBefore(axis, plan.kernelSize, plan, input.shape, shape),
  ) as [number, number];
  const [inPlaces, outPlaces] = [height * width, outHeight * outWidth];
  const depth = plan.kernelSize[0] * plan.kernelSize[1] * channels;
  const pieceRows = Math.min(outHeight, Math.max(1, Math.floor(pieceValues / (depth * outWidth))));
  // A window of one value that goes over every place: the columns are the image itself.
  const isPlain = [...plan.kernelSize, ...plan.strides].every((length) => length === 1);

  const z = site.next('planes', shape);
  const { output, forward, backward } = curve(plan.activation, z, site);
  const kernel = site.weight('kernel');
  const bias = plan.useBias ? site.weight('bias') : 0;
  const columns = site.columns(depth * pieceRows * outWidth);

  /** For each piece of each image: where its columns, its part of the output and the length of that are. */
  const pieces = (from: number, to: number, work: (sample: number, row: number, end: number) => void): void => {
    for (let sample = from; sample < to; sample += 1) {
      for (let row = 0; row < outHeight; row += pieceRows) work(sample, row, Math.min(outHeight, row + pieceRows));
    }
  };
  const image = (offset: number, sample: number): number => offset + sample * inPlaces * channels * 4;
  const toOrFromColumns = (method: 'imageToColumns' | 'columnsToImage', at: number, row: number, end: number): void => {
    const [x, out] = method === 'imageToColumns' ? [at, columns.offset] : [columns.offset, at];
    const [kernelHeight, kernelWidth] = plan.kernelSize;
    const [strideY, strideX] = plan.strides;
    const window = [kernelHeight, kernelWidth, strideY, strideX, top, left] as const;
    kernels[method](x, channels, height, width, ...window, outWidth, row, end, out);
  };
  /** The columns of a piece, and how far apart their rows are. */
  const columnsOf = (sample: number, row: number, end: number): { at: number; step: number } => {
    const at = image(input.block.offset, sample);
    if (isPlain) return { at: at + row * outWidth * 4, step: outPlaces };
    toOrFromColumns('imageToColumns', at, row, end);
    return { at: columns.offset, step: (end - row) * outWidth };
  };
  const outputAt = (offset: number, sample: number, row: number): number =>
    offset + (sample * outPlaces * filters + row * outWidth) * 4;

  return {
    output,
    forward: ({ samples }) => {
      pieces(0, samples, (sample, row, end) => {
        const { at, step } = columnsOf(sample, row, end);
        const to = outputAt(z.block.offset, sample, row);
        product(filters, (end - row) * outWidth, depth, kernel, 1, filters, at, step, 1, to, outPlaces, 0, scratch);
      });
      if (plan.useBias) kernels.biasPlanes(z.block.offset, bias, samples, filters, outPlaces);
      forward(samples);
    },
    backward: ({ samples }) => {
      backward(samples);
      if (!site.needsInput) return;
      if (!isPlain) kernels.fill(input.gradient.offset, samples * inPlaces * channels, 0);
      pieces(0, samples, (sample, row, end) => {
        const length = (end - row) * outWidth;
        const dz = outputAt(z.gradient.offset, sample, row);
        const dx = image(input.gradient.offset, sample);
        const [at, step] = isPlain ? [dx + row * outWidth * 4, outPlaces] : [columns.offset, length];
        product(depth, length, filters, kernel, filters, 1, dz, outPlaces, 1, at, step, 0, scratch);
        if (!isPlain) toOrFromColumns('columnsToImage', dx, row, end);
      });
    },
    gradients: {
      at: site.place('kernel'),
      length: (depth + (plan.useBias ? 1 : 0)) * filters,
      write: ({ from, to }: Shard, out) => {
        let goOn = 0;
        pieces(from, to, (sample, row, end) => {
          const { at, step } = columnsOf(sample, row, end);
          const dz = outputAt(z.gradient.offset, sample, row);
          const length = (end - row) * outWidth;
          product(depth, filters, length, at, step, 1, dz, 1, outPlaces, out, filters, goOn, scratch);
          goOn = 1;
        });
        const dz = outputAt(z.gradient.offset, from, 0);
        if (plan.useBias) kernels.sumPlanes(dz, to - from, filters, outPlaces, out + depth * filters * 4);
      },
    },
  };
}
