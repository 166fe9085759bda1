/** Max and average pooling of planes, by windows or whole. */
import type { LayerPlan } from '../../../core/plan.ts';
import type { PoolArguments } from './exports.ts';
import type { Site, Step } from './step.ts';
import { paddingBefore } from './window.ts';

export function poolingLayer(
  plan: Extract<LayerPlan, { kind: 'maxPooling2d' | 'averagePooling2d' }>,
  { input, bench, shape, next, needsInput }: Site,
): Step {
  const { kernels } = bench;
  const [height, width, channels] = input.shape as readonly [number, number, number];
  const [outHeight, outWidth] = shape as readonly [number, number, number];
  const top = paddingBefore(0, plan.poolSize, plan, input.shape, shape);
  const left = paddingBefore(1, plan.poolSize, plan, input.shape, shape);
  const output = next('planes', shape);
  const over = (offset: number, samples: number): PoolArguments => [
    offset,
    samples * channels,
    height,
    width,
    ...plan.poolSize,
    ...plan.strides,
    top,
    left,
    outHeight,
    outWidth,
  ];
  if (plan.kind === 'averagePooling2d') {
    return {
      output,
      forward: ({ samples }) => kernels.averagePool(...over(input.block.offset, samples), output.block.offset),
      backward: ({ samples }) => {
        if (needsInput) kernels.averagePoolGradient(...over(output.gradient.offset, samples), input.gradient.offset);
      },
    };
  }
  const places = bench.perSample(output.block.length);
  return {
    output,
    forward: ({ samples }) => kernels.maxPool(...over(input.block.offset, samples), output.block.offset, places.offset),
    backward: ({ samples }) => {
      if (!needsInput) return;
      const [inside, outside] = [height * width, outHeight * outWidth];
      const { offset } = output.gradient;
      kernels.maxPoolGradient(offset, places.offset, samples * channels, inside, outside, input.gradient.offset);
    },
  };
}

/** One window over the whole plane. */
export function globalPoolingLayer(
  { kind, name }: Extract<LayerPlan, { kind: 'globalMaxPooling2d' | 'globalAveragePooling2d' }>,
  site: Site,
): Step {
  const [height, width, channels] = site.input.shape as readonly [number, number, number];
  const whole = [height, width] as const;
  const windows = kind === 'globalMaxPooling2d' ? 'maxPooling2d' : 'averagePooling2d';
  const plan = { kind: windows, name, poolSize: whole, strides: whole, padding: 'valid' } as const;
  const step = poolingLayer(plan, { ...site, shape: [1, 1, channels] });
  // One value a channel lies the same in rows.
  return { ...step, output: { ...step.output, shape: site.shape, form: 'rows' } };
}
