/**
 * The schema of a config, the one source of its types, of configs/run.schema.json (for editors) and of
 * docs/config-reference.md; `node tools/schema.mjs` writes both. What concerns several fields at once is in rules.ts.
 *
 * Invariants
 *  G1  A parsed Config has every default that can be known without looking at the data.
 *  G2  Unknown fields are errors at every level, never ignored.
 */
import * as z from 'zod';
import { maxThreads } from '../threads.ts';
import { chaosAccepted, isChaosInvalid, parseChaos } from './chaos.ts';
import { type DataConfig, data } from './data-schema.ts';
import { duration, location, oneOf, whole } from './fields.ts';
import { layer } from './layers.ts';
import { training } from './training-schema.ts';

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

// --- network --------------------------------------------------------------------------------------------------------

const network = z
  .strictObject({
    layers: z
      .array(layer)
      .min(1)
      .max(256)
      .meta({ description: 'The layers, from the data to the prediction.' })
      .optional(),
    model: location(
      'A TF.js Layers or Keras model.json to train, instead of `layers`; its weights start from the seed.',
      'a path, or an s3:// URI, of a model.json',
    ).optional(),
  })
  .meta({ description: 'The network: `layers`, or `model`.', accepted: 'a mapping with layers: [...], or model: ...' });

// --- cluster and the rest -------------------------------------------------------------------------------------------

const size = {
  cpu: whole(1, 65_536, 'CPU units, 1024 being one vCPU; a size that Fargate has. By default 1024.').optional(),
  memoryMiB: whole(1, 1_048_576, 'Memory in MiB; by default the smallest size that fits.').optional(),
};
const worker = z
  .strictObject({
    ...size,
    threads: whole(
      1,
      maxThreads,
      'Threads that share the shards of one worker; the weights are the same bits for any number. By default one for each vCPU of the task, on a laptop 1.',
    ).optional(),
  })
  .meta({ description: 'Size of one worker task.' });
const parameterServer = z.strictObject(size).meta({ description: 'Size of one parameter server task.' });
const maxWorkers = 256;
const workers = z
  .union([
    z.int().min(1).max(maxWorkers),
    z.strictObject({
      min: whole(1, maxWorkers, 'The run goes on with what it has, never below this.').default(1),
      max: whole(1, maxWorkers, 'The run aims at this many.'),
    }),
  ])
  .meta({
    description: 'Worker tasks: `{min, max}`, or a number N for `{min: 1, max: N}`.',
    accepted: `a whole number from 1 to ${maxWorkers}, or {min, max}`,
  })
  .transform((written) => (typeof written === 'number' ? { min: 1, max: written } : written));

const cluster = z
  .strictObject({
    launch: oneOf(
      ['fargate', 'fargate-spot', 'ec2', 'ec2-spot', 'local'],
      'Where tasks run on AWS; `local` only on a laptop, where the others mean it too.',
    ).default('fargate'),
    workers: workers.prefault(2),
    parameterServers: whole(
      0,
      64,
      'Tasks that reduce the gradients; 0: the workers do it. In asynchronous mode they own the parameters.',
    ).default(0),
    worker: worker.prefault({}),
    parameterServer: parameterServer.prefault({}),
    fallback: oneOf(['on-demand', 'none'], 'What to try when there is no Spot capacity.').default('on-demand'),
    startDeadline: duration(second, 2 * hour, 'Time to start `workers.min`; by default 5m, on EC2 20m.').optional(),
    holdDeadline: duration(
      second,
      day,
      'How long the run may wait below `workers.min` before it gives up; by default 15m.',
    ).optional(),
  })
  .meta({ description: 'The machines it may use.' });

const checkpoint = z
  .strictObject({
    everySteps: whole(1, 1_000_000_000, 'A checkpoint after every so many steps, and at each epoch end.').optional(),
    everySeconds: whole(1, 86_400, 'A checkpoint after so many seconds, instead.').optional(),
    every: oneOf(
      ['epoch', 'auto', 'never'],
      '`epoch`: at epoch ends only. `auto`: as often as pays, from how long a save takes and how often tasks are lost. `never`: none at all, so a total loss starts again from step 0.',
    ).optional(),
    keep: whole(1, 100, 'How many are kept.').default(3),
  })
  .meta({
    description:
      'When the state of the training is made durable. Unless one of the first three says it: at epoch ends, and in between every 10 s or so seldom that saving takes at most 1 % of the time, but at least every 15 min.',
  });

