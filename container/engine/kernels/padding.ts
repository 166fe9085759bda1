/** Planes with zeros around them, in which every window of a convolution lies inside, and back again. */

@inline
function bytes(values: i32): usize {
  return <usize>values << 2;
}

/** Copies planes into the middle of larger ones, with zeros around. */
export function padPlanes(
  x: usize,
  planes: i32,
  height: i32,
  width: i32,
  top: i32,
  left: i32,
  outHeight: i32,
  outWidth: i32,
  out: usize,
): void {
  memory.fill(out, 0, bytes(planes * outHeight * outWidth));
  for (let p = 0; p < planes; p++) {
    const to = out + bytes((p * outHeight + top) * outWidth + left);
    copyRows(x, bytes(width), to, bytes(outWidth), height, width);
    x += bytes(height * width);
  }
}

/** Copies planes out of the middle of larger ones: the arguments are those of `padPlanes`, for the other direction. */
export function cropPlanes(
  x: usize,
  planes: i32,
  height: i32,
  width: i32,
  top: i32,
  left: i32,
  outHeight: i32,
  outWidth: i32,
  out: usize,
): void {
  for (let p = 0; p < planes; p++) {
    const from = out + bytes((p * outHeight + top) * outWidth + left);
    copyRows(from, bytes(outWidth), x, bytes(width), height, width);
    x += bytes(height * width);
  }
}

/** Rows are short: a call of memory.copy would cost more than what it does. */
function copyRows(from: usize, fromRow: usize, to: usize, toRow: usize, rows: i32, width: i32): void {
  const whole = bytes(width & ~3);
  const row = bytes(width);
  for (let i = 0; i < rows; i++, from += fromRow, to += toRow) {
    let o: usize = 0;
    for (; o < whole; o += 16) v128.store(to + o, v128.load(from + o));
    for (; o < row; o += 4) store<f32>(to + o, load<f32>(from + o));
  }
}
