/**
 * What the data of a config is like, for Plan: its shape and what a loader must know. Reads as little as will do: the
 * headers and labels of IDX files, the whole of a CSV file, nothing for the built-in digits.
 *
 * Invariants
 *  ID1 Whatever would stop a task from loading the data stops the plan, before anything is launched (P7).
 */
import type { DataConfig } from '../core/config/data-schema.ts';
import { validationShare } from '../core/config/schema.ts';
import { parseCsv } from '../core/data/csv.ts';
import { dataInvalid } from '../core/data/data-error.ts';
import { digitClasses, digitSide } from '../core/data/digits.ts';
import {
  checkIdxPair,
  checkIdxSize,
  checkSameShape,
  countClasses,
  parseIdxHeader,
  parseIdxLabels,
  sampleShape,
} from '../core/data/idx.ts';
import { checkNamedFiles, findIdxFiles, joinPath } from '../core/data/idx-files.ts';
import { validationCount } from '../core/data/split.ts';
import type { DataShape, IdxFiles } from '../core/plan.ts';
import type { Datasets } from './ports.ts';
import { readDataFile, readDataHead } from './read-data.ts';

type ConfigOf<S extends DataConfig['source']> = Extract<DataConfig, { source: S }>;

export interface CsvFacts {
  readonly columns: number;
  readonly labelColumn: number;
  readonly classNames: readonly string[];
}

export interface InspectedData {
  readonly shape: DataShape;
  readonly files?: IdxFiles;
  readonly csv?: CsvFacts;
}

export async function inspectData(data: DataConfig, datasets: Datasets): Promise<InspectedData> {
  switch (data.source) {
    case 'digits':
      return {
        shape: {
          inputShape: [digitSide, digitSide, 1],
          outputs: digitClasses,
          task: 'classification',
          ...counts('digits', data, data.samples, data.testSamples),
        },
      };
    case 'mnist':
      return inspectIdx(data, 10, datasets);
    case 'idx':
      return inspectIdx(data, data.classes, datasets);
    case 'csv':
      return inspectCsv(data, datasets);
  }
}

async function inspectIdx(
  data: ConfigOf<'mnist' | 'idx'>,
  fixedClasses: number | undefined,
  datasets: Datasets,
): Promise<InspectedData> {
  const { path } = data;
  const names = await datasets.list(path);
  const files =
    data.files === undefined
      ? findIdxFiles(path, names, data.source === 'mnist')
      : checkNamedFiles(path, names, data.files);
  const train = await inspectPart(datasets, path, files.trainImages, files.trainLabels, fixedClasses);
  const classes = fixedClasses ?? countClasses(joinPath(path, files.trainLabels), train.labels);
  let testSamples = 0;
  if (files.testImages !== undefined && files.testLabels !== undefined) {
    const test = await inspectPart(datasets, path, files.testImages, files.testLabels, classes);
    checkSameShape(joinPath(path, files.trainImages), train.shape, joinPath(path, files.testImages), test.shape);
    testSamples = test.labels.length;
  }
  return {
    files,
    shape: {
      inputShape: train.shape,
      outputs: classes,
      task: 'classification',
      ...counts(path, data, train.labels.length, testSamples),
    },
  };
}

async function inspectPart(
  datasets: Datasets,
  path: string,
  imagesName: string,
  labelsName: string,
  classes: number | undefined,
): Promise<{ shape: readonly number[]; labels: Uint8Array }> {
  const imagesUri = joinPath(path, imagesName);
  const labelsUri = joinPath(path, labelsName);
  const [{ head, bytes }, labelBytes] = await Promise.all([
    readDataHead(datasets, imagesUri),
    readDataFile(datasets, labelsUri),
  ]);
  const header = parseIdxHeader(imagesUri, head, 'images');
  if (bytes !== header.bytes) checkIdxSize(imagesUri, header, (await readDataFile(datasets, imagesUri)).length);
  const labels = parseIdxLabels(labelsUri, labelBytes, classes);
  checkIdxPair(imagesUri, header.dimensions[0] as number, labelsUri, labels.length);
  return { shape: sampleShape(header), labels };
}

async function inspectCsv(data: ConfigOf<'csv'>, datasets: Datasets): Promise<InspectedData> {
  const { path, testPath, header, delimiter, task } = data;
  const options = { header, delimiter, task };
  const train = parseCsv(path, await readDataFile(datasets, path), { ...options, labelColumn: data.label ?? -1 });
  let testSamples = 0;
  if (testPath !== undefined) {
    const test = parseCsv(testPath, await readDataFile(datasets, testPath), {
      ...options,
      labelColumn: train.labelColumn,
      columns: train.columns,
      ...(task === 'classification' ? { classNames: train.classNames } : {}),
    });
    testSamples = test.rows;
  }
  return {
    csv: { columns: train.columns, labelColumn: train.labelColumn, classNames: train.classNames },
    shape: {
      inputShape: [train.columns - 1],
      outputs: task === 'regression' ? 1 : train.classNames.length,
      task,
      ...counts(path, data, train.rows, testSamples),
    },
  };
}

function counts(
  source: string,
  data: DataConfig,
  fileSamples: number,
  testSamples: number,
): Pick<DataShape, 'trainSamples' | 'validationSamples' | 'testSamples'> {
  const share = validationShare(data, testSamples > 0);
  if (share > 0 && fileSamples < 2) {
    throw dataInvalid(source, `${fileSamples} sample(s) cannot be split; expected at least 2, or a test set`);
  }
  const validationSamples = validationCount(fileSamples, share);
  return { trainSamples: fileSamples - validationSamples, validationSamples, testSamples };
}
