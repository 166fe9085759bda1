/**
 * The columns of a convolution: for each weight of the window (row, column, channel: the order of the kernel tensor) one
 * row with the value that it meets at each place of the output. The convolution is then a product.
 *
 * One image in planes; `from` and `to` are rows of the output, so that a large image goes in pieces that stay in the cache.
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
  top: i32,
  left: i32,
  outWidth: i32,
  from: i32,
  to: i32,
  out: usize,
): void {
  const row = bytes(outWidth);
  for (let r = 0; r < kernelHeight; r++) {
    for (let q = 0; q < kernelWidth; q++) {
      const first = firstInside(q, left, strideX);
      const end = endInside(q, left, strideX, width, outWidth);
      for (let c = 0; c < channels; c++) {
        const plane = x + bytes(c * height * width);
        for (let i = from; i < to; i++, out += row) {
          const y = i * strideY + r - top;
          if (y < 0 || y >= height || first >= end) {
            zero(out, row);
            continue;
          }
          if (first > 0) zero(out, bytes(first));
          if (end < outWidth) zero(out + bytes(end), bytes(outWidth - end));
          const source = plane + bytes(y * width + first * strideX + q - left);
          if (strideX == 1) copy(out + bytes(first), source, bytes(end - first));
          else gather(out + bytes(first), source, bytes(strideX), end - first);
        }
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
  top: i32,
  left: i32,
  outWidth: i32,
  from: i32,
  to: i32,
  x: usize,
): void {
  const row = bytes(outWidth);
  for (let r = 0; r < kernelHeight; r++) {
    for (let q = 0; q < kernelWidth; q++) {
      const first = firstInside(q, left, strideX);
      const end = endInside(q, left, strideX, width, outWidth);
      for (let c = 0; c < channels; c++) {
        const plane = x + bytes(c * height * width);
        for (let i = from; i < to; i++, columns += row) {
          const y = i * strideY + r - top;
          if (y < 0 || y >= height || first >= end) continue;
          const target = plane + bytes(y * width + first * strideX + q - left);
          if (strideX == 1) addTo(target, columns + bytes(first), bytes(end - first));
          else scatter(target, bytes(strideX), columns + bytes(first), end - first);
        }
      }
    }
  }
}

/** The first place along a row of the output that lies inside the image for column q of the window. */
@inline
function firstInside(q: i32, left: i32, stride: i32): i32 {
  return max(0, (left - q + stride - 1) / stride);
}

/** The place behind the last. */
@inline
function endInside(q: i32, left: i32, stride: i32, width: i32, outWidth: i32): i32 {
  const last = width - 1 + left - q;
  return last < 0 ? 0 : min(outWidth, last / stride + 1);
}

// Rows are short: calls of memory.fill and memory.copy would cost more than what they do.

@inline
function zero(to: usize, length: usize): void {
  const none = f32x4.splat(0);
  while (length >= 16) {
    v128.store(to, none);
    to += 16;
    length -= 16;
  }
  while (length) {
    store<f32>(to, 0);
    to += 4;
    length -= 4;
  }
}

/** The last four values overlap those before. */
@inline
function copy(to: usize, from: usize, length: usize): void {
  if (length < 16) {
    while (length) {
      store<f32>(to, load<f32>(from));
      to += 4;
      from += 4;
      length -= 4;
    }
    return;
  }
  const end = length - 16;
  for (let o: usize = 0; o < end; o += 16) v128.store(to + o, v128.load(from + o));
  v128.store(to + end, v128.load(from + end));
}

@inline
function addTo(to: usize, from: usize, length: usize): void {
  while (length >= 16) {
    v128.store(to, f32x4.add(v128.load(to), v128.load(from)));
    to += 16;
    from += 16;
    length -= 16;
  }
  while (length) {
    store<f32>(to, load<f32>(to) + load<f32>(from));
    to += 4;
    from += 4;
    length -= 4;
  }
}

@inline
function gather(to: usize, from: usize, step: usize, count: i32): void {
  for (let i = 0; i < count; i++, to += 4, from += step) store<f32>(to, load<f32>(from));
}

@inline
function scatter(to: usize, step: usize, from: usize, count: i32): void {
  for (let i = 0; i < count; i++, from += 4, to += step) store<f32>(to, load<f32>(to) + load<f32>(from));
}
