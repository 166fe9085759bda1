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
import { denseLayer } from './dense.ts';
import { activationLayer, convert, dropoutLayer, flattenLayer } from './pointwise.ts';
import type { Form, Pass, Site, Step, Sums, Value } from './step.ts';

export interface CompiledStep extends Step {
  readonly layer: number;
}

export interface Program {
  readonly input: Value;
  readonly output: Value;
  readonly steps: readonly CompiledStep[];
  /** The values of one sample in all blocks together: what a batch costs. */
  readonly valuesPerSample: number;
  /** The most values that the weights of one layer have. */
  readonly largestSum: number;
}

export function compile(spec: EngineSpec, shape: ValidShape, layout: Layout, bench: Bench, parameters: Block): Program {
  const layers = withoutLastActivation(spec);
  const firstTrained = firstTrainedLayer(spec, shape);
  const widest = Math.max(size(spec.inputShape), ...shape.shapes.map(size));
  const gradients = [bench.perSample(widest), bench.perSample(widest)] as const;
  let valuesPerSample = 2 * widest;
  const perSample = (length: number): Block => {
    valuesPerSample += length;
    return bench.perSample(length);
  };
  const input: Value = {
    block: perSample(size(spec.inputShape)),
    gradient: gradients[0],
    form: 'rows',
    shape: spec.inputShape,
  };
  const scratch = scratchFor(bench);
  const steps: CompiledStep[] = [];
  let value = input;

  const siteOf = (layer: number): Site => {
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
      needsInput: layer > firstTrained,
      weight: (role) => parameters.offset + slot(role).offset * 4,
      place: (role) => slot(role).offset,
      scratch,
      next: (form, of = shape.shapes[layer]!) => ({
        block: perSample(size(of)),
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
  const bring = (layer: number, form: Form | 'any') => {
    if (form !== 'any' && form !== value.form) add(layer, convert(siteOf(layer), form));
  };

  for (const [layer, plan] of layers.entries()) {
    bring(layer, formOf(plan));
    add(layer, build(plan, siteOf(layer)));
  }
  // Targets have channels last.
  bring(layers.length - 1, 'rows');
  return {
    input,
    output: value,
    steps,
    valuesPerSample,
    largestSum: Math.max(0, ...steps.flatMap(({ gradients, drift }) => [gradients?.length ?? 0, drift?.length ?? 0])),
  };
}

function formOf(plan: LayerPlan): Form | 'any' {
  switch (plan.kind) {
    case 'conv2d':
    case 'maxPooling2d':
    case 'averagePooling2d':
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
    case 'flatten':
      return flattenLayer(site);
    case 'dropout':
      return dropoutLayer(plan, site);
    case 'activation':
      return activationLayer(plan, site);
    default:
      throw new Error(`the plan compiler does not know ${plan.kind}`);
  }
}

/** The layers that only TensorFlow.js computes. */
export function unknownTo(layers: readonly LayerPlan[]): readonly string[] {
  const missing = ['conv2d', 'maxPooling2d', 'averagePooling2d', 'batchNormalization'];
  return layers.filter(({ kind }) => missing.includes(kind)).map(({ kind, name }) => `${kind} (layer "${name}")`);
}

/** One block for packing serves all products; it is as long as the widest asks. */
function scratchFor(bench: Bench): Site['scratch'] {
  const made = new Map<number, Block>();
  return (columns) => {
    const bytes = bench.kernels.productScratch(columns);
    const block = made.get(bytes) ?? bench.fixed(bytes / 4);
    made.set(bytes, block);
    return block;
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
    if (step.gradients) sum(step.gradients);
    if (step.drift) sum(step.drift);
  }
}
