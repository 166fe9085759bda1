/**
 * The layers of a config: `- dense: {units: 128, activation: relu}`, or only the word, `- flatten`, for a layer that
 * needs nothing. Parsed, a layer is a LayerPlan whose name may still be open.
 */
import * as z from 'zod';
import type { Activation, LayerPlan } from '../plan.ts';
import { flag, number, oneOf, pair, whole } from './fields.ts';

type Named<L> = L extends unknown ? Omit<L, 'name'> & { readonly name?: string } : never;
export type LayerConfig = Named<LayerPlan>;
export type LayerKind = LayerPlan['kind'];

export const activations = [
  'linear',
  'relu',
  'relu6',
  'elu',
  'selu',
  'sigmoid',
  'hardSigmoid',
  'tanh',
  'softmax',
  'softplus',
  'softsign',
  'swish',
] as const satisfies readonly Activation[];

export const maxUnits = 65_536;
const maxSide = 1024;

const name = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/)
  .meta({
    description: 'Name of the layer in the exported model; by default its kind and a number, e.g. `dense_1`.',
    accepted: 'a letter, then at most 63 letters, digits, _ or -',
  })
  .optional();
const activation = oneOf(activations, 'Function applied to the output.').default('linear');
const useBias = flag('Whether a learnt constant is added.').default(true);
const padding = oneOf(
  ['valid', 'same'],
  '`same` keeps the size (at stride 1) by adding zeros; `valid` adds none.',
).default('valid');

const dense = z
  .strictObject({ units: whole(1, maxUnits, 'Number of outputs.'), activation, useBias, name })
  .meta({ description: 'Every input to every output.' });
const conv2d = z
  .strictObject({
    filters: whole(1, maxUnits, 'Number of output channels.'),
    kernelSize: pair(1, maxSide, 'Height and width of the kernel.').prefault(3),
    strides: pair(1, maxSide, 'Steps of the kernel.').prefault(1),
    padding,
    activation,
    useBias,
    name,
  })
  .meta({ description: 'Two-dimensional convolution over [height, width, channels].' });
const pooling = z.strictObject({
  poolSize: pair(1, maxSide, 'Height and width of the window.').prefault(2),
  strides: pair(1, maxSide, 'Steps of the window; by default the window itself.').optional(),
  padding,
  name,
});
const bare = z.strictObject({ name });
const reshape = z
  .strictObject({
    targetShape: z
      .array(whole(1, 2 ** 24, 'Length of an axis.'))
      .min(1)
      .max(3)
      .meta({ description: 'Shape of one sample, e.g. `[28, 28, 1]`.', accepted: 'one to three whole numbers' }),
    name,
  })
  .meta({ description: 'The same values in the same order with another shape.' });
const embedding = z
  .strictObject({
    inputDim: whole(1, 2 ** 24, 'Rows of the table: the inputs are whole numbers from 0 to below it.'),
    outputDim: whole(1, maxUnits, 'Length of a row.'),
    name,
  })
  .meta({ description: 'A learnt vector for each whole number of the input; the first layer.' });
const dropout = z
  .strictObject({
    rate: z.number().min(0).lt(1).meta({ description: 'Share of the inputs set to zero in training.' }),
    name,
  })
  .meta({ description: 'Sets a random share of its inputs to zero while training.' });
const batchNormalization = z
  .strictObject({
    momentum: number(0, 1, 'Of the moving statistics.').default(0.99),
    epsilon: z.number().gt(0).max(1).meta({ description: 'Added to the variance.' }).default(0.001),
    name,
  })
  .meta({ description: 'Normalises each channel over the samples of a shard.' });

