/**
 * What a part of the bench is made of. A scenario is one run of the command, or of the peer, and says what it measured; the
 * scenarios of all parts take turns, so that what drifts on the machine drifts for all of them.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DriveOptions, drive } from './drive.ts';
import { type Measure, measure, type Ratio } from './measures.ts';
import { type Peer, peerSpeed } from './peer.ts';
import type { RunSamples } from './samples.ts';
import { type BenchData, configText, setOf, type Workload } from './workloads.ts';

export interface Bench {
  readonly root: string;
  /** For what is written on the way. */
  readonly folder: string;
  readonly data: BenchData;
  readonly peer: Peer;
  /** Why the engine `native` cannot be used here; empty when it can. */
  readonly nativeMissing: string;
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

export const runTimeoutMs = 600_000;

export interface Ours extends Workload, Pick<DriveOptions, 'logSteps' | 'killEveryMs'> {
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

export function ours({ label, take = /./, extra, most, ...options }: Ours): Scenario {
  return {
    label,
    ...(most === undefined ? {} : { most }),
    run: async ({ root, folder, data, nativeMissing }) => {
      if (options.engine === 'native' && nativeMissing !== '') return [];
      const config = join(folder, 'bench.yaml');
      const text = configText(data, options);
      writeFileSync(config, text);
      const command = join(root, 'dist/cli/main.js');
      const driven = await drive({ ...options, command, config, timeoutMs: runTimeoutMs });
      const samples = { ...driven, batchSize: options.batchSize };
      const same = digests.get(text) ?? new Set();
      digests.set(text, same.add(samples.result.weightsDigest ?? ''));
      const all = measure(label, samples).filter(({ name }) => take.test(name.slice(label.length)));
      return [...all, ...(extra?.(label, samples) ?? [])];
    },
  };
}

export interface Theirs extends Pick<Workload, 'network' | 'epochs' | 'small'> {
  readonly label: string;
  readonly world: number;
  readonly perProcess: number;
}

export const theirs = ({ label, network, world, perProcess, ...run }: Theirs): Scenario => ({
  label,
  run: ({ peer, data }) =>
    peerSpeed(peer, { ...run, label, network, world, batchSize: world * perProcess, data: setOf(data, run) }),
});
