/** How fast it trains: our engines beside PyTorch, alone and with DistributedDataParallel, two workers against one. */
import { ceiling } from './machine-limits.ts';
import { perThousand, type Ratio } from './measures.ts';
import { type Ours, ours, type Part, theirs } from './scenario.ts';
import type { EngineName, NetworkName, Workload } from './workloads.ts';

const engines = ['exact', 'portable', 'native'] as const satisfies readonly EngineName[];

interface Speed extends Pick<Workload, 'epochs' | 'small'> {
  readonly network: NetworkName;
  readonly title: string;
  readonly perWorker: number;
  /** Which of our engines, with how many workers. */
  readonly ours: readonly (readonly [engine: EngineName, workers: 1 | 2])[];
  readonly peers: readonly (1 | 2)[];
  /** The run of which everything is told, start-up and memory too. */
  readonly whole?: EngineName;
}

const rate = (label: string): string => `${label}: samples per second`;
const doubled = (label: string): string => `${label}: two workers against one`;
const shareOf = (name: string): Ratio => ({ name: `${name}, share of the ceiling`, of: name, to: ceiling });

/** The same batch for each worker, so that twice the samples are twice the work. */
function speed({ network, title, perWorker, peers, whole, ...all }: Speed): Part {
  const workload = { network, epochs: all.epochs, small: all.small ?? false };
  const label = (engine: string, workers: number): string =>
    `${title}, ${engine}, ${workers} worker${workers === 1 ? '' : 's'}`;
  const peer = (world: number): string =>
    world === 1 ? `${title}, PyTorch, 1 process` : `${title}, PyTorch DDP over gloo, ${world} processes`;
  const has = (engine: EngineName, workers: number): boolean =>
    all.ours.some(([one, count]) => one === engine && count === workers);
  return {
    about: `${title}, ${perWorker} samples a worker and step`,
    scenarios: [
      ...all.ours.map(([engine, workers]) =>
        ours({
          ...workload,
          engine,
          label: label(engine, workers),
          batchSize: workers * perWorker,
          arguments: ['--workers', `${workers}:${workers}`],
          take: engine === whole ? /./ : /samples per second$|1,000 samples$/,
        }),
      ),
      ...peers.map((world) => theirs({ ...workload, label: peer(world), world, perProcess: perWorker })),
    ],
    ratios: [
      ...all.ours.map(([engine, workers]) => ({
        name: `${label(engine, workers)}, against PyTorch${workers === 1 ? '' : ' DDP'}`,
        of: rate(label(engine, workers)),
        to: rate(peer(workers)),
      })),
      ...all.ours.map(([engine, workers]) => ({
        name: `${label(engine, workers)}, against PyTorch${workers === 1 ? '' : ' DDP'}, by processor time`,
        of: `${peer(workers)}: ${perThousand}`,
        to: `${label(engine, workers)}: ${perThousand}`,
      })),
      ...engines
        .filter((engine) => has(engine, 1) && has(engine, 2))
        .map((engine) => `${title}, ${engine}`)
        .flatMap((name) => [
          { name: doubled(name), of: rate(`${name}, 2 workers`), to: rate(`${name}, 1 worker`) },
          shareOf(doubled(name)),
        ]),
    ],
  };
}

const everyEngine = engines.flatMap((engine) => [[engine, 1] as const, [engine, 2] as const]);

export const mlp = speed({
  network: 'mlp',
  title: 'MLP',
  perWorker: 128,
  epochs: 5,
  ours: everyEngine,
  peers: [1, 2],
  whole: 'exact',
});

export const lenet = speed({
  network: 'lenet',
  title: 'LeNet',
  perWorker: 64,
  epochs: 3,
  small: true,
  ours: everyEngine,
  peers: [1, 2],
});

/** Its gradient has 7.5 MB: the wire counts. */
export const large = speed({
  network: 'large',
  title: 'MLP 784-1024-1024-10',
  perWorker: 128,
  epochs: 3,
  small: true,
  ours: [
    ['exact', 2],
    ['native', 2],
  ],
  peers: [2],
});

/** One member on two cores. */
function threads(): Part {
  const label = (engine: EngineName, count: number): string =>
    `784-512-512-10, ${engine}, 1 worker of ${count} thread${count === 1 ? '' : 's'}`;
  const kinds = ['exact', 'native'] as const;
  return {
    about: '784-512-512-10, 1,024 samples a step, threads of one worker',
    scenarios: kinds.flatMap((engine) =>
      [1, 2].map((count) =>
        ours({
          ...{ network: 'wide', batchSize: 1024, epochs: 3, small: true, engine, label: label(engine, count) },
          arguments: ['--workers', '1:1'],
          more: `cluster: {worker: {threads: ${count}}}\n`,
          take: /samples per second$|1,000 samples$|peak memory/,
        }),
      ),
    ),
    ratios: kinds.flatMap((engine) => {
      const name = `784-512-512-10, ${engine}: two threads against one`;
      return [{ name, of: rate(label(engine, 2)), to: rate(label(engine, 1)) }, shareOf(name)];
    }),
  };
}

export const threaded = threads();

const stepTime = (label: string): string => `${label}: step time`;
const processorTime = (label: string): string => `${label}: step time of the processor`;

/** How one worker is slowed down by saving, and how much faster two are, where computing is all there is. */
function computeBound(): Part {
  const saving = (label: string, everySteps: number): Ours => ({
    label,
    network: 'wide',
    batchSize: 1024,
    epochs: 1,
    arguments: ['--workers', '1:1'],
    logSteps: true,
    take: /step time$|of the processor$|checkpoint/,
    more: `checkpoint: {everySteps: ${everySteps}}\n`,
  });
  const never = 1_000_000;
  const [one, two] = ['784-512-512-10, 1 worker', '784-512-512-10, 2 workers'];
  const [ten, each] = [`${one}, checkpoint every 10 steps`, `${one}, checkpoint every step`];
  const faster = 'two workers against one, 784-512-512-10';
  return {
    about: '784-512-512-10, 1,024 samples a step',
    scenarios: [
      ours(saving(one, never)),
      ours({ ...saving(two, never), arguments: ['--workers', '2:2'] }),
      ours(saving(ten, 10)),
      ours(saving(each, 1)),
    ],
    ratios: [
      { name: faster, of: stepTime(one), to: stepTime(two) },
      shareOf(faster),
      { name: 'a checkpoint every 10 steps: speed that is left', of: stepTime(one), to: stepTime(ten) },
      { name: 'a checkpoint every step: speed that is left', of: stepTime(one), to: stepTime(each) },
      {
        name: 'a checkpoint every 10 steps: processor time without it',
        of: processorTime(one),
        to: processorTime(ten),
      },
      { name: 'a checkpoint every step: processor time without it', of: processorTime(one), to: processorTime(each) },
    ],
  };
}

export const compute = computeBound();
