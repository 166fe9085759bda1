/**
 * The activations, forward and backward, over vectors. Formulas are those of tfjs-layers, and of the engine beside this
 * one (container/engine/activations.ts). The numbers of the kinds are those of container/engine/plan/kernels.ts.
 */
import { exp1, exp4, expMinusOne4, sigmoid4, softplus4, tanh4 } from './maths.ts';

const relu: i32 = 1;
const relu6: i32 = 2;
const elu: i32 = 3;
const selu: i32 = 4;
const sigmoid: i32 = 5;
const hardSigmoid: i32 = 6;
const tanh: i32 = 7;
const softplus: i32 = 8;
const softsign: i32 = 9;
const swish: i32 = 10;

const seluScale: f32 = 1.0507009873554805;
const seluScaleAlpha: f32 = 1.7580993408473768;

/** a[i] = activation(z[i]); a and z may be the same. */
export function activate(kind: i32, z: usize, a: usize, n: i32): void {
  const end = a + (<usize>(n & ~3) << 2);
  if (kind == relu) {
    const zero = f32x4.splat(0);
    for (; a < end; a += 16, z += 16) v128.store(a, f32x4.pmax(v128.load(z), zero));
  } else {
    for (; a < end; a += 16, z += 16) v128.store(a, curve(kind, v128.load(z)));
  }
  for (let i = n & 3; i > 0; i--, a += 4, z += 4) v128.store32_lane(a, curve(kind, v128.load32_zero(z)), 0);
}

/** dy[i] *= slope of the activation, from the output `a`; `z`, its input, is only read for swish. */
export function activateGradient(kind: i32, dy: usize, a: usize, z: usize, n: i32): void {
  const end = dy + (<usize>(n & ~3) << 2);
  if (kind == relu) {
    const zero = f32x4.splat(0);
    for (; dy < end; dy += 16, a += 16, z += 16)
      v128.store(dy, v128.and(v128.load(dy), f32x4.gt(v128.load(a), zero)));
  } else {
    for (; dy < end; dy += 16, a += 16, z += 16)
      v128.store(dy, slope(kind, v128.load(dy), v128.load(a), v128.load(z)));
  }
  for (let i = n & 3; i > 0; i--, dy += 4, a += 4, z += 4) {
    const through = slope(kind, v128.load32_zero(dy), v128.load32_zero(a), v128.load32_zero(z));
    v128.store32_lane(dy, through, 0);
  }
}

function curve(kind: i32, z: v128): v128 {
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
  switch (kind) {
    case relu:
      return f32x4.pmax(z, zero);
    case relu6:
      return f32x4.pmin(f32x4.pmax(z, zero), f32x4.splat(6));
    case elu:
      return v128.bitselect(expMinusOne4(z), z, f32x4.lt(z, zero));
    case selu: {
      const below = f32x4.mul(expMinusOne4(z), f32x4.splat(seluScaleAlpha));
      return v128.bitselect(below, f32x4.mul(z, f32x4.splat(seluScale)), f32x4.lt(z, zero));
    }
    case sigmoid:
      return sigmoid4(z);
    case hardSigmoid: {
      const line = f32x4.add(f32x4.mul(z, f32x4.splat(0.2)), f32x4.splat(0.5));
      return f32x4.pmin(f32x4.pmax(line, zero), one);
    }
    case tanh:
      return tanh4(z);
    case softplus:
      return softplus4(z);
    case softsign:
      return f32x4.div(z, f32x4.add(f32x4.abs(z), one));
    case swish:
      return f32x4.mul(sigmoid4(z), z);
    default:
      return z;
  }
}

function slope(kind: i32, dy: v128, a: v128, z: v128): v128 {
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
  switch (kind) {
    case relu:
      return v128.and(dy, f32x4.gt(a, zero));
    case relu6:
      return v128.and(dy, v128.and(f32x4.gt(a, zero), f32x4.lt(a, f32x4.splat(6))));
    case elu:
      return v128.bitselect(dy, f32x4.mul(dy, f32x4.add(a, one)), f32x4.gt(a, zero));
    case selu: {
      const below = f32x4.mul(dy, f32x4.add(a, f32x4.splat(seluScaleAlpha)));
      return v128.bitselect(f32x4.mul(dy, f32x4.splat(seluScale)), below, f32x4.gt(a, zero));
    }
    case sigmoid:
      return f32x4.mul(dy, f32x4.mul(a, f32x4.sub(one, a)));
    case hardSigmoid: {
      const inside = v128.and(f32x4.gt(a, zero), f32x4.lt(a, one));
      return f32x4.mul(v128.and(dy, inside), f32x4.splat(0.2));
    }
    case tanh:
      return f32x4.mul(dy, f32x4.sub(one, f32x4.mul(a, a)));
    case softplus:
      return f32x4.mul(dy, f32x4.neg(expMinusOne4(f32x4.neg(a))));
    case softsign: {
      const rest = f32x4.sub(one, f32x4.abs(a));
      return f32x4.mul(dy, f32x4.mul(rest, rest));
    }
    case swish: {
      const s = sigmoid4(z);
      return f32x4.mul(dy, f32x4.add(s, f32x4.mul(a, f32x4.sub(one, s))));
    }
    default:
      return dy;
  }
}

/** Softmax of each row of `width` values; a and z may be the same. */
export function softmax(z: usize, a: usize, rows: i32, width: i32): void {
  const step = <usize>width << 2;
  for (let i = 0; i < rows; i++, z += step, a += step) {
    let largest = load<f32>(z);
    for (let o: usize = 4; o < step; o += 4) largest = max(largest, load<f32>(z + o));
    let sum: f32 = 0;
    for (let o: usize = 0; o < step; o += 4) {
      const e = exp1(load<f32>(z + o) - largest);
      store<f32>(a + o, e);
      sum += e;
    }
    for (let o: usize = 0; o < step; o += 4) store<f32>(a + o, load<f32>(a + o) / sum);
  }
}

/** dy becomes a * (dy - sum(dy * a)), row by row. */
export function softmaxGradient(dy: usize, a: usize, rows: i32, width: i32): void {
  const step = <usize>width << 2;
  for (let i = 0; i < rows; i++, dy += step, a += step) {
    let sum: f32 = 0;
    for (let o: usize = 0; o < step; o += 4) sum += load<f32>(dy + o) * load<f32>(a + o);
    for (let o: usize = 0; o < step; o += 4) store<f32>(dy + o, load<f32>(a + o) * (load<f32>(dy + o) - sum));
  }
}
