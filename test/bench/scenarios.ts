/**
 * What the bench runs, part by part. A scenario is one run of the command, or of the peer, and says what it measured;
 * the scenarios of all parts take turns, so that what drifts on the machine drifts for all of them.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DriveOptions, drive } from './drive.ts';
import { elasticMeasures } from './elastic-measures.ts';
import { loadTimes } from './load.ts';
import { type Measure, measure, type Ratio } from './measures.ts';
import { type Peer, peerAllReduce, peerElastic, peerSpeed } from './peer.ts';
import type { RunSamples } from './samples.ts';
import { allReduce, roundsFor, sizesMB } from './wire.ts';
import { type BenchData, configText, type NetworkName, type Workload } from './workloads.ts';

export interface Bench {
  readonly root: string;
  /** For what is written on the way. */
  readonly folder: string;
  readonly data: BenchData;
  readonly peer: Peer;
}

export interface Scenario {
  readonly label: string;
  /** Repeated no more than this. */
  readonly most?: number;
  readonly run: (bench: Bench) => Promise<readonly Measure[]>;
}

export interface Part {
  readonly about: string;
  readonly scenarios: readonly Scenario[];
  readonly ratios?: readonly Ratio[];
}

const runTimeoutMs = 600_000;

interface Ours extends Workload, Pick<DriveOptions, 'logSteps' | 'killEveryMs'> {
  readonly label: string;
  readonly arguments: readonly string[];
  readonly most?: number;
  /** Which of the measures; all when absent. */
  readonly take?: RegExp;
  readonly extra?: (label: string, samples: RunSamples) => readonly Measure[];
}

const digests = new Map<string, Set<string>>();
/** Labels of runs that should have ended with the same weights, and did not. */
export const differing = (): readonly string[] => [...digests].filter(([, all]) => all.size > 1).map(([key]) => key);

function ours({ label, take = /./, extra, most, ...options }: Ours): Scenario {
  return {
    label,
    ...(most === undefined ? {} : { most }),
    run: async ({ root, folder, data }) => {
      const config = join(folder, 'bench.yaml');
      const text = configText(data, options);
      writeFileSync(config, text);
      const command = join(root, 'dist/cli/main.js');
      const samples = await drive({ ...options, command, config, timeoutMs: runTimeoutMs });
      const same = digests.get(text) ?? new Set();
      digests.set(text, same.add(samples.result.weightsDigest ?? ''));
      const all = measure(label, samples).filter(({ name }) => take.test(name.slice(label.length)));
      return [...all, ...(extra?.(label, samples) ?? [])];
    },
  };
}

const theirs = (label: string, network: NetworkName, world: number, perProcess: number, epochs: number): Scenario => ({
  label,
  run: ({ peer, data }) => peerSpeed(peer, { label, network, world, batchSize: world * perProcess, epochs, data }),
});

const speedOnly = /samples per second$|step time|peak memory/;

/** The network with one worker and with two, the same batch for each of them, beside PyTorch. */
function speed(network: NetworkName, title: string, perWorker: number, epochs: number): Part {
  const one = `${title}, 1 worker`;
  const two = `${title}, 2 workers`;
  const alone = `${title}, PyTorch, 1 process`;
  const ddp = `${title}, PyTorch DDP over gloo, 2 processes`;
  const rate = (label: string): string => `${label}: samples per second`;
  const take = network === 'mlp' ? /./ : speedOnly;
  return {
    about: `${title}, ${perWorker} samples a worker and step`,
    scenarios: [
      ours({ label: one, network, batchSize: perWorker, epochs, arguments: ['--workers', '1'], take }),
      theirs(alone, network, 1, perWorker, epochs),
      ours({ label: two, network, batchSize: 2 * perWorker, epochs, arguments: ['--workers', '2:2'], take }),
      theirs(ddp, network, 2, perWorker, epochs),
    ],
    ratios: [
      { name: `${one} against PyTorch`, of: rate(one), to: rate(alone) },
      { name: `${two} against PyTorch DDP`, of: rate(two), to: rate(ddp) },
    ],
  };
}

const wide = { network: 'wide', batchSize: 1024 } as const;
const steps = (label: string): string => `${label}: steps per second`;

/** How one worker is slowed down by saving, and how much faster two are, where computing is all there is. */
function computeBound(): Part {
  const saving = (label: string, everySteps: number | string): Ours => ({
    ...wide,
    label,
    epochs: 2,
    arguments: ['--workers', '1'],
    take: /steps per second$|checkpoint/,
    more: `checkpoint: {everySteps: ${everySteps}}\n`,
  });
  const [one, two] = ['784-512-512-10, 1 worker', '784-512-512-10, 2 workers'];
  const [ten, each] = [`${one}, checkpoint every 10 steps`, `${one}, checkpoint every step`];
  return {
    about: '784-512-512-10, 1,024 samples a step',
    scenarios: [
      ours(saving(one, 1_000_000)),
      ours({ ...saving(two, 1_000_000), arguments: ['--workers', '2:2'] }),
      ours(saving(ten, 10)),
      ours(saving(each, 1)),
    ],
    ratios: [
      { name: 'two workers against one', of: steps(two), to: steps(one) },
      { name: 'a checkpoint every 10 steps: speed that is left', of: steps(ten), to: steps(one) },
      { name: 'a checkpoint every step: speed that is left', of: steps(each), to: steps(one) },
    ],
  };
}

