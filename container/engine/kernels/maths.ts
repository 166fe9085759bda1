/**
 * exp, log and what is made of them, four values at a time. Ours, because the last bit of the platform's functions is
 * the platform's: these are additions and multiplications in a fixed order, and the same in both builds.
 *
 * The polynomials are those of Cephes (Moshier, 1989: expf, logf, tanhf), good to about two units in the last place.
 *
 * Invariants
 *  M1  Only IEEE operations that round once: nothing fused, nothing of Math.
 *  M2  What is not a number stays so: pmin and pmax are written with the value on the left, where NaN wins.
 */

/** log2(e), and ln 2 in two parts of which the first has few bits, so that n * high is exact. */
const log2OfE: f32 = 1.44269504088896341;
const ln2High: f32 = 0.693359375;
const ln2Low: f32 = -2.12194440e-4;

@inline
function poly(p: v128, x: v128, c: f32): v128 {
  return f32x4.add(f32x4.mul(p, x), f32x4.splat(c));
}

/** e^r - 1 for |r| <= ln(2) / 2. */
@inline
function expOfRest(r: v128): v128 {
  let p = f32x4.splat(1.9875691500e-4);
  p = poly(p, r, 1.3981999507e-3);
  p = poly(p, r, 8.3334519073e-3);
  p = poly(p, r, 4.1665795894e-2);
  p = poly(p, r, 1.6666665459e-1);
  p = poly(p, r, 5.0000001201e-1);
  return f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r);
}

/** 2^n for whole n from -126 to 127. */
@inline
function powerOfTwo(n: v128): v128 {
  return i32x4.shl(i32x4.add(n, i32x4.splat(127)), 23);
}

export function exp4(x: v128): v128 {
  // Beyond these the answer is infinite or zero, which the scaling below gives by itself.
  const inside = f32x4.pmax(f32x4.pmin(x, f32x4.splat(89)), f32x4.splat(-104));
  const n = f32x4.nearest(f32x4.mul(inside, f32x4.splat(log2OfE)));
  let r = f32x4.sub(inside, f32x4.mul(n, f32x4.splat(ln2High)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(ln2Low)));
  const y = f32x4.add(expOfRest(r), f32x4.splat(1));
  // In two factors: 2^n itself may be no normal number.
  const whole = i32x4.trunc_sat_f32x4_s(n);
  const half = i32x4.shr_s(whole, 1);
  return f32x4.mul(f32x4.mul(y, powerOfTwo(half)), powerOfTwo(i32x4.sub(whole, half)));
}

/** e^x - 1 without losing the small ones. */
@inline
export function expMinusOne4(x: v128): v128 {
  const small = f32x4.le(f32x4.abs(x), f32x4.splat(0.34));
  return v128.bitselect(expOfRest(x), f32x4.sub(exp4(x), f32x4.splat(1)), small);
}

/** For normal positive numbers. */
export function log4(x: v128): v128 {
  // x = 2^e * m with m in [sqrt(1/2), sqrt(2)).
  const bits = i32x4.sub(x, i32x4.splat(0x3f3504f3));
  const e = i32x4.shr_s(bits, 23);
  const m = f32x4.sub(i32x4.sub(x, i32x4.shl(e, 23)), f32x4.splat(1));
  const exponent = f32x4.convert_i32x4_s(e);
  let p = f32x4.splat(7.0376836292e-2);
  p = poly(p, m, -1.1514610310e-1);
  p = poly(p, m, 1.1676998740e-1);
  p = poly(p, m, -1.2420140846e-1);
  p = poly(p, m, 1.4249322787e-1);
  p = poly(p, m, -1.6668057665e-1);
  p = poly(p, m, 2.0000714765e-1);
  p = poly(p, m, -2.4999993993e-1);
  p = poly(p, m, 3.3333331174e-1);
  const square = f32x4.mul(m, m);
  let y = f32x4.mul(f32x4.mul(p, m), square);
  y = f32x4.add(y, f32x4.mul(exponent, f32x4.splat(ln2Low)));
  y = f32x4.sub(y, f32x4.mul(square, f32x4.splat(0.5)));
  y = f32x4.add(f32x4.add(m, y), f32x4.mul(exponent, f32x4.splat(ln2High)));
  // x - x is zero, and not a number when x is none or infinite.
  return f32x4.add(y, f32x4.sub(x, x));
}

/** log(1 + x) for x from 0 to 1: what rounding took from 1 + x is put back by the quotient. */
@inline
export function logOfOnePlus4(x: v128): v128 {
  const one = f32x4.splat(1);
  const sum = f32x4.add(x, one);
  const y = f32x4.div(f32x4.mul(log4(sum), x), f32x4.sub(sum, one));
  return v128.bitselect(x, y, f32x4.eq(sum, one));
}

@inline
export function sigmoid4(x: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))));
}

export function tanh4(x: v128): v128 {
  const one = f32x4.splat(1);
  const size = f32x4.abs(x);
  const square = f32x4.mul(x, x);
  let p = f32x4.splat(-5.70498872745e-3);
  p = poly(p, square, 2.06390887954e-2);
  p = poly(p, square, -5.37397155531e-2);
  p = poly(p, square, 1.33314422036e-1);
  p = poly(p, square, -3.33332819422e-1);
  const near = f32x4.add(f32x4.mul(f32x4.mul(p, square), x), x);
  const e = f32x4.add(exp4(f32x4.add(size, size)), one);
  const far = f32x4.sub(one, f32x4.div(f32x4.splat(2), e));
  const sign = v128.and(x, i32x4.splat(0x80000000));
  return v128.bitselect(near, v128.or(far, sign), f32x4.lt(size, f32x4.splat(0.625)));
}

/** log(1 + e^x) */
@inline
export function softplus4(x: v128): v128 {
  return f32x4.add(f32x4.pmax(x, f32x4.splat(0)), logOfOnePlus4(exp4(f32x4.neg(f32x4.abs(x)))));
}

@inline
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

@inline
export function log1(x: f32): f32 {
  return f32x4.extract_lane(log4(f32x4.splat(x)), 0);
}

@inline
export function logOfOnePlus1(x: f32): f32 {
  return f32x4.extract_lane(logOfOnePlus4(f32x4.splat(x)), 0);
}
