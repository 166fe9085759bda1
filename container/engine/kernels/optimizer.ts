/**
 * The optimizers over flat vectors, with the formulas of container/engine/optimizer.ts, in float32. The gradient is
 * sum[i] * scale. What depends on the step alone (corrections of adam) comes in as a number.
 *
 * Each answers whether all new weights are finite: 1 or 0. To ask afterwards would be one more pass over them.
 */

@inline
function times(x: v128, by: f32): v128 {
  return f32x4.mul(x, f32x4.splat(by));
}

/** Four values, or one where the vector ends (V1 of vector.ts). */
@inline
function get(p: usize, whole: bool): v128 {
  return whole ? v128.load(p) : v128.load32_zero(p);
}

@inline
function put(p: usize, value: v128, whole: bool): void {
  if (whole) v128.store(p, value);
  else v128.store32_lane(p, value, 0);
}

/** NaN in any of the four as soon as one of `value` is not finite, else zeros. */
@inline
function watch(seen: v128, value: v128): v128 {
  return f32x4.add(seen, f32x4.mul(value, f32x4.splat(0)));
}

@inline
function allZero(seen: v128): i32 {
  return i32(!v128.any_true(f32x4.ne(seen, f32x4.splat(0))));
}

/** The sum of the squares in doubles: two running sums of every other value, joined at the end. */
export function squareSum(x: usize, n: i32): f64 {
  const end = x + (<usize>n << 2);
  let sums = f64x2.splat(0);
  for (; x + 8 <= end; x += 8) {
    const pair = f64x2.promote_low_f32x4(v128.load64_zero(x));
    sums = f64x2.add(sums, f64x2.mul(pair, pair));
  }
  const last = x < end ? <f64>load<f32>(x) : 0;
  return f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1) + last * last;
}

/** x *= by, cut off at +-limit, which may be infinite. */
export function scaleClipped(x: usize, n: i32, by: f32, limit: f32): void {
  const end = x + (<usize>n << 2);
  while (x < end) {
    const whole = x + 16 <= end;
    const most = f32x4.splat(limit);
    put(x, f32x4.max(f32x4.neg(most), f32x4.min(most, times(get(x, whole), by))), whole);
    x += whole ? 16 : 4;
  }
}

export function sgd(w: usize, sum: usize, n: i32, scale: f32, rate: f32): i32 {
  const end = w + (<usize>n << 2);
  let seen = f32x4.splat(0);
  while (w < end) {
    const whole = w + 16 <= end;
    const next = f32x4.sub(get(w, whole), times(times(get(sum, whole), scale), rate));
    seen = watch(seen, next);
    put(w, next, whole);
    const step: usize = whole ? 16 : 4;
    w += step;
    sum += step;
  }
  return allZero(seen);
}

export function momentum(
  w: usize,
  v: usize,
  sum: usize,
  n: i32,
  scale: f32,
  rate: f32,
  momentum: f32,
  nesterov: i32,
): i32 {
  const end = w + (<usize>n << 2);
  let seen = f32x4.splat(0);
  while (w < end) {
    const whole = w + 16 <= end;
    const g = times(get(sum, whole), scale);
    const velocity = f32x4.add(times(get(v, whole), momentum), g);
    put(v, velocity, whole);
    const move = nesterov ? f32x4.add(g, times(velocity, momentum)) : velocity;
    const next = f32x4.sub(get(w, whole), times(move, rate));
    seen = watch(seen, next);
    put(w, next, whole);
    const step: usize = whole ? 16 : 4;
    w += step;
    v += step;
    sum += step;
  }
  return allZero(seen);
}

/** `rate` is already divided by 1 - beta1^t, `correct2` is 1 / (1 - beta2^t), `rest` are 1 - beta. */
export function adam(
  w: usize,
  m: usize,
  v: usize,
  sum: usize,
  n: i32,
  scale: f32,
  rate: f32,
  beta1: f32,
  rest1: f32,
  beta2: f32,
  rest2: f32,
  correct2: f32,
  epsilon: f32,
): i32 {
  const end = w + (<usize>n << 2);
  let seen = f32x4.splat(0);
  while (w < end) {
    const whole = w + 16 <= end;
    const g = times(get(sum, whole), scale);
    const mean = f32x4.add(times(get(m, whole), beta1), times(g, rest1));
    const square = f32x4.add(times(get(v, whole), beta2), f32x4.mul(times(g, rest2), g));
    put(m, mean, whole);
    put(v, square, whole);
    const below = f32x4.add(f32x4.sqrt(times(square, correct2)), f32x4.splat(epsilon));
    const next = f32x4.sub(get(w, whole), f32x4.div(times(mean, rate), below));
    seen = watch(seen, next);
    put(w, next, whole);
    const step: usize = whole ? 16 : 4;
    w += step;
    m += step;
    v += step;
    sum += step;
  }
  return allZero(seen);
}

/** `u` is only touched when there is a momentum. */
export function rmsprop(
  w: usize,
  a: usize,
  u: usize,
  sum: usize,
  n: i32,
  scale: f32,
  rate: f32,
  decay: f32,
  rest: f32,
  momentum: f32,
  epsilon: f32,
): i32 {
  const end = w + (<usize>n << 2);
  let seen = f32x4.splat(0);
  while (w < end) {
    const whole = w + 16 <= end;
    const g = times(get(sum, whole), scale);
    const square = f32x4.add(times(get(a, whole), decay), f32x4.mul(times(g, rest), g));
    put(a, square, whole);
    let move = f32x4.div(times(g, rate), f32x4.sqrt(f32x4.add(square, f32x4.splat(epsilon))));
    if (momentum != 0) {
      move = f32x4.add(move, times(get(u, whole), momentum));
      put(u, move, whole);
    }
    const next = f32x4.sub(get(w, whole), move);
    seen = watch(seen, next);
    put(w, next, whole);
    const step: usize = whole ? 16 : 4;
    w += step;
    a += step;
    u += step;
    sum += step;
  }
  return allZero(seen);
}
