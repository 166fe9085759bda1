/** The embedding layer: rows of a table, chosen by the numbers that come in. It is the first layer, so nothing is behind it. */
import { size } from '../../../core/network.ts';
import type { LayerPlan } from '../../../core/plan.ts';
import type { Site, Step } from './step.ts';

export function embeddingLayer(plan: Extract<LayerPlan, { kind: 'embedding' }>, site: Site): Step {
  const { input, bench } = site;
  const { kernels } = bench;
  const table = site.weight('embeddings');
  const [rows, width] = [plan.inputDim, plan.outputDim];
  const places = size(input.shape);
  const output = site.next('rows', site.shape);
  return {
    output,
    forward: ({ samples }) =>
      kernels.embed(input.block.offset, samples * places, table, rows, width, output.block.offset),
    backward: () => {},
    gradients: [
      {
        at: site.place('embeddings'),
        length: rows * width,
        write: ({ from, to }, out) => {
          const ids = input.block.offset + from * places * 4;
          const dy = output.gradient.offset + from * places * width * 4;
          kernels.embedGradient(ids, (to - from) * places, dy, rows, width, out);
        },
      },
    ],
  };
}
