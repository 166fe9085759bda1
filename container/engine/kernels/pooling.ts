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
