/**
 * Pooling of planes, with the rules of container/engine/pooling.ts: the gradient of a maximum goes to the first largest
 * value of the window, row by row; that of a mean is shared by the values inside the image.
 *
 * What is not a number wins a maximum, so that it shows in the loss.
 */

@inline
function bytes(values: i32): usize {
  return <usize>values << 2;
}

/** `places` takes for each value of y the place of its x in the plane. */
export function maxPool(
  x: usize,
  planes: i32,
  height: i32,
  width: i32,
  poolHeight: i32,
  poolWidth: i32,
  strideY: i32,
  strideX: i32,
  top: i32,
  left: i32,
  outHeight: i32,
  outWidth: i32,
  y: usize,
  places: usize,
): void {
  const plain = poolHeight == 2 && poolWidth == 2 && strideY == 2 && strideX == 2 && top == 0 && left == 0;
  if (plain && outHeight * 2 <= height && outWidth * 2 <= width && outWidth >= 4) {
    maxPool2(x, planes, height, width, outHeight, outWidth, y, places);
    return;
  }
  for (let p = 0; p < planes; p++, x += bytes(height * width)) {
    for (let i = 0; i < outHeight; i++) {
      const r0 = max(0, i * strideY - top);
      const r1 = min(height, i * strideY - top + poolHeight);
      for (let j = 0; j < outWidth; j++, y += 4, places += 4) {
        const c0 = max(0, j * strideX - left);
        const c1 = min(width, j * strideX - left + poolWidth);
        let best = r0 * width + c0;
        let value = load<f32>(x + bytes(best));
        for (let r = r0; r < r1; r++) {
          for (let c = c0; c < c1; c++) {
            const other = load<f32>(x + bytes(r * width + c));
            if (other > value || other != other) {
              value = other;
              best = r * width + c;
            }
          }
        }
        store<f32>(y, value);
        store<i32>(places, best);
      }
    }
  }
}

/**
 * Windows of two by two, side by side and all inside the image: four at a time, of which the last four overlap those before.
 * Nothing branches on a value: which is the largest cannot be predicted.
 */
function maxPool2(
  x: usize,
  planes: i32,
  height: i32,
  width: i32,
  outHeight: i32,
  outWidth: i32,
  y: usize,
  places: usize,
): void {
  const row = bytes(width);
  const last = outWidth - 4;
  for (let p = 0; p < planes; p++, x += bytes(height * width)) {
    for (let i = 0; i < outHeight; i++, y += bytes(outWidth), places += bytes(outWidth)) {
      const begin = 2 * i * width;
      for (let j = 0; ; j += 4) {
        const group = min(j, last);
        const from = x + bytes(begin + 2 * group);
        const a0 = v128.load(from);
        const a1 = v128.load(from, 16);
        const b0 = v128.load(from + row);
        const b1 = v128.load(from + row, 16);
        let value = i32x4.shuffle(a0, a1, 0, 2, 4, 6);
        const second = i32x4.shuffle(a0, a1, 1, 3, 5, 7);
        const third = i32x4.shuffle(b0, b1, 0, 2, 4, 6);
        const fourth = i32x4.shuffle(b0, b1, 1, 3, 5, 7);
        const first = i32x4.add(i32x4.splat(begin + 2 * group), i32x4(0, 2, 4, 6));
        let best = first;
        let wins = beats(second, value);
        value = v128.bitselect(second, value, wins);
        best = v128.bitselect(i32x4.add(first, i32x4.splat(1)), best, wins);
        wins = beats(third, value);
        value = v128.bitselect(third, value, wins);
        best = v128.bitselect(i32x4.add(first, i32x4.splat(width)), best, wins);
        wins = beats(fourth, value);
        value = v128.bitselect(fourth, value, wins);
        best = v128.bitselect(i32x4.add(first, i32x4.splat(width + 1)), best, wins);
        v128.store(y + bytes(group), value);
        v128.store(places + bytes(group), best);
        if (j >= last) break;
      }
    }
  }
}

/** Where `other` is larger than `value`, or not a number. */
@inline
function beats(other: v128, value: v128): v128 {
  return v128.or(f32x4.gt(other, value), f32x4.ne(other, other));
}

export function maxPoolGradient(dy: usize, places: usize, planes: i32, inside: i32, outside: i32, dx: usize): void {
  memory.fill(dx, 0, bytes(planes * inside));
  for (let p = 0; p < planes; p++, dx += bytes(inside)) {
    for (let i = 0; i < outside; i++, dy += 4, places += 4) {
      const to = dx + bytes(load<i32>(places));
      store<f32>(to, load<f32>(to) + load<f32>(dy));
    }
  }
}

export function averagePool(
  x: usize,
  planes: i32,
  height: i32,
  width: i32,
  poolHeight: i32,
  poolWidth: i32,
  strideY: i32,
  strideX: i32,
  top: i32,
  left: i32,
  outHeight: i32,
  outWidth: i32,
  y: usize,
): void {
  for (let p = 0; p < planes; p++, x += bytes(height * width)) {
    for (let i = 0; i < outHeight; i++) {
      const r0 = max(0, i * strideY - top);
      const r1 = min(height, i * strideY - top + poolHeight);
      for (let j = 0; j < outWidth; j++, y += 4) {
        const c0 = max(0, j * strideX - left);
        const c1 = min(width, j * strideX - left + poolWidth);
        let sum: f32 = 0;
        for (let r = r0; r < r1; r++) for (let c = c0; c < c1; c++) sum += load<f32>(x + bytes(r * width + c));
        store<f32>(y, sum / <f32>((r1 - r0) * (c1 - c0)));
      }
    }
  }
}

export function averagePoolGradient(
  dy: usize,
  planes: i32,
  height: i32,
  width: i32,
  poolHeight: i32,
  poolWidth: i32,
  strideY: i32,
  strideX: i32,
  top: i32,
  left: i32,
  outHeight: i32,
  outWidth: i32,
  dx: usize,
): void {
  memory.fill(dx, 0, bytes(planes * height * width));
  for (let p = 0; p < planes; p++, dx += bytes(height * width)) {
    for (let i = 0; i < outHeight; i++) {
      const r0 = max(0, i * strideY - top);
      const r1 = min(height, i * strideY - top + poolHeight);
      for (let j = 0; j < outWidth; j++, dy += 4) {
        const c0 = max(0, j * strideX - left);
        const c1 = min(width, j * strideX - left + poolWidth);
        const share = load<f32>(dy) / <f32>((r1 - r0) * (c1 - c0));
        for (let r = r0; r < r1; r++) {
          for (let c = c0; c < c1; c++) {
            const to = dx + bytes(r * width + c);
            store<f32>(to, load<f32>(to) + share);
          }
        }
      }
    }
  }
}
