/** What it costs the others when a worker is lost, hangs, comes back; and what is left of the speed when that never ends. */
import { elasticMeasures } from './elastic-measures.ts';
import type { Measure } from './measures.ts';
import { peerElastic } from './peer.ts';
import type { RunSamples } from './samples.ts';
import { ours, type Part, type Scenario } from './scenario.ts';

const strikes = [
  'kill worker 1 at step 600',
  'kill worker 1 at step 1500',
  'kill worker 1 at step 2400',
  'pause worker 1 at step 3300 for 2s',
];

/** One worker is killed, several times, then one hangs; the torchrun beside it is killed too. */
export const elastic: Part = {
  about: 'a worker killed, a worker that hangs',
  scenarios: [
    ours({
      label: '2 workers, disturbed',
      network: 'mlp',
      batchSize: 256,
      epochs: 18,
      arguments: ['--workers', '1:2', ...strikes.flatMap((strike) => ['--chaos', strike])],
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
    { name: steps(label), unit: '1/s', value: (result.steps * 1000) / (to - from) },
    { name: `${label}: generations`, unit: 'count', value: result.generations },
    {
      name: `${label}: workers lost`,
      unit: 'count',
      value: events.filter(({ event }) => event === 'member.lost').length,
    },
    { name: `${label}: steps repeated`, unit: 'steps', value: result.lostSteps },
  ];
}

const steps = (label: string): string => `${label}: steps per second`;

/** The same run undisturbed, and with a worker killed again and again. */
function churned(): Part {
  const run = (label: string, epochs: number, killEveryMs?: number): Scenario =>
    ours({
      network: 'wide',
      batchSize: 1024,
      label,
      epochs,
      arguments: ['--workers', '1:2'],
      more: 'recovery: {maxRecoveries: 60, maxLaunches: 80}\n',
      logSteps: true,
      take: /^$/,
      extra: throughput,
      most: 1,
      ...(killEveryMs === undefined ? {} : { killEveryMs }),
    });
  const calm = '2 workers, nobody killed';
  const some = '2 workers, one killed every 15 s';
  const many = '2 workers, one killed every second';
  return {
    about: 'goodput while workers are killed (784-512-512-10, 1,024 samples a step)',
    scenarios: [run(calm, 3), run(some, 8, 15_000), run(many, 5, 1000)],
    ratios: [
      { name: 'a kill every 15 s: speed that is left', of: steps(some), to: steps(calm) },
      { name: 'a kill every second: speed that is left', of: steps(many), to: steps(calm) },
    ],
  };
}

export const churn = churned();
