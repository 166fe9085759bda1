/**
 * Sums, biases and other passes over vectors. Two ways a layer's values lie: `rows` are [row][channel], `planes` are
 * [sample][channel][place]; see container/engine/plan/layout.ts.
 *
 * Invariants
 *  V1  A pass writes exactly the values it is given, also where their number is no multiple of four.
 *  V2  Sums run in one order that depends on the shape alone.
 */

@inline
function bytes(values: i32): usize {
  return <usize>values << 2;
}

export function fill(x: usize, n: i32, value: f32): void {
  const end = x + bytes(n & ~3);
  const v = f32x4.splat(value);
  for (; x < end; x += 16) v128.store(x, v);
  for (let i = n & 3; i > 0; i--, x += 4) store<f32>(x, value);
}

/** y += x */
export function add(y: usize, x: usize, n: i32): void {
  const many = y + bytes(n & ~15);
  for (; y < many; y += 64, x += 64) {
    v128.store(y, f32x4.add(v128.load(y), v128.load(x)));
    v128.store(y, f32x4.add(v128.load(y, 16), v128.load(x, 16)), 16);
    v128.store(y, f32x4.add(v128.load(y, 32), v128.load(x, 32)), 32);
    v128.store(y, f32x4.add(v128.load(y, 48), v128.load(x, 48)), 48);
  }
  const end = y + bytes(n & 12);
  for (; y < end; y += 16, x += 16) v128.store(y, f32x4.add(v128.load(y), v128.load(x)));
  for (let i = n & 3; i > 0; i--, y += 4, x += 4) store<f32>(y, load<f32>(y) + load<f32>(x));
}

/** y += scale * x */
export function addScaled(y: usize, x: usize, n: i32, scale: f32): void {
  for (let i = 0; i < n; i++, y += 4, x += 4) store<f32>(y, load<f32>(y) + scale * load<f32>(x));
}

/** y = x * w, value by value; y and x may be the same. */
export function multiply(x: usize, w: usize, y: usize, n: i32): void {
  const end = y + bytes(n & ~3);
  for (; y < end; y += 16, x += 16, w += 16) v128.store(y, f32x4.mul(v128.load(x), v128.load(w)));
  for (let i = n & 3; i > 0; i--, y += 4, x += 4, w += 4) store<f32>(y, load<f32>(x) * load<f32>(w));
}

/** 1 when every value is a number: zero times anything else is NaN, and NaN stays. */
export function finite(x: usize, n: i32): i32 {
  const zero = f32x4.splat(0);
  const end = x + bytes(n & ~3);
  let sum = zero;
  for (; x < end; x += 16) sum = f32x4.add(sum, f32x4.mul(v128.load(x), zero));
  for (let i = n & 3; i > 0; i--, x += 4) sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(x), zero));
  return i32(v128.any_true(f32x4.ne(sum, zero)) == false);
}

export function biasRows(x: usize, bias: usize, rows: i32, width: i32): void {
  for (let i = 0; i < rows; i++, x += bytes(width)) add(x, bias, width);
}

export function biasPlanes(x: usize, bias: usize, samples: i32, channels: i32, places: i32): void {
  for (let s = 0; s < samples; s++) {
    for (let c = 0; c < channels; c++) {
      const b = load<f32>(bias + bytes(c));
      const v = f32x4.splat(b);
      const end = x + bytes(places & ~3);
      for (; x < end; x += 16) v128.store(x, f32x4.add(v128.load(x), v));
      for (let i = places & 3; i > 0; i--, x += 4) store<f32>(x, load<f32>(x) + b);
    }
  }
}

/** out[j] = sum over the rows, from the first to the last. */
export function sumRows(x: usize, rows: i32, width: i32, out: usize): void {
  fill(out, width, 0);
  for (let i = 0; i < rows; i++, x += bytes(width)) add(out, x, width);
}

/** out[c] = sum over samples and places: four running sums, joined at the end, and the odd values in a fifth. */
export function sumPlanes(x: usize, samples: i32, channels: i32, places: i32, out: usize): void {
  for (let c = 0; c < channels; c++) {
    let four = f32x4.splat(0);
    let odd: f32 = 0;
    for (let s = 0; s < samples; s++) {
      let p = x + bytes((s * channels + c) * places);
      const end = p + bytes(places & ~3);
      for (; p < end; p += 16) four = f32x4.add(four, v128.load(p));
      for (let i = places & 3; i > 0; i--, p += 4) odd += load<f32>(p);
    }
    store<f32>(out + bytes(c), joined(four) + odd);
  }
}

@inline
export function joined(v: v128): f32 {
  return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/** y[s][j][i] = x[s][i][j]: from rows to planes and back. */
export function transposeEach(x: usize, samples: i32, rows: i32, columns: i32, y: usize): void {
  for (let s = 0; s < samples; s++) {
    let i = 0;
    for (; i + 4 <= rows; i += 4) {
      let j = 0;
      for (; j + 4 <= columns; j += 4) {
        const from = x + bytes(i * columns + j);
        const r0 = v128.load(from);
        const r1 = v128.load(from + bytes(columns));
        const r2 = v128.load(from + bytes(2 * columns));
        const r3 = v128.load(from + bytes(3 * columns));
        const low01 = i32x4.shuffle(r0, r1, 0, 4, 1, 5);
        const low23 = i32x4.shuffle(r2, r3, 0, 4, 1, 5);
        const high01 = i32x4.shuffle(r0, r1, 2, 6, 3, 7);
        const high23 = i32x4.shuffle(r2, r3, 2, 6, 3, 7);
        const to = y + bytes(j * rows + i);
        v128.store(to, i64x2.shuffle(low01, low23, 0, 2));
        v128.store(to + bytes(rows), i64x2.shuffle(low01, low23, 1, 3));
        v128.store(to + bytes(2 * rows), i64x2.shuffle(high01, high23, 0, 2));
        v128.store(to + bytes(3 * rows), i64x2.shuffle(high01, high23, 1, 3));
      }
      for (; j < columns; j++) for (let r = i; r < i + 4; r++) one(x, y, r, j, rows, columns);
    }
    for (; i < rows; i++) for (let j = 0; j < columns; j++) one(x, y, i, j, rows, columns);
    x += bytes(rows * columns);
    y += bytes(rows * columns);
  }
}

@inline
function one(x: usize, y: usize, i: i32, j: i32, rows: i32, columns: i32): void {
  store<f32>(y + bytes(j * rows + i), load<f32>(x + bytes(i * columns + j)));
}
