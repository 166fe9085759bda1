/** Data and networks of the bench, as a config of ours and as what the peer is told. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readDataFile } from '../../cloud/read-data.ts';
import { generateDigits } from '../../core/data/digits.ts';
import { parseIdxImages, parseIdxLabels } from '../../core/data/idx.ts';
import { findIdxFiles } from '../../core/data/idx-files.ts';

const dense = (units: number, activation = 'relu'): string => `dense: {units: ${units}, activation: ${activation}}`;
const conv = (filters: number, padding: string): string =>
  `conv2d: {filters: ${filters}, kernelSize: 5, padding: ${padding}, activation: relu}`;

/** 784-128-128-10, LeNet-5 with rectifiers, one whose step is all products of matrices, one with a large gradient. */
const networks = {
  mlp: [dense(128), dense(128), dense(10, 'softmax')],
  lenet: [
    conv(6, 'same'),
    'maxPooling2d',
    conv(16, 'valid'),
    'maxPooling2d',
    'flatten',
    dense(120),
    dense(84),
    dense(10, 'softmax'),
  ],
  wide: [dense(512), dense(512), dense(10, 'softmax')],
  large: [dense(1024), dense(1024), dense(10, 'softmax')],
} as const;
export type NetworkName = keyof typeof networks;

export type EngineName = 'exact' | 'portable' | 'native';

/** Samples to train on. */
export interface TrainingSet {
  readonly samples: number;
  /** Training pixels, then labels, one byte each, for the peer. */
  readonly rawPath: string;
  /** The `data` block of the config. */
  readonly block: string;
}

export interface BenchData extends TrainingSet {
  readonly name: string;
  /** The folder of MNIST, where it was given. */
  readonly mnist?: string;
  /** The first of them, for networks that take long: how fast they are does not depend on how many there are. */
  readonly first: TrainingSet;
}

export interface Workload {
  readonly network: NetworkName;
  /** Of all workers together. */
  readonly batchSize: number;
  readonly epochs: number;
  /** Only the first samples. */
  readonly small?: boolean;
  readonly engine?: EngineName;
  /** Further blocks. */
  readonly more?: string;
}

export const setOf = (data: BenchData, { small = false }: Pick<Workload, 'small'>): TrainingSet =>
  small ? data.first : data;

export function configText(data: BenchData, workload: Workload): string {
  const { network, batchSize, epochs, engine = 'exact', more = '' } = workload;
  return `version: 1
name: bench
data: ${setOf(data, workload).block}
network:
  layers:
${networks[network].map((layer) => `    - ${layer}\n`).join('')}training:
  epochs: ${epochs}
  batchSize: ${batchSize}
  optimizer: {kind: sgd, learningRate: 0.05}
engine: ${engine}
${more}`;
}

const smallSize = 20_000;
/** Evaluated after each epoch: not what is measured. */
const smallTestSize = 2000;

export async function prepareData(folder: string, path: string | undefined): Promise<BenchData> {
  if (path === undefined) {
    const { pixels, labels } = generateDigits(1, 'train', smallSize, 0.2);
    const block = `{source: digits, samples: ${smallSize}, testSamples: ${smallTestSize}}`;
    const drawn = { samples: smallSize, rawPath: writeRaw(folder, 'digits', pixels, labels), block };
    return { ...drawn, name: 'drawn digits; give MNIST with --data DIR', first: drawn };
  }
  const datasets = {
    read: async (uri: string) => (existsSync(uri) ? new Uint8Array(readFileSync(uri)) : undefined),
    list: async () => undefined,
  };
  const files = findIdxFiles(path, existsSync(path) ? readdirSync(path) : undefined, true);
  const read = async (name: string): Promise<Uint8Array> => readDataFile(datasets, join(path, name));
  const own = join(folder, 'first');
  mkdirSync(own);
  const parts = [
    ['train', files.trainImages, files.trainLabels, smallSize],
    ['t10k', files.testImages ?? '', files.testLabels ?? '', smallTestSize],
  ] as const;
  for (const [part, images, labels, count] of parts) {
    writeFileSync(join(own, `${part}-images-idx3-ubyte`), firstOf(await read(images), 16, 784, count));
    writeFileSync(join(own, `${part}-labels-idx1-ubyte`), firstOf(await read(labels), 8, 1, count));
  }
  const images = parseIdxImages(files.trainImages, await read(files.trainImages));
  const labels = parseIdxLabels(files.trainLabels, await read(files.trainLabels), 10);
  const { count: samples, pixels } = images;
  return {
    name: 'MNIST',
    mnist: path,
    samples,
    rawPath: writeRaw(folder, 'mnist', pixels, labels),
    block: blockOf(path),
    first: {
      samples: smallSize,
      rawPath: writeRaw(folder, 'first', pixels.subarray(0, smallSize * 784), labels.subarray(0, smallSize)),
      block: blockOf(own),
    },
  };
}

const blockOf = (path: string): string => `{source: mnist, path: ${JSON.stringify(path)}}`;

function writeRaw(folder: string, name: string, pixels: Uint8Array, labels: Uint8Array): string {
  const path = join(folder, `${name}.raw`);
  writeFileSync(path, Buffer.concat([pixels, labels]));
  return path;
}

/** An IDX file of the first samples of this one: its header counts them in its second word. */
function firstOf(file: Uint8Array, headerBytes: number, sampleBytes: number, count: number): Uint8Array {
  const part = file.slice(0, headerBytes + count * sampleBytes);
  new DataView(part.buffer).setUint32(4, count);
  return part;
}
