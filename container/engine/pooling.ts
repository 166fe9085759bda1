/**
 * Gradients of 2-d pooling as plain loops. The kernels of TensorFlow.js 4.22 are not used: MaxPoolGrad of the
 * WebAssembly backend sends the gradient of a window without a positive value to its first one, and AvgPoolGrad of every backend divides
 * the windows that reach over the edge by their whole size, where the forward pass divides by the part inside.
 *
 * Invariants
 *  G1  Max: the gradient goes to the first largest value of a window, row by row.
 *  G2  Average: it is shared by the values inside the image.
 *  G3  Windows lie as TensorFlow lays them: with padding 'same' the smaller half of the padding comes first.
 */
export type Shape4 = readonly [number, number, number, number];

export interface Window {
  readonly size: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly padding: 'valid' | 'same';
}

interface Place {
  /** Of the window's first value inside the image and of its last one, plus one. */
  readonly from: number;
  readonly to: number;
}

export function maxPoolGradient(
  x: Float32Array,
  y: Float32Array,
  dy: Float32Array,
  [samples, height, width, channels]: Shape4,
  window: Window,
): Float32Array {
  const dx = new Float32Array(x.length);
  const rows = places(height, 0, window);
  const columns = places(width, 1, window);
  let at = 0;
  for (let sample = 0; sample < samples; sample += 1) {
    const image = sample * height * width * channels;
    for (const row of rows) {
      for (const column of columns) {
        for (let channel = 0; channel < channels; channel += 1, at += 1) {
          const largest = y[at]!;
          search: for (let r = row.from; r < row.to; r += 1) {
            for (let c = column.from; c < column.to; c += 1) {
              const i = image + (r * width + c) * channels + channel;
              if (x[i] !== largest) continue;
              dx[i]! += dy[at]!;
              break search;
            }
          }
        }
      }
    }
  }
  return dx;
}

export function averagePoolGradient(
  dy: Float32Array,
  [samples, height, width, channels]: Shape4,
  window: Window,
): Float32Array {
  const dx = new Float32Array(samples * height * width * channels);
  const rows = places(height, 0, window);
  const columns = places(width, 1, window);
  let at = 0;
  for (let sample = 0; sample < samples; sample += 1) {
    const image = sample * height * width * channels;
    for (const row of rows) {
      for (const column of columns) {
        const share = 1 / ((row.to - row.from) * (column.to - column.from));
        for (let r = row.from; r < row.to; r += 1) {
          for (let c = column.from; c < column.to; c += 1) {
            const i = image + (r * width + c) * channels;
            for (let channel = 0; channel < channels; channel += 1) dx[i + channel]! += dy[at + channel]! * share;
          }
        }
        at += channels;
      }
    }
  }
  return dx;
}

/** Where the windows lie along one axis, clipped to the image. */
function places(length: number, axis: 0 | 1, { size, strides, padding }: Window): Place[] {
  const window = size[axis];
  const stride = strides[axis];
  const count = Math.ceil((padding === 'same' ? length : length - window + 1) / stride);
  const over = padding === 'same' ? Math.max(0, (count - 1) * stride + window - length) : 0;
  return Array.from({ length: count }, (_, index) => {
    const corner = index * stride - Math.floor(over / 2);
    return { from: Math.max(0, corner), to: Math.min(length, corner + window) };
  });
}
