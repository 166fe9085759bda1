import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { inspectData } from '../../../cloud/inspect-data.ts';
import type { Datasets } from '../../../cloud/ports.ts';
import { loadDataset } from '../../../container/data/load.ts';
import type { SampleSet } from '../../../container/data/port.ts';
import { type DataConfig, data as dataSchema } from '../../../core/config/data-schema.ts';
import type { DataPlan, RunPlan } from '../../../core/plan.ts';
import { idxFile, idxPair } from '../../support/idx-files.ts';
import { createMemoryWorld } from '../../support/memory-world.ts';

const config = (fields: Record<string, unknown>): DataConfig => dataSchema.parse(fields);
const seed = 9;

/** What Plan makes of a config, as far as loading needs it. */
async function planFor(
  data: DataConfig,
  datasets: Datasets,
): Promise<Pick<RunPlan, 'seed' | 'data' | 'shape' | 'normalisation'>> {
  const { shape, files, csv } = await inspectData(data, datasets);
  const plan: DataPlan =
    data.source === 'digits'
      ? { source: 'digits', samples: data.samples, testSamples: data.testSamples, seed, noise: data.noise }
      : data.source === 'csv'
        ? {
            source: 'csv',
            path: data.path,
            header: data.header,
            delimiter: data.delimiter,
            task: data.task,
            ...csv!,
            ...(data.testPath === undefined ? {} : { testPath: data.testPath }),
          }
        : { source: 'idx', dialect: data.source, path: data.path, files: files!, classes: shape.outputs };
  return { seed, data: plan, shape, normalisation: data.normalise };
}

function worldWith(files: Record<string, Uint8Array | string>): Datasets {
  const world = createMemoryWorld();
  for (const [uri, body] of Object.entries(files)) world.controls.addFile(uri, body);
  return world.datasets;
}

function idxFolder(overrides: Record<string, Uint8Array | undefined> = {}): Datasets {
  const train = idxPair(40);
  const test = idxPair(20);
  const files: Record<string, Uint8Array | undefined> = {
    'd/train-images-idx3-ubyte': train.images,
    'd/train-labels-idx1-ubyte': train.labels,
    'd/t10k-images-idx3-ubyte.gz': gzipSync(test.images),
    'd/t10k-labels-idx1-ubyte.gz': gzipSync(test.labels),
    ...overrides,
  };
  return worldWith(Object.fromEntries(Object.entries(files).flatMap(([k, v]) => (v === undefined ? [] : [[k, v]]))));
}

const all = (set: SampleSet) =>
  set.gather(
    Uint32Array.from({ length: set.size }, (_, i) => i),
    0,
    set.size,
  );
const mnist = config({ source: 'mnist', path: 'd' });

