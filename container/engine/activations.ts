/**
 * The activations, forward and backward, as tensor operations. Formulas are those of tfjs-layers, so that the exported
 * model computes the same. A derivative is written in terms of the output `a` where that is enough; only swish needs
 * its input `z` kept.
 */
import {
  abs,
  add,
  cast,
  clipByValue,
  div,
  elu,
  exp,
  greater,
  less,
  logicalAnd,
  mul,
  neg,
  relu,
  relu6,
  type Scalar,
  scalar,
  selu,
  sigmoid,
  softmax,
  softplus,
  square,
  step,
  sub,
  sum,
  type Tensor,
  tanh,
  where,
} from '@tensorflow/tfjs-core';
import type { Activation } from '../../core/plan.ts';

interface Curve {
  readonly forward: (z: Tensor) => Tensor;
  /** The gradient of the loss by `z`, from that by `a`. */
  readonly backward: (dy: Tensor, a: Tensor, z: Tensor | undefined) => Tensor;
}

const seluScale = 1.0507009873554805;
const seluScaleAlpha = 1.7580993408473768;

const plus = (a: Tensor, b: number): Tensor => add(a, constant(b));
const times = (a: Tensor, b: number): Tensor => mul(a, constant(b));
const constant = (value: number): Scalar => scalar(value);
const oneMinus = (a: Tensor): Tensor => sub(constant(1), a);

const curves: { readonly [A in Exclude<Activation, 'linear'>]: Curve } = {
  relu: { forward: relu, backward: (dy, a) => mul(dy, step(a)) },
  relu6: { forward: relu6, backward: (dy, a) => inside(dy, a, 0, 6) },
  elu: { forward: elu, backward: (dy, a) => where(positive(a), dy, mul(dy, plus(a, 1))) },
  selu: {
    forward: selu,
    backward: (dy, a) => where(positive(a), times(dy, seluScale), mul(dy, plus(a, seluScaleAlpha))),
  },
  sigmoid: { forward: sigmoid, backward: (dy, a) => mul(dy, mul(a, oneMinus(a))) },
  hardSigmoid: {
    forward: (z) => clipByValue(plus(times(z, 0.2), 0.5), 0, 1),
    backward: (dy, a) => times(inside(dy, a, 0, 1), 0.2),
  },
  tanh: { forward: tanh, backward: (dy, a) => mul(dy, oneMinus(square(a))) },
  softmax: {
    forward: (z) => softmax(z),
    backward: (dy, a) => mul(a, sub(dy, sum(mul(dy, a), -1, true))),
  },
  softplus: { forward: softplus, backward: (dy, a) => mul(dy, oneMinus(exp(neg(a)))) },
  softsign: {
    forward: (z) => div(z, plus(abs(z), 1)),
    backward: (dy, a) => mul(dy, square(oneMinus(abs(a)))),
  },
  swish: {
    forward: (z) => mul(sigmoid(z), z),
    backward: (dy, a, z) => {
      const s = sigmoid(z!);
      return mul(dy, add(s, mul(a, oneMinus(s))));
    },
  },
};

function positive(a: Tensor): Tensor {
  return greater(a, constant(0));
}

function inside(dy: Tensor, a: Tensor, low: number, high: number): Tensor {
  return mul(dy, cast(logicalAnd(greater(a, constant(low)), less(a, constant(high))), 'float32'));
}

export function activate(activation: Activation, z: Tensor): Tensor {
  return activation === 'linear' ? z : curves[activation].forward(z);
}

/** `z` is read only when `keepsInput(activation)`. */
export function activationGradient(activation: Activation, dy: Tensor, a: Tensor, z: Tensor | undefined): Tensor {
  return activation === 'linear' ? dy : curves[activation].backward(dy, a, z);
}

export function keepsInput(activation: Activation): boolean {
  return activation === 'swish';
}
