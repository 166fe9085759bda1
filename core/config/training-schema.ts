/** The `training` block of the config: loss, optimizer, schedule, early stop. */
import * as z from 'zod';
import type { OptimizerPlan, SchedulePlan } from '../plan.ts';
import { duration, number, oneOf, whole } from './fields.ts';

const rate = z
  .number()
  .gt(0)
  .max(100)
  .meta({ description: 'Learning rate; by default 0.001 for adam and rmsprop, 0.01 for sgd.' })
  .optional();
const decay = (description: string) => z.number().min(0).lt(1).meta({ description });
const epsilon = z.number().gt(0).max(1).meta({ description: 'Keeps divisions away from zero.' }).default(1e-7);
const above = (description: string) => z.number().gt(0).max(1e9).meta({ description }).optional();
const restraints = {
  weightDecay: number(0, 1, 'Share of every weight that an update takes away, times the learning rate.').optional(),
  clipNorm: above('A gradient of all weights that is longer is scaled down to this length.'),
  clipValue: above('The gradient of each weight is cut off at this value.'),
};
const optimizers = {
  sgd: z.strictObject({
    kind: z.literal('sgd'),
    learningRate: rate,
    momentum: decay('Share of the last update that is kept.').default(0),
    nesterov: z.boolean().meta({ description: 'Look ahead along the momentum.' }).default(false),
    ...restraints,
  }),
  adam: z.strictObject({
    kind: z.literal('adam'),
    learningRate: rate,
    beta1: decay('Decay of the mean of the gradient.').default(0.9),
    beta2: decay('Decay of the mean of its square.').default(0.999),
    epsilon,
    ...restraints,
  }),
  rmsprop: z.strictObject({
    kind: z.literal('rmsprop'),
    learningRate: rate,
    decay: decay('Decay of the mean of the squared gradient.').default(0.9),
    momentum: decay('Share of the last update that is kept.').default(0),
    epsilon,
    ...restraints,
  }),
};
export type OptimizerConfig = OptimizerPlan & { readonly learningRate?: number | undefined };
const optimizerKinds = ['sgd', 'adam', 'rmsprop'] as const;
const optimizer = z
  .union([z.enum(optimizerKinds), z.discriminatedUnion('kind', [optimizers.sgd, optimizers.adam, optimizers.rmsprop])])
  .meta({
    description: 'How gradients become updates: a word, or a mapping with `kind`.',
    accepted: '"sgd", "adam", "rmsprop", or a mapping such as {kind: sgd, momentum: 0.9}',
  })
  .transform(
    (written): OptimizerConfig =>
      typeof written === 'string' ? optimizers[written].parse({ kind: written }) : written,
  );

const factor = (description: string) => z.number().gt(0).max(1000).meta({ description });
const cosine = z.strictObject({
  kind: z.literal('cosine'),
  finalFactor: number(0, 1, 'Share of the learning rate at the end.').default(0),
});
const scheduleKinds = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('constant') }),
  z.strictObject({
    kind: z.literal('step'),
    everyEpochs: whole(1, 10_000, 'Epochs between two changes.'),
    factor: factor('What the rate is multiplied by.'),
  }),
  z.strictObject({ kind: z.literal('exponential'), decayPerEpoch: factor('What the rate is multiplied by an epoch.') }),
  cosine,
  z.strictObject({
    kind: z.literal('piecewise'),
    boundariesEpochs: z.array(z.int().min(1).max(10_000)).min(1).max(100).meta({ description: 'Epochs, ascending.' }),
    factors: z.array(factor('Factor.')).min(1).max(101).meta({
      description: 'One for each boundary; with one more, the first holds before the first boundary.',
    }),
  }),
]);
const schedule = z
  .union([z.enum(['constant', 'cosine']), scheduleKinds])
  .meta({
    description: 'The learning rate over the run: `constant`, `cosine`, or a mapping with `kind`.',
    accepted:
      '"constant", "cosine", or a mapping with kind: constant, step {everyEpochs, factor}, exponential {decayPerEpoch}, cosine {finalFactor} or piecewise {boundariesEpochs, factors}',
  })
  .transform((written): SchedulePlan => {
    if (written === 'constant') return { kind: 'constant' };
    return written === 'cosine' ? cosine.parse({ kind: 'cosine' }) : written;
  });

const metric = z.enum(['accuracy', 'loss']);
const stopRule = z
  .strictObject({
    metric: metric.meta({ description: 'Taken at the end of each epoch, on data not trained on.' }),
    reaches: number(0, 1e9, 'Stop once the metric is this good.').optional(),
    patience: whole(1, 1000, 'Stop after so many epochs without an improvement.').optional(),
    minDelta: number(0, 1e9, 'What counts as an improvement.').default(0),
  })
  .refine((rule) => rule.reaches !== undefined || rule.patience !== undefined, {
    error: 'a rule of stopWhen needs "reaches" or "patience"',
    params: { accepted: 'e.g. {metric: accuracy, reaches: 0.98} or {metric: loss, patience: 3}' },
  });
const stopWhen = z
  .union([stopRule, z.array(stopRule).max(8)])
  .meta({
    description: 'Rules that end the training early; the first that holds.',
    accepted: 'a rule such as {metric: accuracy, reaches: 0.98}, or a list of rules',
  })
  .transform((written) => (Array.isArray(written) ? written : [written]));

export const training = z
  .strictObject({
    epochs: whole(1, 10_000, 'Passes over the training samples.').default(5),
    batchSize: whole(1, 65_536, 'Samples of one step, over all workers.').default(128),
    shards: whole(
      1,
      1024,
      'Logical pieces of a batch, a power of two, at least `workers.max`. The result depends on it, not on the number of workers.',
    ).default(8),
    loss: oneOf(['softmaxCrossEntropy', 'sigmoidCrossEntropy', 'meanSquaredError'], 'What is made small.').default(
      'softmaxCrossEntropy',
    ),
    optimizer: optimizer.prefault('adam'),
    learningRate: rate,
    schedule: schedule.prefault('constant'),
    warmupSteps: whole(0, 1_000_000, 'Steps over which the learning rate grows from 0.').default(0),
    metrics: z
      .array(metric)
      .min(1)
      .max(2)
      .meta({ description: 'What is reported; by default loss, and accuracy when there are classes.' })
      .optional(),
    stopWhen: stopWhen.prefault([]),
    mode: oneOf(
      ['synchronous', 'asynchronous'],
      '`synchronous`: all workers compute each step together. `asynchronous`: each computes steps of its own, on parameters that are up to `maxStaleness` updates old; needs `cluster.parameterServers`.',
    ).default('synchronous'),
    maxStaleness: whole(
      0,
      64,
      'Asynchronous mode: how many updates a gradient may be behind; one that is further behind is refused and computed again.',
    ).default(4),
    compression: oneOf(
      ['none', 'bf16'],
      'How workers send each other gradients. `bf16`: rounded to two bytes a value, which halves the traffic; for large networks on slow links. Synchronous mode only.',
    ).default('none'),
    pace: duration(0, 60_000, 'Idle time after each step, for demonstrations and fault drills.').prefault('0s'),
  })
  .meta({ description: 'How to learn.' });
export type TrainingConfig = z.output<typeof training>;