describe('inspectData() and loadDataset() on IDX files', () => {
  it('take gzipped and plain files and agree on the shape', async () => {
    const datasets = idxFolder();
    const plan = await planFor(mnist, datasets);
    expect(plan.shape).toEqual({
      inputShape: [28, 28, 1],
      outputs: 10,
      task: 'classification',
      trainSamples: 40,
      validationSamples: 0,
      testSamples: 20,
    });
    const { train, validation, test } = await loadDataset(plan, datasets);
    expect([train.size, validation.size, test.size]).toEqual([40, 0, 20]);
    const batch = test.gather([3, 7], 0, 2);
    expect(batch.features[0]).toBe(Math.fround(3 / 255));
    expect(batch.features[784]).toBe(Math.fround(7 / 255));
    expect([...batch.targets]).toEqual([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
  });

  it('tell gzip by its content, not by the name', async () => {
    const { images, labels } = idxPair(40);
    const datasets = idxFolder({
      'd/train-images-idx3-ubyte': gzipSync(images),
      'd/train-labels-idx1-ubyte': gzipSync(labels),
    });
    expect((await loadDataset(await planFor(mnist, datasets), datasets)).train.size).toBe(40);
  });

  it('cut a validation set off when asked, and by themselves without a test set', async () => {
    const datasets = idxFolder();
    const plan = await planFor(config({ source: 'mnist', path: 'd', validationSplit: 0.25 }), datasets);
    const { train, validation } = await loadDataset(plan, datasets);
    expect([train.size, validation.size]).toEqual([30, 10]);
    const values = [train, validation].flatMap((set) =>
      Array.from({ length: set.size }, (_, i) => set.gather([i], 0, 1).features[0]),
    );
    expect(new Set(values).size).toBe(40);

    const noTest = idxFolder({ 'd/t10k-images-idx3-ubyte.gz': undefined, 'd/t10k-labels-idx1-ubyte.gz': undefined });
    const { shape } = await inspectData(config({ source: 'idx', path: 'd' }), noTest);
    expect([shape.trainSamples, shape.validationSamples, shape.testSamples]).toEqual([36, 4, 0]);
  });

  const truncated = idxPair(40).images.subarray(0, 5000);
  const refused: readonly (readonly [string, Record<string, Uint8Array | undefined>, RegExp])[] = [
    ['a missing file', { 'd/train-labels-idx1-ubyte': undefined }, /in d: no "train-labels-idx1-ubyte".*holds "t10k-/],
    [
      'truncated images',
      { 'd/train-images-idx3-ubyte': truncated },
      /d\/train-images-idx3-ubyte: truncated: .*has 5000/,
    ],
    [
      'truncated images, then compressed',
      { 'd/train-images-idx3-ubyte': gzipSync(truncated) },
      /train-images-idx3-ubyte: truncated: .*has 5000/,
    ],
    [
      'a gzip file cut short',
      { 'd/t10k-images-idx3-ubyte.gz': gzipSync(idxPair(20).images).subarray(0, 60) },
      /t10k-images-idx3-ubyte.gz: truncated: the gzip stream ends early/,
    ],
    [
      'a damaged gzip file',
      { 'd/t10k-labels-idx1-ubyte.gz': Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 255, 255, 255) },
      /damaged gzip/,
    ],
    [
      'mislabelled files',
      { 'd/train-images-idx3-ubyte': idxPair(40).labels },
      /these are labels; expected an IDX image/,
    ],
    [
      'fewer labels than images',
      { 'd/train-labels-idx1-ubyte': idxPair(39).labels },
      /39 labels for the 40 images of d\/train/,
    ],
    [
      'a label that is no digit',
      { 'd/train-labels-idx1-ubyte': idxFile([40], new Uint8Array(40).fill(11)) },
      /label 0 is 11; expected 0 to 9/,
    ],
    [
      'test images of another size',
      { 'd/t10k-images-idx3-ubyte.gz': idxPair(20, 14).images },
      /images are 14 x 14 x 1; expected 28 x 28 x 1/,
    ],
    ['an empty file', { 'd/train-images-idx3-ubyte': new Uint8Array(0) }, /the file is empty/],
  ];
  for (const [what, overrides, message] of refused) {
    it(`refuse ${what} before anything is launched`, async () => {
      await expect(inspectData(mnist, idxFolder(overrides))).rejects.toThrow(message);
      await expect(inspectData(mnist, idxFolder(overrides))).rejects.toMatchObject({ name: 'DataInvalid' });
    });
  }

  it('refuse a missing folder, saying how to give one', async () => {
    await expect(inspectData(mnist, worldWith({}))).rejects.toThrow(/data in d: there is no such folder.*--data DIR/);
  });

  it('refuse data that changed since it was planned', async () => {
    const plan = await planFor(mnist, idxFolder());
    const { images, labels } = idxPair(30);
    const changed = idxFolder({ 'd/train-images-idx3-ubyte': images, 'd/train-labels-idx1-ubyte': labels });
    await expect(loadDataset(plan, changed)).rejects.toThrow(/30 training samples, the plan says 40: the data changed/);
  });

  it('takes the files that the config names, and says which is not there', async () => {
    const { images, labels } = idxPair(8, 5, 3);
    const datasets = worldWith({ 's3://b/p/x.idx': images, 's3://b/p/y.idx': labels });
    const files = { trainImages: 'x.idx', trainLabels: 'y.idx' };
    const { shape } = await inspectData(
      config({ source: 'idx', path: 's3://b/p/', files, validationSplit: 0 }),
      datasets,
    );
    expect(shape).toMatchObject({ inputShape: [5, 5, 1], outputs: 3, trainSamples: 8 });
    const wrong = config({ source: 'idx', path: 's3://b/p/', files: { ...files, trainLabels: 'z.idx' } });
    await expect(inspectData(wrong, datasets)).rejects.toThrow('no "z.idx"; the folder holds "x.idx", "y.idx"');
  });
});

describe('normalisation', () => {
  const csv = 'a,b,k\n1,5,x\n3,5,y\n5,5,x\n7,5,y\n';

  it('standardizes by the training samples only', async () => {
    const datasets = worldWith({ 'r.csv': csv, 't.csv': 'a,b,k\n4,6,x\n14,5,y\n' });
    const plan = await planFor(config({ source: 'csv', path: 'r.csv', testPath: 't.csv' }), datasets);
    const { train, test } = await loadDataset(plan, datasets);
    const column = Array.from({ length: 4 }, (_, i) => train.gather([i], 0, 1).features[0] as number);
    expect(column.reduce((sum, x) => sum + x, 0)).toBeCloseTo(0, 6);
    expect(column.reduce((sum, x) => sum + x * x, 0) / 4).toBeCloseTo(1, 6);
    // Mean 4 and deviation sqrt(5) are those of the training rows; the column that never changes stays 0.
    expect(all(test).features[0]).toBeCloseTo(0, 6);
    expect(all(test).features[1]).toBe(0);
    expect(all(test).features[2]).toBeCloseTo(10 / Math.sqrt(5), 6);
  });

  it('standardizes bytes as it does numbers', async () => {
    const datasets = idxFolder();
    const plan = await planFor(config({ source: 'mnist', path: 'd', normalise: 'standardize' }), datasets);
    const { features } = all((await loadDataset(plan, datasets)).train);
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < features.length; i += 784) {
      sum += features[i] as number;
      squares += (features[i] as number) ** 2;
    }
    expect(sum).toBeCloseTo(0, 4);
    expect(squares / 40).toBeCloseTo(1, 5);
  });

  it('scales and shifts', async () => {
    const datasets = worldWith({ 'r.csv': csv });
    const plan = await planFor(
      config({ source: 'csv', path: 'r.csv', validationSplit: 0, normalise: { scale: 2, offset: -1 } }),
      datasets,
    );
    expect([...all((await loadDataset(plan, datasets)).train).features]).toEqual([1, 9, 5, 9, 9, 9, 13, 9]);
  });
});

describe('CSV and digits', () => {
  it('gives regression targets as they are', async () => {
    const datasets = worldWith({ 'r.csv': 'a,price\n1,10.5\n2,20\n' });
    const data = config({ source: 'csv', path: 'r.csv', task: 'regression', label: 'price', validationSplit: 0 });
    const plan = await planFor(data, datasets);
    expect(plan.shape).toMatchObject({ inputShape: [1], outputs: 1, task: 'regression' });
    expect([...all((await loadDataset(plan, datasets)).train).targets]).toEqual([10.5, 20]);
  });

  it('refuses a test class that training never saw', async () => {
    const datasets = worldWith({ 'r.csv': 'a,k\n1,x\n2,y\n', 't.csv': 'a,k\n1,z\n' });
    const data = config({ source: 'csv', path: 'r.csv', testPath: 't.csv' });
    await expect(inspectData(data, datasets)).rejects.toThrow(/data in t.csv: line 2, .*"z"/);
  });

  it('refuses a missing CSV file by name', async () => {
    await expect(inspectData(config({ source: 'csv', path: 'no.csv' }), worldWith({}))).rejects.toThrow(
      'cannot use the data in no.csv: there is no such file',
    );
  });

  it('draws digits with a test set of their own', async () => {
    const datasets = worldWith({});
    const plan = await planFor(config({ source: 'digits', samples: 60, testSamples: 20 }), datasets);
    const { train, validation, test } = await loadDataset(plan, datasets);
    expect([train.size, validation.size, test.size]).toEqual([60, 0, 20]);
    expect(Math.max(...all(train).features)).toBeLessThanOrEqual(1);
    expect(all(test).features).not.toEqual(all(train).features.subarray(0, 20 * 784));
  });

  it('gathers any run of an index list into one reused buffer and refuses what is not there', async () => {
    const datasets = worldWith({});
    const { train } = await loadDataset(await planFor(config({ source: 'digits', samples: 20 }), datasets), datasets);
    const whole = Float32Array.from(train.gather([5, 6, 7, 8], 0, 4).features);
    expect(train.gather([5, 6, 7, 8], 1, 3).features).toEqual(whole.subarray(784, 3 * 784));
    expect(train.gather([], 0, 0).size).toBe(0);
    expect(() => train.gather([20], 0, 1)).toThrow('sample 20 of a set of 20');
  });
});

const realMnist = '../shared/data/mnist';
// Skipped where the folder with the real files is not beside the project.
describe.skipIf(!existsSync(realMnist))('the real MNIST', () => {
  const datasets: Datasets = {
    read: async (uri) => (existsSync(uri) ? new Uint8Array(readFileSync(uri)) : undefined),
    list: async (uri) => (existsSync(uri) ? readdirSync(uri) : undefined),
  };

  it('loads with its known mean and labels', async () => {
    const plan = await planFor(config({ source: 'mnist', path: realMnist }), datasets);
    expect(plan.shape).toMatchObject({ trainSamples: 60_000, testSamples: 10_000, outputs: 10 });
    const { train, test } = await loadDataset(plan, datasets);
    const { features } = train.gather(
      Uint32Array.from({ length: 6000 }, (_, i) => i * 10),
      0,
      6000,
    );
    expect(features.reduce((sum, x) => sum + x, 0) / features.length).toBeCloseTo(0.1307, 2);
    expect(test.gather([0], 0, 1).targets.indexOf(1)).toBe(7);
  });
});
