/**
 * What every engine makes of a network before it computes anything: where each weight lies, what is trained and what
 * only the exported model has. One place, so that a run can be read by any engine.
 */

import { roundedLength } from '../../core/bfloat16.ts';
import { inferNetwork, type NetworkShape, size, type TensorPlan } from '../../core/network.ts';
import type { LayerPlan, Loss, OptimizerPlan, TrainingPlan } from '../../core/plan.ts';
import { slotCount } from './optimizer.ts';
import type { Layout, TensorSlot } from './port.ts';

export interface EngineSpec {
  readonly name: string;
  readonly seed: number;
  readonly inputShape: readonly number[];
  readonly layers: readonly LayerPlan[];
  readonly loss: Loss;
  readonly optimizer: OptimizerPlan;
  readonly compression?: TrainingPlan['compression'];
}

export type ValidShape = Extract<NetworkShape, { kind: 'network' }>;

/** The loss sum, the correct and the number of samples, at the end of a contribution. */
export const tailLength = 3;

export function shapeOf({ inputShape, layers }: EngineSpec): ValidShape {
  const shape = inferNetwork(inputShape, layers);
  if (shape.kind === 'invalid') throw new Error(shape.problems.map(({ message }) => message).join('; '));
  return shape;
}

/** One after the other in the order of core/network.ts. */
export function tensorSlots(tensors: readonly TensorPlan[]): TensorSlot[] {
  let offset = 0;
  return tensors.map(({ name, shape, trainable }) => {
    const slot = { name, shape, trainable, offset, length: size(shape) };
    offset += slot.length;
    return slot;
  });
}

export function layoutOf(spec: EngineSpec, { tensors, parameters, stateParameters }: ValidShape): Layout {
  const parameterLength = parameters + stateParameters;
  return {
    tensors: tensorSlots(tensors),
    trainableLength: parameters,
    stateLength: stateParameters,
    parameterLength,
    roundedLength: roundedLength(parameters, spec.compression),
    contributionLength: parameterLength + tailLength,
    slotLength: slotCount(spec.optimizer) * parameters,
  };
}

/** The first layer that has something to train; the number of layers when none has. */
export function firstTrainedLayer(spec: EngineSpec, { tensors }: ValidShape): number {
  return tensors.find(({ trainable }) => trainable)?.layer ?? spec.layers.length;
}

/** The layers as they are trained: below the softmax or sigmoid that the loss has built in. */
export function withoutLastActivation({ layers, loss }: EngineSpec): readonly LayerPlan[] {
  const last = layers.at(-1);
  if (loss === 'meanSquaredError' || last === undefined || !('activation' in last)) return layers;
  return [...layers.slice(0, -1), { ...last, activation: 'linear' }];
}
