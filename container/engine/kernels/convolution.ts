/**
 * The columns of a convolution: for each weight of the window (row, column, channel: the order of the kernel tensor) one
 * row with the value that it meets at each place of the output. The convolution is then a product.
 *
 * One image in planes, with the zeros around it (padding.ts): no window reaches outside. `from` and `to` are rows of the
 * output, so that a large image goes in pieces that stay in the cache.
 *
 * Invariant CO1: only whole vectors are copied and added. Behind the end of a row up to three values more are read; they
 * are written to where the next row comes afterwards, or to the 16 bytes that are nobody's (plan/bench.ts); what is added
 * to there is zero.
 */

@inline
function bytes(values: i32): usize {
  return <usize>values << 2;
}

export function imageToColumns(
  x: usize,
  channels: i32,
  height: i32,
  width: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideY: i32,
  strideX: i32,
  outWidth: i32,
  from: i32,
  to: i32,
  out: usize,
): void {
  const step = bytes(strideY * width);
  const length = bytes((to - from) * outWidth);
  for (let r = 0; r < kernelHeight; r++) {
    for (let q = 0; q < kernelWidth; q++) {
      let first = x + bytes((from * strideY + r) * width + q);
      for (let c = 0; c < channels; c++, first += bytes(height * width), out += length) {
        if (strideX == 1) copyRows(first, step, out, out + length, bytes(outWidth));
        else gatherRows(first, step, bytes(strideX), out, out + length, bytes(outWidth));
      }
    }
  }
}

/** Adds the columns back to where they came from, in the same order. */
export function columnsToImage(
  columns: usize,
  channels: i32,
  height: i32,
  width: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideY: i32,
  strideX: i32,
  outWidth: i32,
  from: i32,
  to: i32,
  x: usize,
): void {
  const step = bytes(strideY * width);
  const length = bytes((to - from) * outWidth);
  for (let r = 0; r < kernelHeight; r++) {
    for (let q = 0; q < kernelWidth; q++) {
      let first = x + bytes((from * strideY + r) * width + q);
      for (let c = 0; c < channels; c++, first += bytes(height * width), columns += length) {
        if (strideX == 1) addRows(columns, columns + length, outWidth, first, step);
        else scatterRows(columns, columns + length, bytes(outWidth), first, step, bytes(strideX));
      }
    }
  }
}

// A loop costs more than a vector of its body: four are done at a time, and two, and one.

function copyRows(from: usize, step: usize, to: usize, end: usize, row: usize): void {
  const whole = (row + 15) & ~15;
  const fours = whole & ~63;
  for (; to < end; to += row, from += step) {
    let o: usize = 0;
    for (; o < fours; o += 64) {
      copyTwo(from + o, to + o);
      copyTwo(from + o + 32, to + o + 32);
    }
    if (whole & 32) {
      copyTwo(from + o, to + o);
      o += 32;
    }
    if (whole & 16) v128.store(to + o, v128.load(from + o));
  }
}

@inline
function copyTwo(from: usize, to: usize): void {
  v128.store(to, v128.load(from));
  v128.store(to, v128.load(from, 16), 16);
}

function gatherRows(from: usize, step: usize, stride: usize, to: usize, end: usize, row: usize): void {
  for (; to < end; from += step) {
    let source = from;
    for (const rowEnd = to + row; to < rowEnd; to += 4, source += stride) store<f32>(to, load<f32>(source));
  }
}

function addRows(from: usize, end: usize, width: i32, to: usize, step: usize): void {
  const last = bytes((width - 1) & ~3);
  const inside = i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(width - ((width - 1) & ~3)));
  for (; from < end; from += bytes(width), to += step) {
    for (let o: usize = 0; o < last; o += 16) v128.store(to + o, f32x4.add(v128.load(to + o), v128.load(from + o)));
    v128.store(to + last, f32x4.add(v128.load(to + last), v128.and(v128.load(from + last), inside)));
  }
}

function scatterRows(from: usize, end: usize, row: usize, to: usize, step: usize, stride: usize): void {
  for (; from < end; to += step) {
    let target = to;
    for (const rowEnd = from + row; from < rowEnd; from += 4, target += stride) {
      store<f32>(target, load<f32>(target) + load<f32>(from));
    }
  }
}
