/** Which of the files of a folder are the four IDX files: the names that MNIST and its relatives are published under. */
import type { IdxFiles } from '../plan.ts';
import { dataInvalid, listSome } from './data-error.ts';

const stems = {
  trainImages: ['train-images-idx3-ubyte', 'train-images.idx3-ubyte'],
  trainLabels: ['train-labels-idx1-ubyte', 'train-labels.idx1-ubyte'],
  testImages: ['t10k-images-idx3-ubyte', 't10k-images.idx3-ubyte', 'test-images-idx3-ubyte'],
  testLabels: ['t10k-labels-idx1-ubyte', 't10k-labels.idx1-ubyte', 'test-labels-idx1-ubyte'],
} as const;

/** `names` is what the folder holds; undefined when there is no such folder. */
export function findIdxFiles(path: string, names: readonly string[] | undefined, needTest: boolean): IdxFiles {
  if (names === undefined) throw noFolder(path);
  const pick = (which: keyof typeof stems): string | undefined =>
    stems[which].flatMap((stem) => [stem, `${stem}.gz`]).find((name) => names.includes(name));
  const trainImages = pick('trainImages');
  const trainLabels = pick('trainLabels');
  const testImages = pick('testImages');
  const testLabels = pick('testLabels');
  const missing = [
    ...(trainImages === undefined ? [stems.trainImages[0]] : []),
    ...(trainLabels === undefined ? [stems.trainLabels[0]] : []),
    ...(testImages === undefined && (needTest || testLabels !== undefined) ? [stems.testImages[0]] : []),
    ...(testLabels === undefined && (needTest || testImages !== undefined) ? [stems.testLabels[0]] : []),
  ];
  if (trainImages === undefined || trainLabels === undefined || missing.length > 0) {
    throw dataInvalid(
      path,
      `no ${missing.map((stem) => `"${stem}" or "${stem}.gz"`).join(', no ')}; the folder holds ${listSome(names)}. ` +
        'Give the folder with the IDX files as data.path, or with --data DIR',
    );
  }
  return {
    trainImages,
    trainLabels,
    ...(testImages === undefined || testLabels === undefined ? {} : { testImages, testLabels }),
  };
}

type NamedFiles = { readonly [K in keyof IdxFiles]: IdxFiles[K] | undefined } & Pick<
  IdxFiles,
  'trainImages' | 'trainLabels'
>;

/** Files that the config names itself. */
export function checkNamedFiles(path: string, names: readonly string[] | undefined, named: NamedFiles): IdxFiles {
  if (names === undefined) throw noFolder(path);
  const { trainImages, trainLabels, testImages, testLabels } = named;
  const files: IdxFiles = {
    trainImages,
    trainLabels,
    ...(testImages === undefined ? {} : { testImages }),
    ...(testLabels === undefined ? {} : { testLabels }),
  };
  // A name with a slash lies in a folder below, which the listing does not show; reading it will tell.
  const missing = Object.values(files).filter((name) => !name.includes('/') && !names.includes(name));
  if (missing.length > 0) {
    throw dataInvalid(
      path,
      `no ${missing.map((name) => `"${name}"`).join(', no ')}; the folder holds ${listSome(names)}`,
    );
  }
  if ((files.testImages === undefined) !== (files.testLabels === undefined)) {
    throw dataInvalid(path, 'data.files names only one of testImages and testLabels; expected both or neither');
  }
  return files;
}

function noFolder(path: string) {
  return dataInvalid(
    path,
    'there is no such folder. Give the folder with the IDX files as data.path, or with --data DIR',
  );
}

/** A file in a folder, or under an `s3://` prefix. */
export function joinPath(folder: string, name: string): string {
  return `${folder.replace(/\/+$/, '')}/${name}`;
}
