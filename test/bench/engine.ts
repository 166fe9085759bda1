/**
 * What the engines cost by themselves, without wire and workflow: products of matrices, and whole training steps of a few
 * networks in eight shards. All engines take turns.
 */
import { createEngine } from '../../container/engine/create.ts';
import { probe } from '../../container/engine/plan/kernels.ts';
import type { KeyedBatch } from '../../container/engine/port.ts';
import { TreeSum } from '../../core/gang/tree-sum.ts';
import { inferNetwork } from '../../core/network.ts';
import type { EnginePlan, LayerPlan } from '../../core/plan.ts';
import { keyed } from '../../core/random.ts';
import { rates } from './products.ts';
import { type Runner, takeTurns } from './turns.ts';

const dense = (name: string, units: number, activation: 'relu' | 'softmax'): LayerPlan => ({
  kind: 'dense',
  name,
  units,
  activation,
  useBias: true,
});
const conv = (name: string, filters: number, size: number, padding: 'same' | 'valid'): LayerPlan => ({
  kind: 'conv2d',
  name,
  filters,
  kernelSize: [size, size],
  strides: [1, 1],
  padding,
  activation: 'relu',
  useBias: true,
});
const pool = (name: string): LayerPlan => ({
  kind: 'maxPooling2d',
  name,
  poolSize: [2, 2],
  strides: [2, 2],
  padding: 'valid',
});
const flatten: LayerPlan = { kind: 'flatten', name: 'flatten' };

const nets = {
  'MLP 784-128-128-10': {
    inputShape: [784],
    batch: 128,
    layers: [dense('a', 128, 'relu'), dense('b', 128, 'relu'), dense('c', 10, 'softmax')],
  },
  LeNet: {
    inputShape: [28, 28, 1],
    batch: 64,
    layers: [
      conv('a', 6, 5, 'same'),
      pool('b'),
      conv('c', 16, 5, 'valid'),
      pool('d'),
      flatten,
      dense('e', 120, 'relu'),
      dense('f', 84, 'relu'),
      dense('g', 10, 'softmax'),
    ],
  },
} as const;

interface Line {
  readonly what: string;
  readonly engine: string;
  readonly unit: string;
  readonly median: number;
  readonly fast: number;
}

/** As many as a batch has by default. */
const shards = 8;

function shardsOf(inputShape: readonly number[], batch: number): KeyedBatch[] {
  const random = keyed(2, batch);
  const width = inputShape.reduce((product, length) => product * length, 1);
  const size = batch / shards;
  return Array.from({ length: shards }, (_, shard) => {
    const targets = new Float32Array(10 * size);
    for (let i = 0; i < size; i += 1) targets[i * 10 + Math.floor(random.next() * 10)] = 1;
    const features = Float32Array.from({ length: width * size }, () => random.normal());
    return { batch: { size, features, targets }, key: { step: 0, shard } };
  });
}

async function steps(): Promise<Line[]> {
  const lines: Line[] = [];
  for (const [what, { inputShape, batch, layers }] of Object.entries(nets)) {
    const shape = inferNetwork(inputShape, layers);
    if (shape.kind === 'invalid') throw new Error(what);
    const parts = shardsOf(inputShape, batch);
    const runners: Runner[] = [];
    for (const wanted of [
      'exact',
      'portable',
      'native',
      'tensorflow',
    ] as const satisfies readonly EnginePlan['wanted'][]) {
      if (wanted !== 'tensorflow' && probe(wanted).kind !== 'works') continue;
      const plan = {
        name: 'bench',
        seed: 1,
        network: { ...shape, kind: 'layers', inputShape, layers },
        training: { loss: 'softmaxCrossEntropy', optimizer: { kind: 'sgd', momentum: 0.9, nesterov: false } },
        engine: { wanted },
      } as const;
      const engine = await createEngine(plan, { warn: () => {} });
      const out = new Float32Array(engine.layout.contributionLength);
      let step = 0;
      const sum = (): Float32Array => {
        if (engine.contributions !== undefined) {
          engine.contributions([{ parts, out }]);
          return out;
        }
        const tree = new TreeSum(parts.length);
        let whole: Float32Array | undefined;
        for (const [index, { batch: of, key }] of parts.entries()) {
          const vector = new Float32Array(out.length);
          engine.contribution(of, key, vector);
          whole = tree.add({ level: 0, index }, vector);
        }
        return whole as Float32Array;
      };
      runners.push({
        engine: engine.name,
        run: () => {
          engine.update(sum(), 0.001, step);
          step += 1;
        },
      });
    }
    lines.push(...takeTurns(runners).map((cost) => ({ what: `step of ${what}, batch ${batch}`, unit: 'ms', ...cost })));
  }
  return lines;
}

export async function main(args: readonly string[]): Promise<void> {
  const lines = [...rates().map((rate) => ({ ...rate, unit: 'GFLOP/s' })), ...(await steps())];
  if (args.includes('--json')) {
    console.log(JSON.stringify(lines));
    return;
  }
  for (const { what, engine, unit, median: middle, fast } of lines) {
    console.log(`${what.padEnd(44)}${engine.padEnd(18)}${middle.toFixed(2)} ${unit} (fast ${fast.toFixed(2)})`);
  }
}