const recovery = z
  .strictObject({
    maxRecoveries: whole(
      0,
      1000,
      'Losses that are recovered from, before the run fails; tasks that are lost together count once.',
    ).default(10),
    maxLaunches: whole(1, 1000, 'Launches of tasks, before the run fails.').default(30),
    onWorkerLoss: oneOf(
      ['replace', 'shrink', 'fail'],
      '`replace`: launch another. `shrink`: go on with fewer, down to `workers.min`. `fail`: end the run.',
    ).default('replace'),
    onParameterServerLoss: oneOf(['replace', 'fail'], 'The same for parameter servers.').default('replace'),
    hungAfter: duration(
      500,
      hour,
      'A task that says nothing for this long is taken for hung and replaced; steps that take long make everybody more patient. By default 750 ms on a laptop and 30 s on AWS, on a laptop in asynchronous mode 5 s.',
    ).optional(),
  })
  .meta({ description: 'What happens when tasks are lost.' });

const limits = z
  .strictObject({
    maxDuration: duration(
      10 * second,
      30 * day,
      'The run ends after this, by the clock on the wall, whatever happens.',
    ).prefault('24h'),
    maxCostUsd: z
      .number()
      .gt(0)
      .max(1e6)
      .meta({
        description:
          'The run ends before it costs more, all its attempts together. By default no cap but that of the stage.',
      })
      .optional(),
  })
  .meta({ description: 'Budgets.' });

const chaos = z
  .array(
    z
      .string()
      .meta({ accepted: chaosAccepted })
      .transform((text, context) => {
        const parsed = parseChaos(text);
        if (!isChaosInvalid(parsed)) return parsed;
        context.addIssue({ code: 'custom', message: parsed.message, params: { accepted: parsed.accepted } });
        return z.NEVER;
      }),
  )
  .max(100)
  .meta({ description: 'Faults to inject, as sentences: `kill worker 1 at step 50`.' });

export const namePattern = /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/;

/** Every block with its schema: parse.ts checks them one by one, so that a wrong block hides nothing of another. */
export const blocks = {
  version: z.literal(1).meta({ description: 'Version of this format.' }),
  name: z.string().regex(namePattern).meta({
    description: 'Name of the run; part of its id.',
    accepted: '1 to 40 lower-case letters, digits and hyphens, not beginning or ending with a hyphen',
  }),
  seed: whole(0, 2 ** 31 - 1, 'Every random number of the run comes from it.').default(1),
  data,
  network,
  training: training.prefault({}),
  cluster: cluster.prefault({}),
  placement: oneOf(
    ['replica', 'layer', 'shard', 'neuron'],
    'What one worker holds: the whole network, a layer, a slice of one, a neuron. Only `replica` is available yet.',
  ).default('replica'),
  checkpoint: checkpoint.prefault({}),
  recovery: recovery.prefault({}),
  limits: limits.prefault({}),
  chaos: chaos.default([]),
  engine: oneOf(
    ['auto', 'exact', 'portable', 'native', 'tensorflow'],
    "What computes. `exact`: own kernels with fused multiply-add, the same bits on every processor that has it; `portable`: without, the same bits everywhere, slower; `native`: with the products of the system's OpenBLAS, fastest, the same bits only where its version and the kind of processor are the same; `tensorflow`: TensorFlow.js; `auto` takes `exact` where the processor can, else `portable`, else `tensorflow`.",
  ).default('auto'),
};

export const configSchema = z.strictObject(blocks).meta({
  title: 'Cuttlefish run',
  description: 'One file describes one training run: the network, its hyperparameters, the data and the machines.',
});

/** A valid config with all defaults. */
export type Config = z.output<typeof configSchema>;

/** The held-out share of the training samples, once it is known whether there is a test set. */
export function validationShare(config: DataConfig, hasTestSet: boolean): number {
  return config.validationSplit ?? (hasTestSet ? 0 : 0.1);
}
