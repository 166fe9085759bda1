/** The keyed random numbers of core/random.ts, four at a time: number i of a stream follows from (a, b, i) alone. */

const weyl: i32 = 0x9e3779b9;

@inline
function finalise(value: v128): v128 {
  let h = v128.xor(value, i32x4.shr_u(value, 16));
  h = i32x4.mul(h, i32x4.splat(0x85ebca6b));
  h = v128.xor(h, i32x4.shr_u(h, 13));
  h = i32x4.mul(h, i32x4.splat(0xc2b2ae35));
  return v128.xor(h, i32x4.shr_u(h, 16));
}

/** out[i] = kept where the i-th number of the stream is not below the threshold, else 0. */
export function dropoutMask(a: i32, b: i32, threshold: u32, kept: f32, n: i32, out: usize): void {
  const limit = i32x4.splat(threshold);
  const value = f32x4.splat(kept);
  const second = i32x4.splat(b);
  const four = i32x4.splat(4 * weyl);
  let counter = i32x4.add(i32x4.splat(a), i32x4.mul(i32x4(1, 2, 3, 4), i32x4.splat(weyl)));
  for (let i = 0; i < n; i += 4, out += 16) {
    const draw = finalise(v128.xor(finalise(counter), second));
    const mask = v128.and(value, i32x4.ge_u(draw, limit));
    if (i + 4 <= n) v128.store(out, mask);
    else {
      store<f32>(out, f32x4.extract_lane(mask, 0));
      if (n - i > 1) store<f32>(out, f32x4.extract_lane(mask, 1), 4);
      if (n - i > 2) store<f32>(out, f32x4.extract_lane(mask, 2), 8);
    }
    counter = i32x4.add(counter, four);
  }
}
