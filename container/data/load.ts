/**
 * The data set of a plan: read into memory, then made into sets. Every worker has the whole of it, and so computes any
 * sample of any step.
 *
 * Invariants
 *  LD1 The data is what Plan saw: other sizes, shapes or classes are refused, not adapted to.
 *  LD2 The same plan gives the same sets, bit for bit, in every task.
 */
import type { Datasets } from '../../cloud/ports.ts';
import { readDataFile } from '../../cloud/read-data.ts';
import { parseCsv } from '../../core/data/csv.ts';
import { dataInvalid } from '../../core/data/data-error.ts';
import { digitPixels, digitSource } from '../../core/data/digits.ts';
import { checkIdxPair, parseIdxImages, parseIdxLabels } from '../../core/data/idx.ts';
import { joinPath } from '../../core/data/idx-files.ts';
import { splitSamples } from '../../core/data/split.ts';
import type { DataPlan, RunPlan } from '../../core/plan.ts';
import type { Dataset } from './port.ts';
import { type Home, makeNormaliser, makeSampleSet, type SampleStore } from './sample-set.ts';

type LoadPlan = Pick<RunPlan, 'seed' | 'data' | 'shape' | 'normalisation'>;
type DataOf<S extends DataPlan['source']> = Extract<DataPlan, { source: S }>;

export async function loadDataset(plan: LoadPlan, datasets: Datasets): Promise<Dataset> {
  return makeDataset(plan, await loadStores(plan.data, datasets));
}

/** The samples to train on are gathered in `home`. */
export function makeDataset(plan: LoadPlan, { train, test }: Stores, home?: Home): Dataset {
  const { shape } = plan;
  const source = plan.data.source === 'digits' ? 'digits' : plan.data.path;
  const features = shape.inputShape.reduce((product, size) => product * size, 1);
  same(source, 'training samples', train.labels.length, shape.trainSamples + shape.validationSamples);
  same(source, 'test samples', test?.labels.length ?? 0, shape.testSamples);
  same(source, 'values in a sample', train.featureLength, features);
  if (test !== undefined) same(source, 'values in a test sample', test.featureLength, features);

  const classes = shape.task === 'classification' ? shape.outputs : 0;
  const split = splitSamples(plan.seed, train.labels.length, shape.validationSamples);
  const normalise = makeNormaliser(plan.normalisation, train, split.train);
  return {
    train: makeSampleSet(train, split.train, classes, normalise, home),
    validation: makeSampleSet(train, split.validation, classes, normalise),
    test:
      test === undefined
        ? makeSampleSet(train, new Uint32Array(0), classes, normalise)
        : makeSampleSet(test, undefined, classes, normalise),
  };
}

export interface Stores {
  readonly train: SampleStore;
  readonly test: SampleStore | undefined;
}

export async function loadStores(data: DataPlan, datasets: Datasets): Promise<Stores> {
  switch (data.source) {
    case 'digits':
      return {
        train: drawDigits(data, 'train', data.samples),
        test: data.testSamples > 0 ? drawDigits(data, 'test', data.testSamples) : undefined,
      };
    case 'idx': {
      const { files } = data;
      const [train, test] = await Promise.all([
        loadIdx(data, files.trainImages, files.trainLabels, datasets),
        files.testImages === undefined || files.testLabels === undefined
          ? undefined
          : loadIdx(data, files.testImages, files.testLabels, datasets),
      ]);
      return { train, test };
    }
    case 'csv': {
      const train = await loadCsv(data, data.path, datasets);
      return { train, test: data.testPath === undefined ? undefined : await loadCsv(data, data.testPath, datasets) };
    }
  }
}

function drawDigits(data: DataOf<'digits'>, part: 'train' | 'test', samples: number): SampleStore {
  const { pixels, labels, need } = digitSource(data.seed, part, samples, data.noise);
  return { featureLength: digitPixels, features: pixels, labels, need };
}

async function loadIdx(
  data: DataOf<'idx'>,
  imagesName: string,
  labelsName: string,
  datasets: Datasets,
): Promise<SampleStore> {
  const imagesUri = joinPath(data.path, imagesName);
  const labelsUri = joinPath(data.path, labelsName);
  const [imageBytes, labelBytes] = await Promise.all([
    readDataFile(datasets, imagesUri),
    readDataFile(datasets, labelsUri),
  ]);
  const images = parseIdxImages(imagesUri, imageBytes);
  const labels = parseIdxLabels(labelsUri, labelBytes, data.classes);
  checkIdxPair(imagesUri, images.count, labelsUri, labels.length);
  return { featureLength: images.pixels.length / images.count, features: images.pixels, labels };
}

async function loadCsv(data: DataOf<'csv'>, uri: string, datasets: Datasets): Promise<SampleStore> {
  const { header, delimiter, labelColumn, columns, task } = data;
  const parsed = parseCsv(uri, await readDataFile(datasets, uri), {
    header,
    delimiter,
    labelColumn,
    columns,
    task,
    ...(task === 'classification' ? { classNames: data.classNames } : {}),
  });
  return { featureLength: columns - 1, features: parsed.features, labels: parsed.labels };
}

function same(source: string, what: string, found: number, planned: number): void {
  if (found === planned) return;
  throw dataInvalid(source, `${found} ${what}, the plan says ${planned}: the data changed since the run was planned`);
}
