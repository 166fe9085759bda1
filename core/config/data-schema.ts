/** The `data` block of the config: one shape for each source. */
import * as z from 'zod';
import type { Normalisation } from '../plan.ts';
import { location, number, oneOf, whole } from './fields.ts';

const scaled = z.strictObject({
  scale: number(-1e9, 1e9, 'Factor.').default(1),
  offset: number(-1e9, 1e9, 'Added after scaling.').default(0),
});
const unit: Normalisation = { kind: 'scale', scale: 1 / 255, offset: 0 };
const normaliseImages = z
  .union([z.enum(['unit', 'standardize', 'none']), scaled])
  .meta({
    description:
      '`unit` maps bytes to 0..1, `standardize` gives each feature mean 0 and deviation 1, or give `{scale, offset}`.',
    accepted: '"unit", "standardize", "none" or a mapping with scale and offset',
  })
  .transform((written): Normalisation => {
    if (typeof written !== 'string') return { kind: 'scale', ...written };
    return written === 'unit' ? unit : { kind: written };
  });
const normaliseColumns = z
  .union([z.enum(['standardize', 'none']), scaled])
  .meta({
    description: '`standardize` gives each column mean 0 and deviation 1, or give `{scale, offset}` for all of them.',
    accepted: '"standardize", "none" or a mapping with scale and offset',
  })
  .transform(
    (written): Normalisation => (typeof written === 'string' ? { kind: written } : { kind: 'scale', ...written }),
  );
const validationSplit = number(
  0,
  0.9,
  'Share of the training samples held out for the metrics of each epoch. By default 0.1 when there is no test set, else 0: the metrics are then taken on the test set.',
).optional();
const files = z
  .strictObject({
    trainImages: location('Training images.', 'the name of a file under data.path'),
    trainLabels: location('Training labels.', 'the name of a file under data.path'),
    testImages: location('Test images.', 'the name of a file under data.path').optional(),
    testLabels: location('Test labels.', 'the name of a file under data.path').optional(),
  })
  .meta({ description: 'File names, relative to `path`; by default the usual MNIST names, gzipped or not.' })
  .optional();
const folder = 'a folder, or an s3:// prefix';

const digits = z
  .strictObject({
    source: z.literal('digits'),
    samples: whole(16, 1_000_000, 'Training samples to draw.').default(4000),
    testSamples: whole(16, 1_000_000, 'Test samples to draw.').default(1000),
    noise: number(0, 1, 'Strength of the grain laid over each image: 0 none, 1 as strong as the ink.').default(0.2),
    seed: whole(0, 2 ** 31 - 1, "Seed of the drawing; by default the run's.").optional(),
    validationSplit,
    normalise: normaliseImages.prefault('unit'),
  })
  .meta({
    description: 'Hand-written-like digits of 28 x 28 pixels, drawn by a generator: needs no file and no network.',
  });
const mnist = z
  .strictObject({
    source: z.literal('mnist'),
    path: location('Where the four IDX files are.', folder).default('data/mnist'),
    files,
    validationSplit,
    normalise: normaliseImages.prefault('unit'),
  })
  .meta({ description: 'The MNIST files, or others of the same shape: 28 x 28 images of 10 classes.' });
const idx = z
  .strictObject({
    source: z.literal('idx'),
    path: location('Where the IDX files are.', folder),
    files,
    classes: whole(2, 65_536, 'Number of classes; by default one more than the greatest label.').optional(),
    validationSplit,
    normalise: normaliseImages.prefault('unit'),
  })
  .meta({ description: 'Images and labels in IDX files of any size.' });
const csv = z
  .strictObject({
    source: z.literal('csv'),
    path: location('The file with the training rows.', 'a file, or an s3:// URI'),
    testPath: location('A file with test rows, in the same columns.', 'a file, or an s3:// URI').optional(),
    header: z.boolean().meta({ description: 'Whether the first row has the names of the columns.' }).default(true),
    delimiter: oneOf([',', ';', '\t', '|'], 'Character between the columns.').default(','),
    label: z
      .union([z.string().min(1).max(256), z.int().min(0).max(65_535)])
      .meta({
        description: 'Name of the column to predict, or its number from 0; by default the last column.',
        accepted: 'the name of a column, or its number from 0',
      })
      .optional(),
    task: oneOf(['classification', 'regression'], 'Whether the label is a class or a number.').default(
      'classification',
    ),
    validationSplit,
    normalise: normaliseColumns.prefault('standardize'),
  })
  .meta({ description: 'Numbers in a CSV file, one sample a row.' });

export const data = z.discriminatedUnion('source', [digits, mnist, idx, csv]).meta({
  description: 'What to learn from: `source` and what goes with it.',
  accepted: 'a mapping with source: digits, mnist, idx or csv',
});
export type DataConfig = z.output<typeof data>;
