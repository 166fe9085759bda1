/**
 * The IDX format of MNIST: two zero bytes, a type code, the number of dimensions, the dimensions as big-endian 32-bit
 * numbers, then the values. We read unsigned bytes: images of two or more dimensions (samples first), labels of one.
 *
 * Invariants
 *  X1  Nothing is allocated from a header before the header is checked against the size of the file.
 *  X2  Every refusal names the file, the value found and what is expected.
 */
import { dataInvalid } from './data-error.ts';

export interface IdxHeader {
  readonly dimensions: readonly number[];
  /** Where the values begin. */
  readonly offset: number;
  /** How long the file must be. */
  readonly bytes: number;
}

export interface IdxImages {
  readonly count: number;
  /** Shape of one sample, always with a channel: [28, 28, 1]. */
  readonly shape: readonly number[];
  readonly pixels: Uint8Array;
}

export const maxHeaderBytes = 4 + 4 * 8;
const types: Readonly<Record<number, string>> = {
  8: 'unsigned byte',
  9: 'signed byte',
  11: 'short',
  12: 'int',
  13: 'float',
  14: 'double',
};

/** From the first bytes of the file; `bytes` beyond the header are not looked at. */
export function parseIdxHeader(source: string, bytes: Uint8Array, kind: 'images' | 'labels'): IdxHeader {
  const wanted = kind === 'images' ? 'an IDX image file (magic 0x00000803)' : 'an IDX label file (magic 0x00000801)';
  if (bytes.length < 4) throw dataInvalid(source, `the file has ${bytes.length} bytes; expected ${wanted}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(0);
  const type = (magic >>> 8) & 0xff;
  const rank = magic & 0xff;
  if (magic >>> 16 !== 0 || types[type] === undefined || rank === 0) {
    throw dataInvalid(source, `magic number ${hex(magic)} is not that of an IDX file; expected ${wanted}`);
  }
  if (type !== 8) {
    throw dataInvalid(source, `its values are of type "${types[type]}" (magic ${hex(magic)}); expected unsigned bytes`);
  }
  if (kind === 'labels' && rank !== 1) {
    throw dataInvalid(
      source,
      `magic number ${hex(magic)} says ${rank} dimensions: these are images, not labels; expected ${wanted}`,
    );
  }
  if (kind === 'images' && rank === 1) {
    throw dataInvalid(source, `magic number ${hex(magic)} says 1 dimension: these are labels; expected ${wanted}`);
  }
  if (rank > 4) {
    throw dataInvalid(source, `${rank} dimensions (magic ${hex(magic)}); expected 2 to 4: samples, then the image`);
  }
  const offset = 4 + 4 * rank;
  if (bytes.length < offset) {
    throw dataInvalid(source, `truncated: the header has ${offset} bytes, the file only ${bytes.length}`);
  }
  const dimensions = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  if (dimensions.some((size) => size === 0)) {
    throw dataInvalid(source, `the header says ${dimensions.join(' x ')}; expected at least one of each`);
  }
  return { dimensions, offset, bytes: dimensions.reduce((product, size) => product * size, 1) + offset };
}

/** The size of the file against its header. */
export function checkIdxSize(source: string, header: IdxHeader, actualBytes: number): void {
  if (actualBytes === header.bytes) return;
  const promise = `the header promises ${header.dimensions.join(' x ')} values, ${header.bytes} bytes in all`;
  if (actualBytes < header.bytes) throw dataInvalid(source, `truncated: ${promise}; the file has ${actualBytes}`);
  throw dataInvalid(source, `${actualBytes - header.bytes} bytes too many: ${promise}; the file has ${actualBytes}`);
}

/** Shape of one sample from the dimensions of an image file; a channel is added to height x width. */
export function sampleShape(header: IdxHeader): readonly number[] {
  const shape = header.dimensions.slice(1);
  return shape.length === 2 ? [...shape, 1] : shape;
}

export function parseIdxImages(source: string, bytes: Uint8Array): IdxImages {
  const header = parseIdxHeader(source, bytes, 'images');
  checkIdxSize(source, header, bytes.length);
  return { count: header.dimensions[0] as number, shape: sampleShape(header), pixels: bytes.subarray(header.offset) };
}

/** Labels 0 to classes-1; without `classes` any byte is one. */
export function parseIdxLabels(source: string, bytes: Uint8Array, classes = 256): Uint8Array {
  const header = parseIdxHeader(source, bytes, 'labels');
  checkIdxSize(source, header, bytes.length);
  const labels = bytes.subarray(header.offset);
  const at = labels.findIndex((label) => label >= classes);
  if (at >= 0) throw dataInvalid(source, `label ${at} is ${labels[at]}; expected 0 to ${classes - 1}`);
  return labels;
}

/** One more than the greatest label. */
export function countClasses(source: string, labels: Uint8Array): number {
  const classes = labels.reduce((most, label) => Math.max(most, label), 0) + 1;
  if (classes < 2) throw dataInvalid(source, `all ${labels.length} labels are 0; expected at least two classes`);
  return classes;
}

export function checkIdxPair(imagesSource: string, images: number, labelsSource: string, labels: number): void {
  if (images === labels) return;
  throw dataInvalid(labelsSource, `${labels} labels for the ${images} images of ${imagesSource}; expected as many`);
}

/** Test images must look like the training images. */
export function checkSameShape(
  trainSource: string,
  train: readonly number[],
  testSource: string,
  test: readonly number[],
): void {
  if (train.join() === test.join()) return;
  throw dataInvalid(testSource, `images are ${test.join(' x ')}; expected ${train.join(' x ')} as in ${trainSource}`);
}

function hex(magic: number): string {
  return `0x${magic.toString(16).padStart(8, '0')}`;
}
