/** Builds IDX files for tests: a header over any dimensions, then the values. */
export function idxFile(dimensions: readonly number[], values: ArrayLike<number>, type = 8): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * dimensions.length + values.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, (type << 8) | dimensions.length);
  for (const [i, size] of dimensions.entries()) view.setUint32(4 + 4 * i, size);
  bytes.set(values, 4 + 4 * dimensions.length);
  return bytes;
}

/** `count` images of `side` x `side` whose pixels all equal the index of the image, and labels that count up. */
export function idxPair(count: number, side = 28, classes = 10): { images: Uint8Array; labels: Uint8Array } {
  const pixels = Uint8Array.from({ length: count * side * side }, (_, i) => Math.floor(i / (side * side)) % 256);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % classes);
  return { images: idxFile([count, side, side], pixels), labels: idxFile([count], labels) };
}
