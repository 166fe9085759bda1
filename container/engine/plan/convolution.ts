/**
 * The convolution layer: bias and activation around one of two ways to convolve, chosen by the shapes alone so that it is
 * the same everywhere. Strides of one over rows of four places or more go directly, the rest by columns; everything by
 * columns where products are not our own, whose tile is what makes the direct way fast.
 */
import type { LayerPlan } from '../../../core/plan.ts';
import { byColumns } from './columns.ts';
import { directly } from './direct.ts';
import { curve } from './pointwise.ts';
import type { Site, Step, Sums, Value } from './step.ts';
import { paddingBefore } from './window.ts';

/** What both ways need to know of the layer. */
export interface Convolution {
  readonly site: Site;
  /** Before bias and activation. */
  readonly z: Value;
  readonly kernel: number;
  readonly size: readonly [number, number];
  readonly strides: readonly [number, number];
  /** Rows and columns of zeros before the image. */
  readonly padding: readonly [number, number];
  readonly input: { readonly height: number; readonly width: number; readonly channels: number };
  readonly output: { readonly height: number; readonly width: number; readonly filters: number };
  /** Weights of one filter. */
  readonly depth: number;
}

export interface Way {
  forward(samples: number): void;
  /** From the gradient of `z` to that of the input. */
  backward(samples: number): void;
  /** The gradient of the kernel for samples [from, to), to the byte offset `out`. */
  gradient(from: number, to: number, out: number): void;
}

export function convolutionLayer(plan: Extract<LayerPlan, { kind: 'conv2d' }>, site: Site): Step {
  const { kernels } = site.bench;
  const [height, width, channels] = site.input.shape as readonly [number, number, number];
  const [outHeight, outWidth, filters] = site.shape as readonly [number, number, number];
  const z = site.next('planes', site.shape);
  const { output, forward, backward } = curve(plan.activation, z, site);
  const before = (axis: 0 | 1) => paddingBefore(axis, plan.kernelSize, plan, site.input.shape, site.shape);
  const convolution: Convolution = {
    site,
    z,
    kernel: site.weight('kernel'),
    size: plan.kernelSize,
    strides: plan.strides,
    padding: [before(0), before(1)],
    input: { height, width, channels },
    output: { height: outHeight, width: outWidth, filters },
    depth: plan.kernelSize[0] * plan.kernelSize[1] * channels,
  };
  const isDirect =
    site.bench.rowsAreAlone && plan.strides.every((stride) => stride === 1) && width >= 4 && outWidth >= 4;
  const way = (isDirect ? directly : byColumns)(convolution);
  const bias = plan.useBias ? site.weight('bias') : 0;
  const places = outHeight * outWidth;
  const biasGradient: Sums = {
    at: plan.useBias ? site.place('bias') : 0,
    length: filters,
    write: ({ from, to }, out) =>
      kernels.sumPlanes(z.gradient.offset + from * places * filters * 4, to - from, filters, places, out),
  };
  return {
    output,
    forward: ({ samples }) => {
      way.forward(samples);
      if (plan.useBias) kernels.biasPlanes(z.block.offset, bias, samples, filters, places);
      forward(samples);
    },
    backward: ({ samples }) => {
      backward(samples);
      if (site.needsInput) way.backward(samples);
    },
    gradients: [
      {
        at: site.place('kernel'),
        length: convolution.depth * filters,
        write: ({ from, to }, out) => way.gradient(from, to, out),
      },
      ...(plan.useBias ? [biasGradient] : []),
    ],
  };
}
