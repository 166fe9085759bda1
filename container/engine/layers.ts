/**
 * What each layer computes, forward and backward, as TensorFlow.js operations. The backward pass is written out instead
 * of recorded on tfjs's tape: it needs a third of the operations, and training-only behaviour (dropout masks from keyed
 * numbers, batch statistics of the shard) is an argument and not a hidden state.
 *
 * Invariants
 *  Y1  A layer is a pure function of (input, weights, mode); nothing is kept between calls.
 *  Y2  `backward` gives the gradients in the order of the layer's trainable weights (core/network.ts).
 *  Y3  Tensors are made inside the caller's tidy; no layer disposes of any.
 */
import {
  add,
  avgPool,
  batchNorm,
  type DataType,
  engine,
  fused,
  matMul,
  maxPool,
  mean,
  mul,
  type NamedAttrMap,
  type Rank,
  reshape,
  rsqrt,
  scalar,
  square,
  sub,
  sum,
  type Tensor,
  type Tensor2D,
  type Tensor4D,
  tensor,
} from '@tensorflow/tfjs-core';
import type { LayerPlan } from '../../core/plan.ts';
import { activate, activationGradient, keepsInput } from './activations.ts';
import { values } from './backend.ts';
import { averagePoolGradient, maxPoolGradient } from './pooling.ts';

export interface LayerWeights {
  get(role: string): Tensor;
  /** The transposed kernel of a dense layer, made once for each state of the parameters. */
  transposedKernel(): Tensor2D;
}

export type Mode =
  | { readonly kind: 'inference' }
  /** `random` fills a dropout mask: each value is 0 or `kept`. */
  | {
      readonly kind: 'training';
      readonly samples: number;
      readonly random: (layer: number, length: number, rate: number) => Float32Array;
    };

export interface Backward {
  /** Absent when it was not asked for. */
  readonly dx: Tensor | undefined;
  readonly gradients: readonly Tensor[];
}

export interface Forward {
  readonly y: Tensor;
  readonly backward: (dy: Tensor, needsInput: boolean) => Backward;
  /** Sum over the samples of the change of the moving statistics; only batch normalisation in training. */
  readonly drift?: readonly Tensor[];
}

export type Operation = (x: Tensor, weights: LayerWeights, mode: Mode) => Forward;

export function operation(plan: LayerPlan, layer: number): Operation {
  switch (plan.kind) {
    case 'dense':
      return dense(plan);
    case 'conv2d':
      return convolution(plan);
    case 'maxPooling2d':
    case 'averagePooling2d':
      return pooling(plan);
    case 'globalMaxPooling2d':
    case 'globalAveragePooling2d':
      return globalPooling(plan);
    case 'flatten':
      return reshaping((x) => [x.size / x.shape[0]!]);
    case 'reshape':
      return reshaping(() => plan.targetShape);
    case 'embedding':
      return embedding(plan);
    case 'dropout':
      return dropout(plan.rate, layer);
    case 'batchNormalization':
      return batchNormalisation(plan.momentum, plan.epsilon);
    case 'activation':
      return (x) => {
        const y = activate(plan.activation, x);
        return { y, backward: (dy) => ({ dx: activationGradient(plan.activation, dy, y, x), gradients: [] }) };
      };
  }
}

type PlanOf<K extends LayerPlan['kind']> = Extract<LayerPlan, { kind: K }>;

function dense({ activation, useBias }: PlanOf<'dense'>): Operation {
  const inOne = activation === 'relu';
  return (x, weights) => {
    const kernel = weights.get('kernel') as Tensor2D;
    const a = rows(x);
    const z = fused.matMul({
      a,
      b: kernel,
      activation: inOne ? 'relu' : 'linear',
      ...(useBias ? { bias: weights.get('bias') } : {}),
    });
    const out = inOne ? z : activate(activation, z);
    return {
      y: withChannels(out, x.shape),
      backward: (dy, needsInput) => {
        const dz = activationGradient(activation, rows(dy), out, keepsInput(activation) ? z : undefined);
        const gradients = [matMul(a, dz as Tensor2D, true, false), ...(useBias ? [sum(dz, 0)] : [])];
        if (!needsInput) return { dx: undefined, gradients };
        return { dx: reshape(matMul(dz as Tensor2D, weights.transposedKernel()), x.shape), gradients };
      },
    };
  };
}

