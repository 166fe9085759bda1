/**
 * Batch normalisation over the channels of one logical shard, in rows ([row][channel]) or in planes
 * ([sample][channel][place]). In training by the mean and the biased variance of the shard.
 *
 * `stats` are five vectors, one value a channel: mean | variance | 1 / sqrt(variance + epsilon) | sum of dy * normal |
 * sum of dy. The first three are written on the way forward, the last two on the way back.
 */
import { joined, sumPlanes, sumRows } from './vector.ts';

@inline
function bytes(values: i32): usize {
  return <usize>values << 2;
}

@inline
function scale(x: usize, n: i32, by: f32): void {
  for (let i = 0; i < n; i++, x += 4) store<f32>(x, load<f32>(x) * by);
}

export function normInverse(variance: usize, channels: i32, epsilon: f32, inverse: usize): void {
  for (let c = 0; c < channels; c++, variance += 4, inverse += 4) {
    store<f32>(inverse, <f32>1 / sqrt(load<f32>(variance) + epsilon));
  }
}

export function normMomentsRows(x: usize, rows: i32, channels: i32, stats: usize): void {
  const variance = stats + bytes(channels);
  const share = <f32>1 / <f32>rows;
  sumRows(x, rows, channels, stats);
  scale(stats, channels, share);
  for (let c = 0; c < channels; c++) store<f32>(variance + bytes(c), 0);
  for (let i = 0; i < rows; i++) {
    for (let c = 0; c < channels; c++, x += 4) {
      const centred = load<f32>(x) - load<f32>(stats + bytes(c));
      const to = variance + bytes(c);
      store<f32>(to, load<f32>(to) + centred * centred);
    }
  }
  scale(variance, channels, share);
}

export function normMomentsPlanes(x: usize, samples: i32, channels: i32, places: i32, stats: usize): void {
  const variance = stats + bytes(channels);
  const share = <f32>1 / <f32>(samples * places);
  sumPlanes(x, samples, channels, places, stats);
  scale(stats, channels, share);
  for (let c = 0; c < channels; c++) {
    const mean = load<f32>(stats + bytes(c));
    const means = f32x4.splat(mean);
    let four = f32x4.splat(0);
    let odd: f32 = 0;
    for (let s = 0; s < samples; s++) {
      let p = x + bytes((s * channels + c) * places);
      const end = p + bytes(places & ~3);
      for (; p < end; p += 16) {
        const centred = f32x4.sub(v128.load(p), means);
        four = f32x4.add(four, f32x4.mul(centred, centred));
      }
      for (let i = places & 3; i > 0; i--, p += 4) odd += (load<f32>(p) - mean) * (load<f32>(p) - mean);
    }
    store<f32>(variance + bytes(c), joined(four) + odd);
  }
  scale(variance, channels, share);
}

/** normal = (x - mean) * inverse; y = normal * gamma + beta */
export function normApplyRows(
  x: usize,
  rows: i32,
  channels: i32,
  mean: usize,
  inverse: usize,
  gamma: usize,
  beta: usize,
  normal: usize,
  y: usize,
): void {
  for (let i = 0; i < rows; i++) {
    for (let c = 0; c < channels; c++, x += 4, y += 4, normal += 4) {
      const o = bytes(c);
      const value = (load<f32>(x) - load<f32>(mean + o)) * load<f32>(inverse + o);
      store<f32>(normal, value);
      store<f32>(y, value * load<f32>(gamma + o) + load<f32>(beta + o));
    }
  }
}

export function normApplyPlanes(
  x: usize,
  samples: i32,
  channels: i32,
  places: i32,
  mean: usize,
  inverse: usize,
  gamma: usize,
  beta: usize,
  normal: usize,
  y: usize,
): void {
  for (let s = 0; s < samples; s++) {
    for (let c = 0; c < channels; c++) {
      const o = bytes(c);
      const m = v128.load32_splat(mean + o);
      const v = v128.load32_splat(inverse + o);
      const g = v128.load32_splat(gamma + o);
      const b = v128.load32_splat(beta + o);
      const end = x + bytes(places & ~3);
      for (; x < end; x += 16, y += 16, normal += 16) {
        const value = f32x4.mul(f32x4.sub(v128.load(x), m), v);
        v128.store(normal, value);
        v128.store(y, f32x4.add(f32x4.mul(value, g), b));
      }
      for (let i = places & 3; i > 0; i--, x += 4, y += 4, normal += 4) {
        const value = f32x4.mul(f32x4.sub(v128.load32_zero(x), m), v);
        v128.store32_lane(normal, value, 0);
        v128.store32_lane(y, f32x4.add(f32x4.mul(value, g), b), 0);
      }
    }
  }
}

