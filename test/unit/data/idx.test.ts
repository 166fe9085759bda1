import { describe, expect, it } from 'vitest';
import { checkIdxPair, checkSameShape, countClasses, parseIdxImages, parseIdxLabels } from '../../../core/data/idx.ts';
import { findIdxFiles } from '../../../core/data/idx-files.ts';
import { idxFile, idxPair } from '../../support/idx-files.ts';

const { images, labels } = idxPair(12, 3);

describe('parseIdxImages()', () => {
  it('reads the samples and their shape', () => {
    const parsed = parseIdxImages('a', images);
    expect(parsed.count).toBe(12);
    expect(parsed.shape).toEqual([3, 3, 1]);
    expect(parsed.pixels.length).toBe(108);
    expect(parsed.pixels[107]).toBe(11);
  });

  it('keeps the channels of coloured images', () => {
    expect(parseIdxImages('a', idxFile([2, 4, 4, 3], new Uint8Array(96))).shape).toEqual([4, 4, 3]);
  });

  const refused: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ['an empty file', new Uint8Array(0), /0 bytes; expected an IDX image file/],
    ['another format', new TextEncoder().encode('PK\x03\x04 and more'), /magic number 0x504b0304 is not .* IDX/],
    ['labels in place of images', labels, /0x00000801 says 1 dimension: these are labels/],
    ['another value type', idxFile([1, 2, 2], new Uint8Array(16), 13), /of type "float".*expected unsigned bytes/],
    ['too many dimensions', idxFile([1, 1, 1, 1, 1], [0]), /5 dimensions .*expected 2 to 4/],
    ['a header cut short', images.subarray(0, 9), /truncated: the header has 16 bytes, the file only 9/],
    [
      'a truncated body',
      images.subarray(0, images.length - 1),
      /truncated: .*12 x 3 x 3 .* 124 bytes.*the file has 123/,
    ],
    ['trailing bytes', idxFile([1, 1, 1], [1, 2]), /1 bytes too many/],
    ['no samples', idxFile([0, 28, 28], []), /the header says 0 x 28 x 28/],
    ['a header that promises the moon', idxFile([4e9, 4e9, 4e9], [1]), /truncated: .*4000000000 x 4000000000/],
  ];
  for (const [what, bytes, message] of refused) {
    it(`refuses ${what}, naming the file`, () => {
      expect(() => parseIdxImages('folder/train-images', bytes)).toThrow(message);
      expect(() => parseIdxImages('folder/train-images', bytes)).toThrow('cannot use the data in folder/train-images');
    });
  }
});

describe('parseIdxLabels()', () => {
  it('reads labels and counts classes', () => {
    const parsed = parseIdxLabels('a', labels, 10);
    expect([...parsed.subarray(0, 3)]).toEqual([0, 1, 2]);
    expect(countClasses('a', parsed)).toBe(10);
  });

  it('refuses images in place of labels', () => {
    expect(() => parseIdxLabels('a', images)).toThrow(/0x00000803 says 3 dimensions: these are images, not labels/);
  });

  it('refuses a label out of range, with its position', () => {
    expect(() => parseIdxLabels('a', idxFile([3], [1, 10, 2]), 10)).toThrow('label 1 is 10; expected 0 to 9');
  });

  it('refuses a single class', () => {
    expect(() => countClasses('a', new Uint8Array(4))).toThrow('expected at least two classes');
  });
});

describe('pairs of files', () => {
  it('must have as many labels as images', () => {
    expect(() => checkIdxPair('i', 12, 'l', 11)).toThrow('cannot use the data in l: 11 labels for the 12 images of i');
  });

  it('must have the same image size in training and test', () => {
    expect(() => checkSameShape('a', [28, 28, 1], 'b', [32, 32, 1])).toThrow(/b: images are 32 x 32 x 1; expected 28/);
  });
});

describe('findIdxFiles()', () => {
  const all = [
    'train-images-idx3-ubyte',
    'train-labels-idx1-ubyte.gz',
    't10k-images-idx3-ubyte.gz',
    't10k-labels.idx1-ubyte',
  ];

  it('takes the usual names, compressed or not', () => {
    expect(findIdxFiles('d', all, true)).toEqual({
      trainImages: 'train-images-idx3-ubyte',
      trainLabels: 'train-labels-idx1-ubyte.gz',
      testImages: 't10k-images-idx3-ubyte.gz',
      testLabels: 't10k-labels.idx1-ubyte',
    });
  });

  it('says that the folder is missing and how to give it', () => {
    expect(() => findIdxFiles('data/mnist', undefined, true)).toThrow(
      /data\/mnist: there is no such folder.*--data DIR/,
    );
  });

  it('says which file is missing and what is there', () => {
    expect(() => findIdxFiles('d', [...all.slice(1), 'notes.txt'], true)).toThrow(
      /no "train-images-idx3-ubyte" or "train-images-idx3-ubyte.gz"; the folder holds .*"notes.txt"/,
    );
    expect(() => findIdxFiles('d', [], true)).toThrow(/holds nothing/);
  });

  it('does without a test set when none is needed, but not with half of one', () => {
    expect(findIdxFiles('d', all.slice(0, 2), false)).not.toHaveProperty('testImages');
    expect(() => findIdxFiles('d', all.slice(0, 3), false)).toThrow(/no "t10k-labels-idx1-ubyte"/);
  });
});
