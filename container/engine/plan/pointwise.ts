/** Layers that work value by value: activations, dropout, and the change of form between rows and planes. */
import type { Activation, LayerPlan } from '../../../core/plan.ts';
import { channelsOf, type Form, placesOf, type Site, type Step, type Value } from './step.ts';

/** In the order of container/engine/kernels/activation.ts. */
const kinds: readonly Activation[] = [
  'linear',
  'relu',
  'relu6',
  'elu',
  'selu',
  'sigmoid',
  'hardSigmoid',
  'tanh',
  'softplus',
  'softsign',
  'swish',
];

/** An activation behind a layer's own work, which is in `z`. */
export interface Curve {
  readonly output: Value;
  forward(samples: number): void;
  /** Turns the gradient of the output into that of `z`, in place. */
  backward(samples: number): void;
}

export function curve(activation: Activation, z: Value, site: Site): Curve {
  const { kernels } = site.bench;
  const { length } = z.block;
  if (activation === 'linear') return { output: z, forward: () => {}, backward: () => {} };
  if (activation === 'softmax') {
    const width = channelsOf(z.shape);
    const rows = placesOf(z.shape);
    return {
      output: z,
      forward: (samples) => kernels.softmax(z.block.offset, z.block.offset, samples * rows, width),
      backward: (samples) => kernels.softmaxGradient(z.gradient.offset, z.block.offset, samples * rows, width),
    };
  }
  const kind = kinds.indexOf(activation);
  // The slope of the others follows from their output, so that takes the place of the input.
  const output = activation === 'swish' ? { ...site.next(z.form, z.shape), gradient: z.gradient } : z;
  return {
    output,
    forward: (samples) => kernels.activate(kind, z.block.offset, output.block.offset, samples * length),
    backward: (samples) =>
      kernels.activateGradient(kind, z.gradient.offset, output.block.offset, z.block.offset, samples * length),
  };
}

/** A layer that is an activation alone. The layer before it needs its own output on the way back: a copy is made. */
export function activationLayer({ activation }: Extract<LayerPlan, { kind: 'activation' }>, site: Site): Step {
  const { input, bench } = site;
  const { kernels } = bench;
  if (activation === 'linear') return { output: input, forward: () => {}, backward: () => {} };
  const z = { ...site.next(input.form, input.shape), gradient: input.gradient };
  const { output, forward, backward } = curve(activation, z, site);
  const { length } = z.block;
  return {
    output,
    forward: ({ samples }) => {
      kernels.activate(0, input.block.offset, z.block.offset, samples * length);
      forward(samples);
    },
    backward: ({ samples }) => backward(samples),
  };
}

/** Inverted dropout: what is kept is scaled up in training, so that inference does nothing. */
export function dropoutLayer({ rate }: Extract<LayerPlan, { kind: 'dropout' }>, site: Site): Step {
  const { input, bench } = site;
  const { kernels } = bench;
  if (rate === 0) return { output: input, forward: () => {}, backward: () => {} };
  const { length } = input.block;
  const output = { ...site.next('rows', input.shape), gradient: input.gradient };
  const mask = bench.perSample(length);
  const threshold = Math.min(2 ** 32 - 1, Math.ceil(rate * 2 ** 32));
  const kept = 1 / (1 - rate);
  return {
    output,
    forward: ({ samples, shards }) => {
      if (shards.length === 0) {
        kernels.activate(0, input.block.offset, output.block.offset, samples * length);
        return;
      }
      for (const shard of shards) {
        const [a, b] = site.random(shard);
        const at = mask.offset + shard.from * length * 4;
        kernels.dropoutMask(a, b, threshold, kept, (shard.to - shard.from) * length, at);
      }
      kernels.multiply(input.block.offset, mask.offset, output.block.offset, samples * length);
    },
    backward: ({ samples }) => {
      const { offset } = output.gradient;
      kernels.multiply(offset, mask.offset, offset, samples * length);
    },
  };
}

/** The same values in the other form. */
export function convert(site: Site, form: Form): Step {
  const { input, bench } = site;
  const { kernels } = bench;
  const { shape } = input;
  const [places, channels] = [placesOf(shape), channelsOf(shape)];
  if (places === 1 || channels === 1) return { output: { ...input, form }, forward: () => {}, backward: () => {} };
  const output = site.next(form, shape);
  const [rows, columns] = form === 'planes' ? [places, channels] : [channels, places];
  return {
    output,
    forward: ({ samples }) => kernels.transposeEach(input.block.offset, samples, rows, columns, output.block.offset),
    backward: ({ samples }) => {
      if (site.needsInput) {
        kernels.transposeEach(output.gradient.offset, samples, columns, rows, input.gradient.offset);
      }
    },
  };
}

/** Another shape for the same values: they lie in the order of rows already. */
export function reshapeLayer({ input, shape }: Site): Step {
  return { output: { ...input, shape }, forward: () => {}, backward: () => {} };
}
