/**
 * What a simulated run is like: its shape, how fast and how bad its world is, and which faults strike it how often. All of
 * it is drawn from the seed, each seed another mixture (swarm testing): many have no faults of one kind, some have only one.
 */
import { keyed } from '../../core/random.ts';

export const faultKinds = [
  'kill',
  'kill-leader',
  'kill-two',
  'kill-all',
  'vanish',
  'pause',
  'pause-leader',
  'suspend',
  'stall',
  'interrupt',
  'break-link',
  'isolate',
  'isolate-leader',
  'part-two',
  'deafen',
  'cut-storage',
  'slow-storage',
  'throttle',
] as const;
export type FaultKind = (typeof faultKinds)[number];

/** What the world does to everybody now and then, beside the faults that strike. */
export const mishaps = [
  'message delayed',
  'message overtaken',
  'message repeated',
  'storage slow',
  'write failed',
  'answer lost',
  'launch failed',
  'launch repeated',
  'event late',
  'event repeated',
] as const;
export type Mishap = (typeof mishaps)[number];

/** Moments of the protocol at which a fault may lie in wait: effects, as `Host.act` is told of them. */
const moments = [
  'get leader',
  'put leader',
  'get gang',
  'put gang',
  'get outcome',
  'put outcome',
  'get checkpoints',
  'put checkpoints',
  'put part/',
  'put epoch/',
  'put progress',
  'put member/',
  'send hello',
  'send lead',
  'send prepare',
  'send prepared',
  'send begin',
  'send fetch',
  'send snapshot',
  'send caught-up',
  'send replay',
  'send contribution',
  'send reduced',
  'send dismiss',
] as const;

export interface Dials {
  readonly workers: number;
  readonly workersMin: number;
  readonly servers: number;
  readonly shards: number;
  readonly stepsPerEpoch: number;
  readonly epochs: number;
  /** Early end after this epoch by a `stopWhen` rule; 0 for none. */
  readonly stopAfter: number;
  readonly checkpointEvery: number;
  /** Checkpoints by time: ms between them, -1 for as often as pays, -2 for a share of the time. 0: by steps alone. */
  readonly checkpointMs: number;
  /** Computing one shard keeps its process from everything else for so long. */
  readonly shardMs: number;
  readonly snapshotMs: number;
  readonly netMs: number;
  readonly netSpike: number;
  /** A message that arrives twice. */
  readonly netTwice: number;
  readonly storageMs: number;
  readonly storageSlow: number;
  readonly storageFail: number;
  readonly faultEveryMs: number;
  readonly faultsUntilMs: number;
  /** The part of the pauses and partitions that last until those that they strike are dead. */
  readonly forGood: number;
  readonly faults: readonly FaultKind[];
  /** One of the moments: who comes to it is struck just before it, now and then. Empty for none. */
  readonly ambush: string;
  /** Once everybody has been there, nobody is replaced while there are enough of them. */
  readonly scarce: boolean;
  readonly launchMs: number;
  readonly launchFail: number;
  readonly launchTwice: number;
  readonly observeMs: number;
  readonly graceMs: number;
}

/** No faults, a quiet world: what a test changes a few dials of. */
export const quiet: Dials = {
  workers: 2,
  workersMin: 1,
  servers: 0,
  shards: 8,
  stepsPerEpoch: 6,
  epochs: 3,
  stopAfter: 0,
  checkpointEvery: 3,
  checkpointMs: 0,
  shardMs: 3,
  snapshotMs: 0,
  netMs: 0.3,
  netSpike: 0,
  netTwice: 0,
  storageMs: 2,
  storageSlow: 0,
  storageFail: 0,
  faultEveryMs: 0,
  faultsUntilMs: 0,
  forGood: 0,
  faults: [],
  ambush: '',
  scarce: false,
  launchMs: 80,
  launchFail: 0,
  launchTwice: 0,
  observeMs: 20,
  graceMs: 1_000,
};

export function drawDials(seed: number): Dials {
  const stream = keyed(seed, 2);
  const between = (from: number, to: number): number => from + stream.next() * (to - from);
  const whole = (from: number, to: number): number => Math.floor(between(from, to + 1));
  /** Small values as often as great ones. */
  const scale = (from: number, to: number): number => Math.round(100 * from * (to / from) ** stream.next()) / 100;
  const sometimes = (probability: number, value: () => number): number => (stream.next() < probability ? value() : 0);
  const one = <T>(values: readonly T[]): T => values[Math.floor(stream.next() * values.length)] as T;

  // Most runs are small, so that there can be many of them; a few are as long as anybody has patience for.
  const big = stream.next() < 0.1;
  const slow = stream.next() < 0.04;
  const workers = one(big ? [2, 3, 4, 5] : [1, 2, 2, 2, 3, 3, 4]);
  const epochs = slow ? 2 : big ? whole(2, 4) : whole(2, 3);
  const share = one([0.15, 0.4, 1]);
  const faults = faultKinds.filter(() => stream.next() < share);
  const shards = big ? 8 : workers > 2 ? 4 : one([2, 4]);
  const stepsPerEpoch = slow ? 3 : big ? whole(4, 7) : whole(2, 5);
  /** What all of training takes when nothing happens. */
  const trainingMs = big ? scale(400, 4_000) : scale(100, 2_000);
  return {
    workers,
    workersMin: stream.next() < 0.25 ? whole(1, workers) : 1,
    servers: one([0, 0, 0, 1, 2]),
    shards,
    stepsPerEpoch,
    epochs,
    stopAfter: sometimes(0.2, () => whole(1, epochs)),
    checkpointEvery: one([0, 1, 3, 3, 10]),
    checkpointMs: sometimes(0.2, () => one([-2, -1, 50, 400])),
    shardMs: slow ? scale(250, 1_500) : (trainingMs * workers) / (epochs * stepsPerEpoch * shards),
    snapshotMs: sometimes(0.1, () => scale(100, 2_000)),
    netMs: scale(0.1, 8),
    netSpike: sometimes(0.3, () => scale(0.001, 0.02)),
    netTwice: sometimes(0.2, () => scale(0.01, 0.4)),
    storageMs: scale(0.5, 12),
    storageSlow: sometimes(0.3, () => scale(0.002, 0.05)),
    storageFail: sometimes(0.3, () => scale(0.001, 0.02)),
    faultEveryMs: slow ? scale(1_000, 6_000) : scale(40, 600),
    faultsUntilMs: slow ? scale(2_000, 10_000) : big ? scale(500, 4_000) : scale(300, 2_500),
    forGood: sometimes(0.4, () => between(0.1, 0.6)),
    faults: faults.length > 0 ? faults : [one(faultKinds)],
    ambush: stream.next() < 0.4 ? one(moments) : '',
    scarce: stream.next() < 0.2,
    launchMs: scale(20, 500),
    launchFail: sometimes(0.2, () => between(0, 0.5)),
    launchTwice: sometimes(0.1, () => between(0, 0.3)),
    observeMs: scale(5, 200),
    graceMs: scale(300, 2_000),
  };
}
