/**
 * From layers to a static list of steps: which value lies where, which form it has, which gradient goes where.
 *
 * Invariants
 *  C1  A step reads and writes only what it was given here; the list and the offsets are the same for every batch of up
 *      to the same size.
 *  C2  The gradients of one value and of the next never share memory, unless a step says that it works in place; those
 *      of the one after next do: two blocks are enough on the way back.
 */
import { size } from '../../../core/network.ts';
import type { LayerPlan } from '../../../core/plan.ts';
import { purposes, streamState } from '../../../core/random.ts';
import type { Layout } from '../port.ts';
import { type EngineSpec, firstTrainedLayer, type ValidShape, withoutLastActivation } from '../spec.ts';
import type { Bench, Block } from './bench.ts';
import { convolutionLayer } from './convolution.ts';
import { denseLayer } from './dense.ts';
import { embeddingLayer } from './embedding.ts';
import { normalisationLayer } from './normalisation.ts';
import { activationLayer, convert, dropoutLayer, reshapeLayer } from './pointwise.ts';
import { globalPoolingLayer, poolingLayer } from './pooling.ts';
import { type Form, type Pass, type Site, type Step, type Sums, standardPiece, type Value } from './step.ts';

export interface CompiledStep extends Step {
  readonly layer: number;
}

export interface Program {
  /** Its block is wherever the samples of a pass are: in their room, or where they were gathered. No step writes to it. */
  readonly input: Value;
  readonly inputRoom: Block;
  /** In the same way. */
  readonly targets: Block;
  readonly targetsRoom: Block;
  readonly output: Value;
  readonly steps: readonly CompiledStep[];
  /** The most values that are added up at once. */
  readonly largestPiece: number;
}

export function compile(spec: EngineSpec, shape: ValidShape, layout: Layout, bench: Bench, parameters: Block): Program {
  const layers = withoutLastActivation(spec);
  const firstTrained = firstTrainedLayer(spec, shape);
  const widest = Math.max(size(spec.inputShape), ...shape.shapes.map(size));
  const gradients = [bench.perSample(widest), bench.perSample(widest)] as const;
  const inputRoom = bench.perSample(size(spec.inputShape));
  const input: Value = {
    block: { ...inputRoom },
    gradient: gradients[0],
    form: 'rows',
    shape: spec.inputShape,
  };
  const scratch = bench.fixed(bench.kernels.productScratch() / 4).offset;
  const columns = sharedBlock(bench);
  const steps: CompiledStep[] = [];
  let value = input;

  const siteOf = (layer: number, needsInput = layer > firstTrained): Site => {
    const slot = (role: string) => {
      const index = shape.tensors.findIndex((tensor) => tensor.layer === layer && tensor.name.endsWith(`/${role}`));
      return layout.tensors[index]!;
    };
    const from = value;
    return {
      bench,
      layer,
      input: from,
      shape: shape.shapes[layer]!,
      needsInput,
      weight: (role) => parameters.offset + slot(role).offset * 4,
      place: (role) => slot(role).offset,
      scratch,
      columns,
      next: (form, of = shape.shapes[layer]!) => ({
        block: bench.perSample(size(of)),
        gradient: from.gradient === gradients[0] ? gradients[1] : gradients[0],
        form,
        shape: of,
      }),
      random: ({ step, shard }) => streamState(spec.seed, purposes.dropout, step, shard, layer),
    };
  };
  const add = (layer: number, step: Step) => {
    // Nothing below the first layer with weights asks for a gradient.
    const { backward, ...rest } = step;
    const trained = backward !== undefined && layer >= firstTrained;
    steps.push({ ...rest, ...(trained ? { backward } : {}), layer });
    value = step.output;
  };
  const bring = (form: Form | 'any', site: Site) => {
    if (form !== 'any' && form !== value.form) add(site.layer, convert(site, form));
  };

  for (const [layer, plan] of layers.entries()) {
    bring(formOf(plan), siteOf(layer));
    if (plan.kind === 'conv2d' && plan.activation === 'softmax') {
      // Over the channels, which are side by side only in rows.
      add(layer, build({ ...plan, activation: 'linear' }, siteOf(layer)));
      bring('rows', siteOf(layer, true));
      add(layer, activationLayer({ ...plan, kind: 'activation' }, siteOf(layer, true)));
    } else add(layer, build(plan, siteOf(layer)));
  }
  // As the targets lie.
  bring('rows', siteOf(layers.length - 1, true));
  const targetsRoom = bench.perSample(value.block.length);
  return {
    input,
    inputRoom,
    targets: { ...targetsRoom },
    targetsRoom,
    output: value,
    steps,
    largestPiece: Math.max(
      0,
      ...steps.flatMap(({ gradients }) => gradients?.map(({ length, row }) => standardPiece(length, row)) ?? []),
    ),
  };
}

function formOf(plan: LayerPlan): Form | 'any' {
  switch (plan.kind) {
    case 'conv2d':
    case 'maxPooling2d':
    case 'averagePooling2d':
    case 'globalMaxPooling2d':
    case 'globalAveragePooling2d':
      return 'planes';
    case 'activation':
      return plan.activation === 'softmax' ? 'rows' : 'any';
    case 'batchNormalization':
      return 'any';
    default:
      return 'rows';
  }
}

function build(plan: LayerPlan, site: Site): Step {
  switch (plan.kind) {
    case 'dense':
      return denseLayer(plan, site);
    case 'embedding':
      return embeddingLayer(plan, site);
    case 'flatten':
    case 'reshape':
      return reshapeLayer(site);
    case 'dropout':
      return dropoutLayer(plan, site);
    case 'activation':
      return activationLayer(plan, site);
    case 'conv2d':
      return convolutionLayer(plan, site);
    case 'maxPooling2d':
    case 'averagePooling2d':
      return poolingLayer(plan, site);
    case 'globalMaxPooling2d':
    case 'globalAveragePooling2d':
      return globalPoolingLayer(plan, site);
    case 'batchNormalization':
      return normalisationLayer(plan, site);
  }
}

/** One block that serves many, as long as the longest asks for: where it is, is known once all have asked. */
function sharedBlock(bench: Bench): Site['columns'] {
  let largest: Block | undefined;
  const shared = { offset: 0, length: 0 };
  return (length) => {
    if (largest === undefined || length > largest.length) {
      largest = bench.fixed(length);
      shared.offset = largest.offset;
    }
    return shared;
  };
}

/** Runs the steps and answers nothing: results are where the program says. */
export function forward({ steps }: Program, pass: Pass): void {
  for (const step of steps) step.forward(pass);
}

/** From the gradient of the output; `sum` is called for each layer while what its gradients are made of is there. */
export function backward({ steps }: Program, pass: Pass, sum: (of: Sums) => void): void {
  for (let i = steps.length - 1; i >= 0; i -= 1) {
    const step = steps[i]!;
    step.backward?.(pass);
    for (const of of step.gradients ?? []) sum(of);
  }
}
