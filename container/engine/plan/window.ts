/** Where the windows of a convolution or pooling lie, as TensorFlow lays them: the smaller half of the padding first. */
export interface WindowPlan {
  readonly strides: readonly [number, number];
  readonly padding: 'valid' | 'same';
}

/** Rows or columns of zeros before the first of the image. */
export function paddingBefore(
  axis: 0 | 1,
  size: readonly [number, number],
  { strides, padding }: WindowPlan,
  input: readonly number[],
  output: readonly number[],
): number {
  if (padding === 'valid') return 0;
  const over = (output[axis]! - 1) * strides[axis] + size[axis] - input[axis]!;
  return Math.floor(Math.max(0, over) / 2);
}