const shapes = {
  dense,
  conv2d,
  maxPooling2d: pooling.nullable().meta({ description: 'Largest value of each window.' }),
  averagePooling2d: pooling.nullable().meta({ description: 'Mean of each window.' }),
  globalMaxPooling2d: bare.nullable().meta({ description: 'Largest value of each channel.' }),
  globalAveragePooling2d: bare.nullable().meta({ description: 'Mean of each channel.' }),
  flatten: bare.nullable().meta({ description: 'Makes a flat vector of its input.' }),
  reshape,
  embedding,
  dropout,
  batchNormalization: batchNormalization.nullable().meta({ description: 'Normalises each channel.' }),
  activation: z
    .union([z.enum(activations), z.strictObject({ activation: z.enum(activations), name })])
    .meta({ description: 'An activation as a layer of its own: `- activation: relu`.' }),
};
export const layerKinds = Object.keys(shapes) as readonly LayerKind[];

/** Layers that may be written as one word. */
export const bareLayers = [
  'flatten',
  'maxPooling2d',
  'averagePooling2d',
  'globalMaxPooling2d',
  'globalAveragePooling2d',
  'batchNormalization',
] as const;

const mapping = z
  .strictObject({
    dense: shapes.dense.optional(),
    conv2d: shapes.conv2d.optional(),
    maxPooling2d: shapes.maxPooling2d.optional(),
    averagePooling2d: shapes.averagePooling2d.optional(),
    globalMaxPooling2d: shapes.globalMaxPooling2d.optional(),
    globalAveragePooling2d: shapes.globalAveragePooling2d.optional(),
    flatten: shapes.flatten.optional(),
    reshape: shapes.reshape.optional(),
    embedding: shapes.embedding.optional(),
    dropout: shapes.dropout.optional(),
    batchNormalization: shapes.batchNormalization.optional(),
    activation: shapes.activation.optional(),
  })
  .meta({ minProperties: 1, maxProperties: 1 });

const accepted = `${layerKinds.map((kind) => `"${kind}"`).join(', ')}: one word, or one word with its options`;

export const layer = z
  .union([z.enum(bareLayers), mapping])
  .meta({ accepted })
  .transform((written, context): LayerConfig => {
    const options: z.output<typeof mapping> = typeof written === 'string' ? { [written]: null } : written;
    const kinds = layerKinds.filter((kind) => options[kind] !== undefined);
    const kind = kinds[0];
    if (kind === undefined || kinds.length > 1) {
      const message =
        kind === undefined ? 'the layer is empty' : `one layer cannot be ${kinds.join(' and ')}: begin each with "- "`;
      context.addIssue({ code: 'custom', message, params: { accepted } });
      return z.NEVER;
    }
    return resolve(kind, options);
  });

function resolve(kind: LayerKind, options: z.output<typeof mapping>): LayerConfig {
  switch (kind) {
    case 'dense':
      return { kind, ...withName(options.dense!) };
    case 'conv2d':
      return { kind, ...withName(options.conv2d!) };
    case 'maxPooling2d':
    case 'averagePooling2d': {
      const { strides, ...rest } = withName(options[kind] ?? pooling.parse({}));
      return { kind, ...rest, strides: strides ?? rest.poolSize };
    }
    case 'globalMaxPooling2d':
    case 'globalAveragePooling2d':
    case 'flatten':
      return { kind, ...withName(options[kind] ?? {}) };
    case 'reshape':
      return { kind, ...withName(options.reshape!) };
    case 'embedding':
      return { kind, ...withName(options.embedding!) };
    case 'dropout':
      return { kind, ...withName(options.dropout!) };
    case 'batchNormalization':
      return { kind, ...withName(options.batchNormalization ?? batchNormalization.parse({})) };
    case 'activation': {
      const written = options.activation!;
      return { kind, ...(typeof written === 'string' ? { activation: written } : withName(written)) };
    }
  }
}

/** Drops a name that was not given: an absent field, not one that is undefined. */
function withName<T extends { name?: string | undefined }>(options: T): Omit<T, 'name'> & { name?: string } {
  const { name: given, ...rest } = options;
  return given === undefined ? rest : { ...rest, name: given };
}
