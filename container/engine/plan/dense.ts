/** The dense layer: a product over the last axis, a bias, an activation. */
import type { LayerPlan } from '../../../core/plan.ts';
import { curve } from './pointwise.ts';
import { channelsOf, placesOf, type Site, type Step } from './step.ts';

export function denseLayer(plan: Extract<LayerPlan, { kind: 'dense' }>, site: Site): Step {
  const { input, bench, shape } = site;
  const { kernels } = bench;
  const places = placesOf(shape);
  const [from, to] = [channelsOf(input.shape), plan.units];
  const z = site.next('rows', shape);
  const { output, forward, backward } = curve(plan.activation, z, site);
  const kernel = site.weight('kernel');
  const bias = plan.useBias ? site.weight('bias') : 0;
  const { scratch } = site;
  const { product } = kernels;
  return {
    output,
    forward: ({ samples }) => {
      const rows = samples * places;
      product(rows, to, from, input.block.offset, from, 1, kernel, to, 1, z.block.offset, to, 0, scratch);
      if (plan.useBias) kernels.biasRows(z.block.offset, bias, rows, to);
      forward(samples);
    },
    backward: ({ samples }) => {
      backward(samples);
      if (!site.needsInput) return;
      const rows = samples * places;
      product(rows, from, to, z.gradient.offset, to, 1, kernel, 1, to, input.gradient.offset, from, 0, scratch);
    },
    gradients: {
      at: site.place('kernel'),
      length: (from + (plan.useBias ? 1 : 0)) * to,
      write: (shard, out) => {
        const rows = (shard.to - shard.from) * places;
        const x = input.block.offset + shard.from * places * from * 4;
        const dz = z.gradient.offset + shard.from * places * to * 4;
        product(from, to, rows, x, 1, from, dz, to, 1, out, to, 0, scratch);
        if (plan.useBias) kernels.sumRows(dz, rows, to, out + from * to * 4);
      },
    },
  };
}