/**
 * dy becomes dx, in place. The mean and the variance depend on every value too: what moves them is taken out,
 * dx = (dy - (sum(dy) + normal * sum(dy * normal)) / n) * gamma * inverse.
 */
export function normGradientRows(dy: usize, normal: usize, rows: i32, channels: i32, gamma: usize, stats: usize): void {
  const inverse = stats + bytes(2 * channels);
  const dGamma = stats + bytes(3 * channels);
  const dBeta = stats + bytes(4 * channels);
  sumRows(dy, rows, channels, dBeta);
  for (let c = 0; c < channels; c++) store<f32>(dGamma + bytes(c), 0);
  for (let i = 0; i < rows; i++) {
    for (let c = 0; c < channels; c++) {
      const o = bytes(i * channels + c);
      const to = dGamma + bytes(c);
      store<f32>(to, load<f32>(to) + load<f32>(dy + o) * load<f32>(normal + o));
    }
  }
  const share = <f32>1 / <f32>rows;
  for (let i = 0; i < rows; i++) {
    for (let c = 0; c < channels; c++, dy += 4, normal += 4) {
      const o = bytes(c);
      const moved = load<f32>(dBeta + o) * share + load<f32>(normal) * (load<f32>(dGamma + o) * share);
      store<f32>(dy, (load<f32>(dy) - moved) * (load<f32>(gamma + o) * load<f32>(inverse + o)));
    }
  }
}

export function normGradientPlanes(
  dy: usize,
  normal: usize,
  samples: i32,
  channels: i32,
  places: i32,
  gamma: usize,
  stats: usize,
): void {
  const inverse = stats + bytes(2 * channels);
  const dGamma = stats + bytes(3 * channels);
  const dBeta = stats + bytes(4 * channels);
  const share = <f32>1 / <f32>(samples * places);
  sumPlanes(dy, samples, channels, places, dBeta);
  for (let c = 0; c < channels; c++) {
    const o = bytes(c);
    let four = f32x4.splat(0);
    let odd: f32 = 0;
    for (let s = 0; s < samples; s++) {
      const at = bytes((s * channels + c) * places);
      let d = dy + at;
      let p = normal + at;
      const end = d + bytes(places & ~3);
      for (; d < end; d += 16, p += 16) four = f32x4.add(four, f32x4.mul(v128.load(d), v128.load(p)));
      for (let i = places & 3; i > 0; i--, d += 4, p += 4) odd += load<f32>(d) * load<f32>(p);
    }
    store<f32>(dGamma + o, joined(four) + odd);
    const mean = f32x4.splat(load<f32>(dBeta + o) * share);
    const tilt = f32x4.splat(load<f32>(dGamma + o) * share);
    const factor = f32x4.splat(load<f32>(gamma + o) * load<f32>(inverse + o));
    for (let s = 0; s < samples; s++) {
      const at = bytes((s * channels + c) * places);
      let d = dy + at;
      let p = normal + at;
      const end = d + bytes(places & ~3);
      for (; d < end; d += 16, p += 16) {
        const moved = f32x4.add(mean, f32x4.mul(v128.load(p), tilt));
        v128.store(d, f32x4.mul(f32x4.sub(v128.load(d), moved), factor));
      }
      for (let i = places & 3; i > 0; i--, d += 4, p += 4) {
        const moved = f32x4.add(mean, f32x4.mul(v128.load32_zero(p), tilt));
        v128.store32_lane(d, f32x4.mul(f32x4.sub(v128.load32_zero(d), moved), factor), 0);
      }
    }
  }
}

/** (mean - moving mean | variance - moving variance) * weight */
export function normDrift(stats: usize, moving: usize, channels: i32, weight: f32, out: usize): void {
  for (let i = 0; i < 2 * channels; i++, stats += 4, moving += 4, out += 4) {
    store<f32>(out, (load<f32>(stats) - load<f32>(moving)) * weight);
  }
}