/** One worker is killed, then one hangs; the torchrun beside it is killed too. */
const elastic: Part = {
  about: 'a worker killed, a worker that hangs',
  scenarios: [
    ours({
      label: '2 workers, disturbed',
      network: 'mlp',
      batchSize: 256,
      epochs: 24,
      arguments: [
        ...['--workers', '1:2', '--chaos', 'kill worker 1 at step 1000'],
        ...['--chaos', 'pause worker 1 at step 4000 for 2s'],
      ],
      logSteps: true,
      take: /transitions/,
      extra: elasticMeasures,
    }),
    { label: 'torchrun, 2 processes, one killed', run: ({ peer, folder }) => peerElastic(peer, folder) },
  ],
};

function throughput(label: string, { tasks, result, events }: RunSamples): Measure[] {
  const times = tasks.flatMap((task) => task.steps.map(({ atMs }) => atMs));
  const [from, to] = [Math.min(...times), times.reduce((a, b) => Math.max(a, b), 0)];
  return [
    { name: `${label}: goodput`, unit: '%', value: 100 * result.goodput },
    { name: `${label}: steps per second`, unit: '1/s', value: (result.steps * 1000) / (to - from) },
    { name: `${label}: generations`, unit: 'count', value: result.generations },
    {
      name: `${label}: workers lost`,
      unit: 'count',
      value: events.filter(({ event }) => event === 'member.lost').length,
    },
    { name: `${label}: steps repeated`, unit: 'steps', value: result.lostSteps },
  ];
}

/** The same run undisturbed, and with a worker killed again and again. */
function churn(): Part {
  const run = (label: string, killEveryMs?: number): Scenario =>
    ours({
      ...wide,
      label,
      epochs: 8,
      arguments: ['--workers', '1:2'],
      more: 'recovery: {maxRecoveries: 60, maxLaunches: 80}\n',
      logSteps: true,
      take: /^$/,
      extra: throughput,
      most: 2,
      ...(killEveryMs === undefined ? {} : { killEveryMs }),
    });
  const calm = '2 workers, nobody killed';
  const some = '2 workers, one killed every 15 s';
  const many = '2 workers, one killed every second';
  return {
    about: 'goodput while workers are killed (784-512-512-10, 1,024 samples a step)',
    scenarios: [run(calm), run(some, 15_000), run(many, 1000)],
    ratios: [
      { name: 'a kill every 15 s: speed that is left', of: steps(some), to: steps(calm) },
      { name: 'a kill every second: speed that is left', of: steps(many), to: steps(calm) },
    ],
  };
}

/** Whole commands, from nothing to the model. */
const whole: Part = {
  about: 'MNIST to 98 % test accuracy, the whole command',
  scenarios: [
    {
      label: 'MNIST to 98 %',
      run: async (bench) =>
        bench.data.isMnist
          ? ours({
              label: 'MNIST to 98 %, 2 workers',
              network: 'mlp',
              batchSize: 128,
              epochs: 20,
              optimizer: '{kind: adam, learningRate: 0.002}',
              training: '  stopWhen: {metric: accuracy, reaches: 0.98}\n',
              arguments: ['--workers', '2:2'],
              take: /^$/,
              extra: (label, { endedAtMs, spawnedAtMs, result }) => [
                { name: `${label}: whole command`, unit: 'ms', value: endedAtMs - spawnedAtMs },
                { name: `${label}: accuracy`, unit: '', value: result.metrics.accuracy ?? 0 },
                { name: `${label}: epochs`, unit: 'count', value: result.epochs },
              ],
            }).run(bench)
          : [],
    },
  ],
};

/** What is exchanged in every step, by itself, beside gloo. */
function wire(): Part {
  const sizes = sizesMB.map((megabytes) => ({ megabytes, rounds: roundsFor(megabytes) }));
  const title = (who: string, world: number): string => `${who}, ${world} processes`;
  const compared = [2, 4].map((world) => ({ world, mine: title('all-reduce', world), gloo: title('gloo', world) }));
  const encrypted = title('all-reduce, encrypted', 2);
  return {
    about: 'all-reduce of one vector, between processes of this machine',
    scenarios: [
      ...compared.flatMap(({ world, mine, gloo }): Scenario[] => [
        { label: mine, run: ({ root }) => allReduce(root, mine, world, 'plain') },
        { label: gloo, run: ({ peer }) => peerAllReduce(peer, gloo, world, sizes) },
      ]),
      { label: encrypted, run: ({ root }) => allReduce(root, encrypted, 2, 'encrypted') },
      ...[2, 4].map((world): Scenario => {
        const label = title('all-reduce, bf16', world);
        return { label, run: ({ root }) => allReduce(root, label, world, 'bf16') };
      }),
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

export const parts = {
  mlp: speed('mlp', 'MLP', 128, 4),
  lenet: speed('lenet', 'LeNet', 64, 1),
  compute: computeBound(),
  wire: wire(),
  elastic,
  churn: churn(),
  whole,
  load,
} as const satisfies Readonly<Record<string, Part>>;
export type PartName = keyof typeof parts;
