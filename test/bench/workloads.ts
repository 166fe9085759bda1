/** Data and networks of the bench, as a config of ours and as what the peer is told. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readDataFile } from '../../cloud/read-data.ts';
import { generateDigits } from '../../core/data/digits.ts';
import { parseIdxImages, parseIdxLabels } from '../../core/data/idx.ts';
import { findIdxFiles } from '../../core/data/idx-files.ts';

const dense = (units: number, activation = 'relu'): string => `dense: {units: ${units}, activation: ${activation}}`;
const conv = (filters: number, padding: string): string =>
  `conv2d: {filters: ${filters}, kernelSize: 5, padding: ${padding}, activation: relu}`;

/** 784-128-128-10, LeNet-5 with rectifiers, and one whose step is all products of matrices. */
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
} as const;
export type NetworkName = keyof typeof networks;

export interface BenchData {
  readonly name: string;
  readonly isMnist: boolean;
  readonly samples: number;
  /** Training pixels, then labels, one byte each, for the peer. */
  readonly rawPath: string;
  /** The `data` block of the config. */
  readonly block: string;
}

export interface Workload {
  readonly network: NetworkName;
  /** Of all workers together. */
  readonly batchSize: number;
  readonly epochs: number;
  readonly optimizer?: string;
  /** Further fields of `training`, and further blocks. */
  readonly training?: string;
  readonly more?: string;
}

export function configText(data: BenchData, workload: Workload): string {
  const { network, batchSize, epochs, training = '', more = '' } = workload;
  const { optimizer = '{kind: sgd, learningRate: 0.05}' } = workload;
  return `version: 1
name: bench
data: ${data.block}
network:
  layers:
${networks[network].map((layer) => `    - ${layer}\n`).join('')}training:
  epochs: ${epochs}
  batchSize: ${batchSize}
  optimizer: ${optimizer}
${training}${more}`;
}

export async function prepareData(folder: string, path: string | undefined): Promise<BenchData> {
  const rawPath = join(folder, 'train.raw');
  if (path === undefined) {
    const samples = 20_000;
    const { pixels, labels } = generateDigits(1, 'train', samples, 0.2);
    writeFileSync(rawPath, Buffer.concat([pixels, labels]));
    const block = `{source: digits, samples: ${samples}, testSamples: 2000}`;
    return { name: 'drawn digits; give MNIST with --data DIR', isMnist: false, samples, rawPath, block };
  }
  const datasets = {
    read: async (uri: string) => (existsSync(uri) ? new Uint8Array(readFileSync(uri)) : undefined),
    list: async () => undefined,
  };
  const files = findIdxFiles(path, existsSync(path) ? readdirSync(path) : undefined, true);
  const imagesPath = join(path, files.trainImages);
  const labelsPath = join(path, files.trainLabels);
  const images = parseIdxImages(imagesPath, await readDataFile(datasets, imagesPath));
  const labels = parseIdxLabels(labelsPath, await readDataFile(datasets, labelsPath), 10);
  writeFileSync(rawPath, Buffer.concat([images.pixels, labels]));
  const block = `{source: mnist, path: ${JSON.stringify(path)}}`;
  return { name: 'MNIST', isMnist: true, samples: images.count, rawPath, block };
}