function convolution(plan: PlanOf<'conv2d'>): Operation {
  const { activation, useBias, padding } = plan;
  const strides: [number, number] = [...plan.strides];
  const inOne = activation === 'relu';
  const attributes = { strides, pad: padding, dataFormat: 'NHWC', dimRoundingMode: null } as unknown as NamedAttrMap;
  return (x, weights) => {
    const filter = weights.get('kernel') as Tensor4D;
    const z = fused.conv2d({
      x: x as Tensor4D,
      filter,
      strides,
      pad: padding,
      activation: inOne ? 'relu' : 'linear',
      ...(useBias ? { bias: weights.get('bias') } : {}),
    });
    const y = inOne ? z : activate(activation, z);
    return {
      y,
      backward: (dy, needsInput) => {
        const dz = activationGradient(activation, dy, y, keepsInput(activation) ? z : undefined);
        const gradients = [
          kernel('Conv2DBackpropFilter', { x, dy: dz }, { ...attributes, filterShape: filter.shape }),
          ...(useBias ? [sum(rows(dz), 0)] : []),
        ];
        if (!needsInput) return { dx: undefined, gradients };
        return {
          dx: kernel('Conv2DBackpropInput', { dy: dz, filter }, { ...attributes, inputShape: x.shape }),
          gradients,
        };
      },
    };
  };
}

function pooling(plan: PlanOf<'maxPooling2d' | 'averagePooling2d'>): Operation {
  const isMax = plan.kind === 'maxPooling2d';
  const window = { size: plan.poolSize, strides: plan.strides, padding: plan.padding };
  return (x) => {
    const y = (isMax ? maxPool : avgPool)(x as Tensor4D, [...plan.poolSize], [...plan.strides], plan.padding);
    const shape = x.shape as [number, number, number, number];
    return {
      y,
      backward: (dy, needsInput) => {
        if (!needsInput) return { dx: undefined, gradients: [] };
        const dx = isMax
          ? maxPoolGradient(values(x), values(y), values(dy), shape, window)
          : averagePoolGradient(values(dy), shape, window);
        return { dx: tensor(dx, shape, 'float32'), gradients: [] };
      },
    };
  };
}

/** One window over the whole image. */
function globalPooling({ kind, name }: PlanOf<'globalMaxPooling2d' | 'globalAveragePooling2d'>): Operation {
  const windows = kind === 'globalMaxPooling2d' ? 'maxPooling2d' : 'averagePooling2d';
  return (x, weights, mode) => {
    const whole = [x.shape[1]!, x.shape[2]!] as const;
    const plan = { kind: windows, name, poolSize: whole, strides: whole, padding: 'valid' } as const;
    const { y, backward } = pooling(plan)(x, weights, mode);
    return {
      y: reshape(y, [x.shape[0]!, x.shape[3]!]),
      backward: (dy, needsInput) => backward(reshape(dy, y.shape), needsInput),
    };
  };
}

function reshaping(shapeOf: (x: Tensor) => readonly number[]): Operation {
  return (x) => ({
    y: reshape(x, [x.shape[0]!, ...shapeOf(x)]),
    backward: (dy) => ({ dx: reshape(dy, x.shape), gradients: [] }),
  });
}

