/** All parts of the bench by name, and those that are one scenario or two: the wire, whole commands, loading. */
import { join } from 'node:path';
import { drive } from './drive.ts';
import { churn, elastic } from './faults.ts';
import { loadTimes } from './load.ts';
import { alone, ceiling, coreRates, sharesOfPeak, together, twoAtOnce } from './machine-limits.ts';
import { peerAllReduce } from './peer.ts';
import { type Part, runTimeoutMs, type Scenario } from './scenario.ts';
import { compute, large, lenet, mlp, threaded } from './speed.ts';
import { allReduce, roundsFor, sizesMB } from './wire.ts';

/** What bounds the figures of the other parts. */
const limits: Part = {
  about: 'what this machine gives at most',
  scenarios: [
    { label: 'products in two processes', run: ({ root }) => twoAtOnce(root) },
    { label: 'products of each engine', run: ({ root }) => coreRates(root) },
  ],
  ratios: [{ name: ceiling, of: together, to: alone }, ...sharesOfPeak],
};

/** The whole command on MNIST with a config as it is shipped, from nothing to the model. */
function shipped(config: string, most?: number): Scenario {
  const label = `train ${config}, 2 workers`;
  return {
    label,
    ...(most === undefined ? {} : { most }),
    run: async ({ root, data }) => {
      if (data.mnist === undefined) return [];
      const { spawnedAtMs, endedAtMs, result } = await drive({
        command: join(root, 'dist/cli/main.js'),
        config: join(root, config),
        arguments: ['--workers', '2:2', '--data', data.mnist],
        timeoutMs: runTimeoutMs,
      });
      return [
        { name: `${label}: whole command`, unit: 'ms', value: endedAtMs - spawnedAtMs },
        { name: `${label}: test accuracy`, unit: '%', value: 100 * (result.metrics.accuracy ?? 0) },
        { name: `${label}: epochs`, unit: 'count', value: result.epochs },
      ];
    },
  };
}

const whole: Part = {
  about: 'MNIST to 98 % and to 99 % of the test images, the whole command (with --data only)',
  scenarios: [shipped('configs/mnist.yaml'), shipped('configs/mnist-cnn.yaml', 2)],
};

/** What is exchanged in every step, by itself, beside gloo. */
function exchange(): Part {
  const sizes = sizesMB.map((megabytes) => ({ megabytes, rounds: roundsFor(megabytes) }));
  const title = (who: string, world: number): string => `${who}, ${world} processes`;
  const compared = [2, 4].map((world) => ({ world, mine: title('all-reduce', world), gloo: title('gloo', world) }));
  const ways = [
    { label: title('all-reduce, encrypted', 2), world: 2, secure: true },
    { label: title('all-reduce, bf16', 2), world: 2, compressed: true },
    { label: title('all-reduce, bf16', 4), world: 4, compressed: true },
    { label: title('all-reduce, bf16, encrypted', 2), world: 2, secure: true, compressed: true },
  ];
  return {
    about: 'all-reduce of one vector, between processes of this machine',
    scenarios: [
      ...compared.flatMap(({ world, mine, gloo }): Scenario[] => [
        { label: mine, run: ({ root }) => allReduce(root, mine, world, {}) },
        { label: gloo, run: ({ peer }) => peerAllReduce(peer, gloo, world, sizes) },
      ]),
      ...ways.map(
        ({ world, label, ...way }): Scenario => ({ label, run: ({ root }) => allReduce(root, label, world, way) }),
      ),
    ],
    ratios: compared.flatMap(({ world, mine, gloo }) =>
      sizesMB.map((megabytes) => ({
        name: `${megabytes} MB, ${world} processes: how much faster than gloo`,
        of: `${gloo}: all-reduce of ${megabytes} MB`,
        to: `${mine}: all-reduce of ${megabytes} MB`,
      })),
    ),
  };
}

const load: Part = {
  about: 'loading the functions of the stack',
  scenarios: [{ label: 'load', run: ({ root, folder }) => loadTimes(root, folder) }],
};

/** Limits first: ratios of the others refer to them. */
export const parts = {
  limits,
  mlp,
  lenet,
  large,
  threads: threaded,
  compute,
  wire: exchange(),
  elastic,
  churn,
  whole,
  load,
} as const satisfies Readonly<Record<string, Part>>;
export type PartName = keyof typeof parts;
