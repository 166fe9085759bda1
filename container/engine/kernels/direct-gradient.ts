/**
 * The gradient of the weights of a convolution of stride 1, from the same padded images as the way forward (direct.ts).
 *
 * Images and gradients are copied into panels of groups of four places, in the order in which they are summed; then a tile
 * of a few weights times two filters goes over them.
 *
 * Invariant DG1: the gradient of a weight is summed over the samples, in each row by row, in four running sums of every
 * fourth place, which are joined at the end. The last four places of a row overlap those before where its length is no
 * multiple of four: what was counted already is left out. The order does not depend on how many samples are in a panel.
 */
import { multiplyAdd } from './tile.ts';
import { joined } from './vector.ts';

/** Weights in a tile; it has two filters. */
const each: i32 = ASC_FEATURE_RELAXED_SIMD ? 6 : 4;
/** Groups in a panel: with these the panels of a tile stay in the first-level cache. */
const mostGroups: i32 = 192;

@inline
function bytes(values: i32): usize {
  return <usize>values << 2;
}

@inline
function groupsOf(height: i32, width: i32): i32 {
  return height * ((width + 3) / 4);
}

@inline
function samplesAtOnce(height: i32, width: i32): i32 {
  return max(1, mostGroups / groupsOf(height, width));
}

@inline
function sumBytes(depth: i32, filters: i32): i32 {
  return ((depth + each - 1) / each) * ((filters + 1) / 2) * each * 32;
}

/** Bytes of room that `convolveGradient` needs. */
export function gradientScratch(depth: i32, filters: i32, height: i32, width: i32): i32 {
  const groups = samplesAtOnce(height, width) * groupsOf(height, width);
  return sumBytes(depth, filters) + groups * 16 * (each + 2 * ((filters + 1) / 2));
}

/** out[weight][filter], the sum over the samples. */
export function convolveGradient(
  x: usize,
  xStep: usize,
  samples: i32,
  offsets: usize,
  depth: i32,
  dz: usize,
  dzStep: usize,
  filters: i32,
  height: i32,
  width: i32,
  xWidth: i32,
  out: usize,
  scratch: usize,
): void {
  const most = samplesAtOnce(height, width);
  const weights = scratch + <usize>sumBytes(depth, filters);
  const gradients = weights + <usize>(most * groupsOf(height, width) * each * 16);
  memory.fill(scratch, 0, sumBytes(depth, filters));
  for (let s = 0; s < samples; s += most) {
    const count = min(most, samples - s);
    const groups = count * groupsOf(height, width);
    const pair = <usize>(groups * 32);
    for (let f = 0, to = gradients; f < filters; f += 2, to += pair) {
      const from = dz + <usize>s * dzStep + bytes(f * height * width);
      const other = f + 1 < filters ? bytes(height * width) : 0;
      packGradients(from, from + other, dzStep, count, height, width, to);
    }
    let sums = scratch;
    for (let k = 0; k < depth; k += each) {
      for (let i = 0; i < each; i++) {
        const o = <usize>load<u32>(offsets + bytes(min(k + i, depth - 1)));
        packPlaces(x + <usize>s * xStep + o, xStep, count, height, width, xWidth, weights + <usize>(i * 16));
      }
      for (let f = 0, panel = gradients; f < filters; f += 2, panel += pair, sums += each * 32) {
        dotTile(groups, weights, panel, sums);
      }
    }
  }
  join(scratch, depth, filters, out);
}

/** The values of one weight: a group every `each` vectors. */
function packPlaces(x: usize, xStep: usize, samples: i32, height: i32, width: i32, xWidth: i32, to: usize): void {
  const last = bytes(width - 4);
  const even = last & ~31;
  for (let s = 0; s < samples; s++, x += xStep) {
    let row = x;
    for (let i = 0; i < height; i++, row += bytes(xWidth)) {
      let o: usize = 0;
      for (; o < even; o += 32) {
        v128.store(to, v128.load(row + o));
        v128.store(to + each * 16, v128.load(row + o, 16));
        to += each * 32;
      }
      if (o < last) {
        v128.store(to, v128.load(row + o));
        to += each * 16;
      }
      if (o + 16 < last) {
        v128.store(to, v128.load(row + o, 16));
        to += each * 16;
      }
      v128.store(to, v128.load(row + last));
      to += each * 16;
    }
  }
}