/** Rows of a table, as plain loops: what is no row of it gives NaN, where the backends read what lies beside it. */
function embedding({ inputDim, outputDim }: PlanOf<'embedding'>): Operation {
  const rowOf = (id: number): number => (Number.isInteger(id) && id >= 0 && id < inputDim ? id : -1);
  return (x, weights) => {
    const ids = values(x).slice();
    const table = values(weights.get('embeddings'));
    const y = new Float32Array(ids.length * outputDim).fill(Number.NaN);
    for (const [i, id] of ids.entries()) {
      const row = rowOf(id);
      if (row >= 0) y.set(table.subarray(row * outputDim, (row + 1) * outputDim), i * outputDim);
    }
    return {
      y: tensor(y, [...x.shape, outputDim], 'float32'),
      backward: (dy) => {
        const gradient = new Float32Array(inputDim * outputDim);
        const from = values(dy);
        for (const [i, id] of ids.entries()) {
          const row = rowOf(id);
          if (row < 0) continue;
          for (let j = 0; j < outputDim; j += 1) gradient[row * outputDim + j]! += from[i * outputDim + j]!;
        }
        return { dx: undefined, gradients: [tensor(gradient, [inputDim, outputDim], 'float32')] };
      },
    };
  };
}

/** Inverted dropout: what is kept is scaled up in training, so that inference does nothing. */
function dropout(rate: number, layer: number): Operation {
  return (x, _weights, mode) => {
    if (mode.kind === 'inference' || rate === 0) {
      return { y: x, backward: (dy) => ({ dx: dy, gradients: [] }) };
    }
    const mask = tensor(mode.random(layer, x.size, rate), x.shape as number[], 'float32' satisfies DataType);
    return { y: mul(x, mask), backward: (dy) => ({ dx: mul(dy, mask), gradients: [] }) };
  };
}

/**
 * Over the last axis. In training by the mean and the (biased) variance of the samples at hand, which are those of one
 * logical shard; the moving variance follows the same biased variance, so that both modes mean the same thing.
 */
function batchNormalisation(momentum: number, epsilon: number): Operation {
  return (x, weights, mode) => {
    const gamma = weights.get('gamma');
    const beta = weights.get('beta');
    const movingMean = weights.get('moving_mean');
    const movingVariance = weights.get('moving_variance');
    if (mode.kind === 'inference') {
      const y = batchNorm(x as Tensor<Rank>, movingMean, movingVariance, beta, gamma, epsilon) as Tensor;
      return { y, backward: () => ({ dx: undefined, gradients: [] }) };
    }
    const flat = rows(x);
    const centre = mean(flat, 0);
    const centred = sub(flat, centre);
    const variance = mean(square(centred), 0);
    const inverse = rsqrt(add(variance, scalar(epsilon)));
    const normal = mul(centred, inverse);
    const weight = scalar((1 - momentum) * mode.samples);
    return {
      y: withChannels(add(mul(normal, gamma), beta), x.shape),
      drift: [mul(sub(centre, movingMean), weight), mul(sub(variance, movingVariance), weight)],
      backward: (dy) => {
        const flatDy = rows(dy);
        const dGamma = sum(mul(flatDy, normal), 0);
        const dBeta = sum(flatDy, 0);
        const share = scalar(1 / flat.shape[0]);
        // The mean and the variance depend on every sample too: take out what moves them.
        const through = sub(flatDy, add(mul(dBeta, share), mul(normal, mul(dGamma, share))));
        return { dx: reshape(mul(through, mul(gamma, inverse)), x.shape), gradients: [dGamma, dBeta] };
      },
    };
  };
}

/** All axes but the last as one. */
function rows(x: Tensor): Tensor2D {
  if (x.rank === 2) return x as Tensor2D;
  const channels = x.shape.at(-1)!;
  return reshape(x, [x.size / channels, channels]);
}

function withChannels(y: Tensor, shape: readonly number[]): Tensor {
  return shape.length === 2 ? y : reshape(y, [...shape.slice(0, -1), y.shape.at(-1)!]);
}

function kernel(name: string, inputs: Record<string, Tensor>, attributes: NamedAttrMap): Tensor {
  return engine().runKernel(name, inputs, attributes) as Tensor;
}
