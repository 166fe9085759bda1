/**
 * Shapes of a network: what comes out of each layer, and which weights it needs. Pure arithmetic over LayerPlan, so that
 * planning, the memory estimate and the engine count the same numbers.
 *
 * Invariants
 *  N1  `tensors` lists the trainable weights in layer order, then the moving statistics in layer order: the order of the
 *      flat parameter vector (container/engine/port.ts).
 *  N2  Names and shapes are those of the exported TF.js model, `<layer>/kernel`, rows before columns.
 */
import type { Activation, LayerPlan, Loss } from './plan.ts';

export interface TensorPlan {
  readonly name: string;
  readonly shape: readonly number[];
  readonly trainable: boolean;
  /** Index of the layer it belongs to. */
  readonly layer: number;
}

export interface NetworkProblem {
  /** Index of the layer that does not fit. */
  readonly layer: number;
  readonly message: string;
  readonly accepted: string;
}

export type NetworkShape =
  | {
      readonly kind: 'network';
      /** Output shape of each layer for one sample. */
      readonly shapes: readonly (readonly number[])[];
      readonly outputShape: readonly number[];
      readonly tensors: readonly TensorPlan[];
      readonly parameters: number;
      readonly stateParameters: number;
    }
  | { readonly kind: 'invalid'; readonly problems: readonly NetworkProblem[] };

export function inferNetwork(inputShape: readonly number[], layers: readonly LayerPlan[]): NetworkShape {
  const shapes: (readonly number[])[] = [];
  const tensors: TensorPlan[] = [];
  let shape = inputShape;
  for (const [layer, plan] of layers.entries()) {
    const next = outputShape(plan, shape, layer === 0);
    // A later layer cannot be judged when this one has no output, so the first misfit is the only one reported.
    if (next.kind === 'misfit') return { kind: 'invalid', problems: [{ layer, ...next }] };
    tensors.push(...weights(plan, layer, shape));
    shape = next.shape;
    shapes.push(shape);
  }
  const count = (trainable: boolean) =>
    tensors.filter((tensor) => tensor.trainable === trainable).reduce((sum, { shape }) => sum + size(shape), 0);
  return {
    kind: 'network',
    shapes,
    outputShape: shape,
    tensors: [...tensors.filter(({ trainable }) => trainable), ...tensors.filter(({ trainable }) => !trainable)],
    parameters: count(true),
    stateParameters: count(false),
  };
}

/** Number of values in a tensor of this shape. */
export function size(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

/** Activation of the outputs: that of the last layer which has one. */
export function outputActivation(layers: readonly LayerPlan[]): Activation {
  const last = layers.at(-1);
  return last !== undefined && 'activation' in last ? last.activation : 'linear';
}

/**
 * Activations with which a loss can be trained. The cross-entropies work on logits: an output without activation is
 * taken for logits, and then the exported model answers logits too.
 */
export const outputActivations: { readonly [L in Loss]: readonly Activation[] | 'any' } = {
  softmaxCrossEntropy: ['softmax', 'linear'],
  sigmoidCrossEntropy: ['sigmoid', 'linear'],
  meanSquaredError: 'any',
};

type Fit =
  | { readonly kind: 'fits'; readonly shape: readonly number[] }
  | { readonly kind: 'misfit'; readonly message: string; readonly accepted: string };

function outputShape(plan: LayerPlan, input: readonly number[], isFirst: boolean): Fit {
  switch (plan.kind) {
    case 'dense':
      return { kind: 'fits', shape: [...input.slice(0, -1), plan.units] };
    case 'conv2d':
      return image(plan.name, input, plan.kernelSize, plan.strides, plan.padding, plan.filters);
    case 'maxPooling2d':
    case 'averagePooling2d':
      return image(plan.name, input, plan.poolSize, plan.strides, plan.padding, input[2] ?? 0);
    case 'globalMaxPooling2d':
    case 'globalAveragePooling2d':
      return input.length === 3 ? { kind: 'fits', shape: input.slice(2) } : noImage(plan.name, input);
    case 'flatten':
      return { kind: 'fits', shape: [size(input)] };
    case 'reshape':
      return reshaped(plan, input);
    case 'embedding':
      return embedded(plan, input, isFirst);
    case 'dropout':
    case 'batchNormalization':
    case 'activation':
      return { kind: 'fits', shape: input };
  }
}

function image(
  name: string,
  input: readonly number[],
  window: readonly [number, number],
  strides: readonly [number, number],
  padding: 'valid' | 'same',
  channels: number,
): Fit {
  const [height, width] = input;
  if (height === undefined || width === undefined || input.length !== 3) return noImage(name, input);
  if (padding === 'valid' && (window[0] > height || window[1] > width)) {
    return {
      kind: 'misfit',
      message: `the ${window[0]} x ${window[1]} window of layer "${name}" is larger than its ${height} x ${width} input`,
      accepted: `a window of at most ${height} x ${width}, or padding: same`,
    };
  }
  const along = (length: number, axis: 0 | 1) =>
    Math.ceil((padding === 'same' ? length : length - window[axis] + 1) / strides[axis]);
  return { kind: 'fits', shape: [along(height, 0), along(width, 1), channels] };
}

function noImage(name: string, input: readonly number[]): Fit {
  return {
    kind: 'misfit',
    message: `layer "${name}" gets an input of shape [${input.join(', ')}]`,
    accepted: 'an image of shape [height, width, channels]',
  };
}

function reshaped({ name, targetShape }: Extract<LayerPlan, { kind: 'reshape' }>, input: readonly number[]): Fit {
  if (size(targetShape) === size(input)) return { kind: 'fits', shape: targetShape };
  const [from, to] = [input, targetShape].map((shape) => `[${shape.join(', ')}] with ${size(shape)} values`);
  return {
    kind: 'misfit',
    message: `layer "${name}" cannot make ${to} of ${from}`,
    accepted: `a targetShape with ${size(input)} values`,
  };
}

/** Its input is not something that can be learnt: there is no gradient to what comes before. */
function embedded(
  { name, outputDim }: Extract<LayerPlan, { kind: 'embedding' }>,
  input: readonly number[],
  isFirst: boolean,
): Fit {
  if (isFirst && input.length === 1) return { kind: 'fits', shape: [...input, outputDim] };
  const what = isFirst ? `gets an input of shape [${input.join(', ')}]` : 'comes after another layer';
  return {
    kind: 'misfit',
    message: `embedding layer "${name}" ${what}`,
    accepted: 'an embedding as the first layer, over a row of whole numbers',
  };
}

function weights(plan: LayerPlan, layer: number, input: readonly number[]): TensorPlan[] {
  const channels = input.at(-1) ?? 1;
  const tensor = (name: string, shape: readonly number[], trainable = true): TensorPlan => ({
    name: `${plan.name}/${name}`,
    shape,
    trainable,
    layer,
  });
  switch (plan.kind) {
    case 'dense':
      return [tensor('kernel', [channels, plan.units]), ...(plan.useBias ? [tensor('bias', [plan.units])] : [])];
    case 'conv2d':
      return [
        tensor('kernel', [...plan.kernelSize, channels, plan.filters]),
        ...(plan.useBias ? [tensor('bias', [plan.filters])] : []),
      ];
    case 'embedding':
      return [tensor('embeddings', [plan.inputDim, plan.outputDim])];
    case 'batchNormalization':
      return [
        tensor('gamma', [channels]),
        tensor('beta', [channels]),
        tensor('moving_mean', [channels], false),
        tensor('moving_variance', [channels], false),
      ];
    default:
      return [];
  }
}
