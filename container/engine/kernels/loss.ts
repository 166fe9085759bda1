/**
 * The losses, with the formulas and the rules for `correct` of container/engine/loss.ts: sums over the rows, from the
 * first to the last, in double precision. The gradient is that of the loss sum; `gradient` 0 leaves it out.
 */
import { exp1, log1, logOfOnePlus1 } from './maths.ts';

const softmaxCrossEntropy: i32 = 0;
const sigmoidCrossEntropy: i32 = 1;

/** Answers the loss sum; the number of correct rows goes to `correct` as an i32. */
export function loss(kind: i32, z: usize, t: usize, rows: i32, width: i32, gradient: usize, correct: usize): f64 {
  const step = <usize>width << 2;
  let sum: f64 = 0;
  let right = 0;
  for (let i = 0; i < rows; i++) {
    if (kind == softmaxCrossEntropy) sum += softmaxRow(z, t, step, gradient);
    else if (kind == sigmoidCrossEntropy) sum += sigmoidRow(z, t, step, gradient);
    else sum += squareRow(z, t, step, gradient);
    if (kind == sigmoidCrossEntropy && width == 1) right += i32(load<f32>(z) > 0 == load<f32>(t) > 0.5);
    else if (kind == softmaxCrossEntropy || kind == sigmoidCrossEntropy)
      right += i32(largest(z, step) == largest(t, step));
    z += step;
    t += step;
    if (gradient) gradient += step;
  }
  store<i32>(correct, right);
  return sum;
}

function softmaxRow(z: usize, t: usize, step: usize, gradient: usize): f64 {
  // `max` of two numbers is NaN when one of them is: a bad output shows.
  let top = load<f32>(z);
  for (let o: usize = 4; o < step; o += 4) top = max(top, load<f32>(z + o));
  let sum: f32 = 0;
  let weight: f32 = 0;
  for (let o: usize = 0; o < step; o += 4) {
    const e = exp1(load<f32>(z + o) - top);
    if (gradient) store<f32>(gradient + o, e);
    sum += e;
    weight += load<f32>(t + o);
  }
  const logSum = log1(sum);
  let loss: f64 = 0;
  for (let o: usize = 0; o < step; o += 4) {
    const target = load<f32>(t + o);
    if (target != 0) loss -= <f64>(target * (load<f32>(z + o) - top - logSum));
    if (gradient) store<f32>(gradient + o, (load<f32>(gradient + o) / sum) * weight - target);
  }
  return top == top ? loss : NaN;
}

function sigmoidRow(z: usize, t: usize, step: usize, gradient: usize): f64 {
  const width = <f32>(step >> 2);
  let loss: f64 = 0;
  for (let o: usize = 0; o < step; o += 4) {
    const logit = load<f32>(z + o);
    const target = load<f32>(t + o);
    const small = exp1(-abs(logit));
    loss += <f64>(max(logit, <f32>0) - logit * target + logOfOnePlus1(small));
    if (gradient) {
      const p = (logit >= 0 ? <f32>1 : small) / (1 + small);
      store<f32>(gradient + o, (p - target) / width);
    }
  }
  return loss / <f64>width;
}

function squareRow(z: usize, t: usize, step: usize, gradient: usize): f64 {
  const width = <f32>(step >> 2);
  let loss: f64 = 0;
  for (let o: usize = 0; o < step; o += 4) {
    const difference = load<f32>(z + o) - load<f32>(t + o);
    loss += <f64>difference * <f64>difference;
    if (gradient) store<f32>(gradient + o, (2 * difference) / width);
  }
  return loss / <f64>width;
}

function largest(x: usize, step: usize): usize {
  let best: usize = 0;
  for (let o: usize = 4; o < step; o += 4) if (load<f32>(x + o) > load<f32>(x + best)) best = o;
  return best;
}
