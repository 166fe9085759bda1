/** The dense layer: a product over the last axis, a bias, an activation. */
import type { LayerPlan } from '../../../core/plan.ts';
import { curve } from './pointwise.ts';
import { runsOf } from './rows.ts';
import { channelsOf, mostShards, placesOf, type Shard, type Site, type Step, type Sums } from './step.ts';
import { waysOf } from './sums.ts';

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
  const ends = bench.fixed(mostShards);
  const forwardRuns = runsOf(bench, { rows: places, n: to, k: from, turned: false });
  const backwardRuns = runsOf(bench, { rows: places, n: from, k: to, turned: true });

  const writeSum: NonNullable<Sums['writeSum']> = (shards, out, rounded) => {
    const cuts = bench.ints(ends.offset, shards.length);
    const [{ from: first }] = shards as [Shard];
    for (const [i, shard] of shards.entries()) cuts[i] = (shard.to - first) * places;
    const x = input.block.offset + first * places * from * 4;
    const dz = z.gradient.offset + first * places * to * 4;
    const [parts, round] = [shards.length, rounded ? 1 : 0];
    return kernels.treeProduct(from, to, ends.offset, parts, x, 1, from, dz, to, 1, out, to, round, scratch) === 1;
  };
  const kernelGradient: Sums = {
    at: site.place('kernel'),
    length: from * to,
    row: to,
    write: (shard, out, first, until, onTop) => {
      const x = input.block.offset + (shard.from * places * from + first / to) * 4;
      const dz = z.gradient.offset + shard.from * places * to * 4;
      const [rows, k] = [(until - first) / to, (shard.to - shard.from) * places];
      product(rows, to, k, x, 1, from, dz, to, 1, out, to, onTop ? 1 : 0, scratch);
    },
    ...(bench.rowsAreAlone ? { writeSum } : { way: waysOf({ m: from, n: to, places }) }),
  };
  const biasGradient: Sums = {
    at: plan.useBias ? site.place('bias') : 0,
    length: to,
    write: (shard, out) =>
      kernels.sumRows(z.gradient.offset + shard.from * places * to * 4, (shard.to - shard.from) * places, to, out),
  };
  return {
    output,
    forward: (pass) => {
      for (const run of forwardRuns(pass)) {
        const [x, y] = [input.block.offset + run.from * places * from * 4, z.block.offset + run.from * places * to * 4];
        product((run.to - run.from) * places, to, from, x, from, 1, kernel, to, 1, y, to, 0, scratch);
      }
      if (plan.useBias) kernels.biasRows(z.block.offset, bias, pass.samples * places, to);
      forward(pass.samples);
    },
    backward: (pass) => {
      backward(pass.samples);
      if (!site.needsInput) return;
      for (const run of backwardRuns(pass)) {
        const dz = z.gradient.offset + run.from * places * to * 4;
        const dx = input.gradient.offset + run.from * places * from * 4;
        product((run.to - run.from) * places, from, to, dz, to, 1, kernel, 1, to, dx, from, 0, scratch);
      }
    },
    gradients: [kernelGradient, ...(plan.useBias ? [biasGradient] : [])],
  };
}
