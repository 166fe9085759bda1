/**
 * bfloat16, the upper half of a float32: rounding to it, and moving it. The meaning is core/bfloat16.ts, whose invariants
 * hold here too.
 */

@inline
function bytes(values: i32): usize {
  return <usize>values << 2;
}

/** To the nearest, of two as near to the even one; NaN becomes the one NaN. */
@inline
export function rounded(v: v128): v128 {
  const odd = v128.and(i32x4.shr_u(v, 16), i32x4.splat(1));
  const up = i32x4.add(v, i32x4.add(odd, i32x4.splat(0x7fff)));
  return v128.bitselect(v128.and(up, i32x4.splat(0xffff0000)), i32x4.splat(0x7fc00000), f32x4.eq(v, v));
}

@inline
function roundedOne(value: f32): f32 {
  return f32x4.extract_lane(rounded(f32x4.splat(value)), 0);
}

export function round(x: usize, n: i32): void {
  const end = x + bytes(n & ~3);
  for (; x < end; x += 16) v128.store(x, rounded(v128.load(x)));
  for (let i = n & 3; i > 0; i--, x += 4) store<f32>(x, roundedOne(load<f32>(x)));
}

/** y = y + x, rounded */
export function addRounded(y: usize, x: usize, n: i32): void {
  const end = y + bytes(n & ~3);
  for (; y < end; y += 16, x += 16) v128.store(y, rounded(f32x4.add(v128.load(y), v128.load(x))));
  for (let i = n & 3; i > 0; i--, y += 4, x += 4) store<f32>(y, roundedOne(load<f32>(y) + load<f32>(x)));
}

/** The upper halves of the leading values, up to the first that has a lower half; answers how many. */
export function pack(x: usize, n: i32, halves: usize): i32 {
  let i = 0;
  for (; i + 16 <= n; i += 16, x += 64, halves += 32) {
    const a = v128.load(x);
    const b = v128.load(x, 16);
    const c = v128.load(x, 32);
    const d = v128.load(x, 48);
    const all = v128.or(v128.or(a, b), v128.or(c, d));
    if (v128.any_true(v128.and(all, i32x4.splat(0xffff)))) break;
    v128.store(halves, i16x8.shuffle(a, b, 1, 3, 5, 7, 9, 11, 13, 15));
    v128.store(halves, i16x8.shuffle(c, d, 1, 3, 5, 7, 9, 11, 13, 15), 16);
  }
  for (; i < n; i++, x += 4, halves += 2) {
    const value = load<u32>(x);
    if ((value & 0xffff) != 0) break;
    store<u16>(halves, <u16>(value >> 16));
  }
  return i;
}

/** The first values of x from their halves, which lie at the end of the room for those values. */
export function unpack(x: usize, n: i32): void {
  const zero = i32x4.splat(0);
  let halves = x + (<usize>n << 1);
  let i = 0;
  for (; i + 16 <= n; i += 16, x += 64, halves += 32) {
    // Both before anything is written: it may be where they are.
    const a = v128.load(halves);
    const b = v128.load(halves, 16);
    v128.store(x, i16x8.shuffle(zero, a, 0, 8, 1, 9, 2, 10, 3, 11));
    v128.store(x, i16x8.shuffle(zero, a, 4, 12, 5, 13, 6, 14, 7, 15), 16);
    v128.store(x, i16x8.shuffle(zero, b, 0, 8, 1, 9, 2, 10, 3, 11), 32);
    v128.store(x, i16x8.shuffle(zero, b, 4, 12, 5, 13, 6, 14, 7, 15), 48);
  }
  for (; i < n; i++, x += 4, halves += 2) store<u32>(x, <u32>load<u16>(halves) << 16);
}