/** The gradients of two filters side by side; zeros where a group overlaps the one before. */
function packGradients(d0: usize, d1: usize, step: usize, samples: i32, height: i32, width: i32, to: usize): void {
  const last = bytes(width - 4);
  const overlap = (4 - (width & 3)) & 3;
  const rest = i32x4.ge_s(i32x4(0, 1, 2, 3), i32x4.splat(overlap));
  for (let s = 0; s < samples; s++, d0 += step, d1 += step) {
    let p0 = d0;
    let p1 = d1;
    for (let i = 0; i < height; i++, p0 += bytes(width), p1 += bytes(width)) {
      for (let o: usize = 0; o < last; o += 16, to += 32) {
        v128.store(to, v128.load(p0 + o));
        v128.store(to, v128.load(p1 + o), 16);
      }
      v128.store(to, v128.and(v128.load(p0 + last), rest));
      v128.store(to, v128.and(v128.load(p1 + last), rest), 16);
      to += 32;
    }
  }
}

function join(sums: usize, depth: i32, filters: i32, out: usize): void {
  for (let k = 0; k < depth; k += each) {
    for (let f = 0; f < filters; f += 2) {
      for (let i = k; i < k + each; i++, sums += 32) {
        if (i >= depth) continue;
        const to = out + bytes(i * filters + f);
        store<f32>(to, joined(v128.load(sums)));
        if (f + 1 < filters) store<f32>(to, joined(v128.load(sums, 16)), 4);
      }
    }
  }
}

/**
 * Adds the products of a tile's panels to its sums. Exported so that it stays a function of its own: inlined into the loops
 * around it, V8 spills the accumulators, and it takes half as long again.
 */
export function dotTile(groups: i32, weights: usize, gradients: usize, sums: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) dotTile6(groups, weights, gradients, sums);
  else dotTile4(groups, weights, gradients, sums);
}

function dotTile6(groups: i32, a: usize, b: usize, sums: usize): void {
  let c00 = v128.load(sums);
  let c01 = v128.load(sums, 16);
  let c10 = v128.load(sums, 32);
  let c11 = v128.load(sums, 48);
  let c20 = v128.load(sums, 64);
  let c21 = v128.load(sums, 80);
  let c30 = v128.load(sums, 96);
  let c31 = v128.load(sums, 112);
  let c40 = v128.load(sums, 128);
  let c41 = v128.load(sums, 144);
  let c50 = v128.load(sums, 160);
  let c51 = v128.load(sums, 176);
  const end = a + <usize>(groups * 96);
  while (a < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load(a);
    c00 = multiplyAdd(x, b0, c00);
    c01 = multiplyAdd(x, b1, c01);
    x = v128.load(a, 16);
    c10 = multiplyAdd(x, b0, c10);
    c11 = multiplyAdd(x, b1, c11);
    x = v128.load(a, 32);
    c20 = multiplyAdd(x, b0, c20);
    c21 = multiplyAdd(x, b1, c21);
    x = v128.load(a, 48);
    c30 = multiplyAdd(x, b0, c30);
    c31 = multiplyAdd(x, b1, c31);
    x = v128.load(a, 64);
    c40 = multiplyAdd(x, b0, c40);
    c41 = multiplyAdd(x, b1, c41);
    x = v128.load(a, 80);
    c50 = multiplyAdd(x, b0, c50);
    c51 = multiplyAdd(x, b1, c51);
    a += 96;
    b += 32;
  }
  v128.store(sums, c00);
  v128.store(sums, c01, 16);
  v128.store(sums, c10, 32);
  v128.store(sums, c11, 48);
  v128.store(sums, c20, 64);
  v128.store(sums, c21, 80);
  v128.store(sums, c30, 96);
  v128.store(sums, c31, 112);
  v128.store(sums, c40, 128);
  v128.store(sums, c41, 144);
  v128.store(sums, c50, 160);
  v128.store(sums, c51, 176);
}

function dotTile4(groups: i32, a: usize, b: usize, sums: usize): void {
  let c00 = v128.load(sums);
  let c01 = v128.load(sums, 16);
  let c10 = v128.load(sums, 32);
  let c11 = v128.load(sums, 48);
  let c20 = v128.load(sums, 64);
  let c21 = v128.load(sums, 80);
  let c30 = v128.load(sums, 96);
  let c31 = v128.load(sums, 112);
  const end = a + <usize>(groups * 64);
  while (a < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load(a);
    c00 = multiplyAdd(x, b0, c00);
    c01 = multiplyAdd(x, b1, c01);
    x = v128.load(a, 16);
    c10 = multiplyAdd(x, b0, c10);
    c11 = multiplyAdd(x, b1, c11);
    x = v128.load(a, 32);
    c20 = multiplyAdd(x, b0, c20);
    c21 = multiplyAdd(x, b1, c21);
    x = v128.load(a, 48);
    c30 = multiplyAdd(x, b0, c30);
    c31 = multiplyAdd(x, b1, c31);
    a += 64;
    b += 32;
  }
  v128.store(sums, c00);
  v128.store(sums, c01, 16);
  v128.store(sums, c10, 32);
  v128.store(sums, c11, 48);
  v128.store(sums, c20, 64);
  v128.store(sums, c21, 80);
  v128.store(sums, c30, 96);
  v128.store(sums, c31, 112);
}
