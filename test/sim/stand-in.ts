/**
 * Stands in for the engine and the data. The gradient of a shard is a hash of (parameters, step, shard), so that whatever
 * is computed from a wrong state, left out, counted twice or added up in another order shows in the bits. Beside it every
 * shard leaves its mark in a lane of its own: what an update was made from can be read off it (R4).
 */
import type { NodeVector } from '../../core/gang/effects.ts';
import { type EpochSums, noSums } from '../../core/gang/messages.ts';
import { TreeSum } from '../../core/gang/tree-sum.ts';
import { type Range, rootLevel } from '../../core/shards.ts';
import type { Host } from './host.ts';

const parameterLength = 4;
const slotLength = 2;

export function vectorLengthFor(shards: number): number {
  return parameterLength + shards + 3;
}

export function initialState(): Float32Array {
  return new Float32Array(parameterLength + slotLength).map((_, i) => (i < parameterLength ? (i + 1) / 7 : 0));
}

const scratch = new Float32Array(1);
const bits = new Uint32Array(scratch.buffer);

function mix(hash: number, word: number): number {
  let h = Math.imul(hash ^ word, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function hashOf(state: Float32Array): number {
  let hash = 0x9e3779b9;
  for (let i = 0; i < parameterLength; i += 1) {
    scratch[0] = state[i] as number;
    hash = mix(hash, bits[0] as number);
  }
  return hash;
}

/** The contribution of one shard. */
function contributionOf(stateHash: number, step: number, shard: number, shards: number): Float32Array {
  const vector = new Float32Array(vectorLengthFor(shards));
  let hash = mix(mix(stateHash, step), shard);
  for (let i = 0; i < parameterLength; i += 1) {
    hash = mix(hash, i);
    vector[i] = hash / 2 ** 32 - 0.5;
  }
  vector[parameterLength + shard] = step + 1;
  vector[parameterLength + shards] = 0.25;
  vector[parameterLength + shards + 2] = 1;
  return vector;
}

/** What is wrong with the shards that this total was made from, if anything. */
function flawOf(total: Float32Array, step: number, shards: number): string | undefined {
  for (let shard = 0; shard < shards; shard += 1) {
    const mark = total[parameterLength + shard];
    if (mark !== step + 1) return `shard ${shard} of step ${step} entered with mark ${mark} instead of ${step + 1}`;
  }
  return undefined;
}

function update(state: Float32Array, total: Float32Array, step: number): void {
  for (let i = 0; i < parameterLength; i += 1) {
    const slot = parameterLength + (i % slotLength);
    state[slot] = Math.fround((state[slot] as number) * 0.5) + (total[i] as number);
    state[i] = (state[i] as number) + Math.fround(0.01 * (state[slot] as number)) + step * 2 ** -20;
  }
}

export function lossOf(state: Float32Array): number {
  return hashOf(state) / 2 ** 32;
}

/** The state after every step, computed by nobody but us: what every run has to come to. */
export function referenceHistory(shards: number, steps: number): Float32Array[] {
  const state = initialState();
  const history = [state.slice()];
  for (let step = 0; step < steps; step += 1) {
    const tree = new TreeSum(shards);
    const hash = hashOf(state);
    let total: Float32Array | undefined;
    for (let shard = 0; shard < shards; shard += 1) {
      total = tree.add({ level: 0, index: shard }, contributionOf(hash, step, shard, shards));
    }
    update(state, total as Float32Array, step);
    history.push(state.slice());
  }
  return history;
}

export interface Watcher {
  /** The state after `step` updates. */
  reached(host: Host, step: number, state: Float32Array): void;
  flaw(host: Host, what: string): void;
}

/** In the place of container/replica.ts; `step` is the protocol's count, which the engine itself does not know. */
export class StandIn {
  sums: EpochSums = noSums;
  lastSums: EpochSums = noSums;
  readonly epochSet = undefined;
  readonly finalSet = undefined;
  readonly stateLength = parameterLength + slotLength;
  readonly engine;
  private readonly state = initialState();
  private readonly host: Host;
  private readonly shape: { readonly shards: number; readonly stepsPerEpoch: number; readonly shardMs: number };
  private readonly watcher: Watcher;

  constructor(host: Host, shape: StandIn['shape'], watcher: Watcher) {
    this.host = host;
    this.shape = shape;
    this.watcher = watcher;
    const { state } = this;
    this.engine = {
      name: 'stand-in',
      parameters: state.subarray(0, parameterLength),
      slots: state.subarray(parameterLength),
      exportModel: () => ({ topology: 'stand-in', weights: new Uint8Array(4) }),
    };
  }

  warmUp(): Promise<void> {
    return Promise.resolve();
  }

  prepare(): void {}

  async contribution(step: number, { from, to }: Range, calledOff: () => boolean): Promise<NodeVector[] | undefined> {
    const { shards, shardMs } = this.shape;
    const tree = new TreeSum(shards);
    let whole: Float32Array | undefined;
    for (let shard = from; shard < to; shard += 1) {
      whole = tree.add({ level: 0, index: shard }, contributionOf(hashOf(this.state), step, shard, shards));
      await this.host.work(shardMs);
      if (calledOff()) return undefined;
    }
    return whole === undefined ? tree.rest() : [{ node: { level: rootLevel(shards), index: 0 }, vector: whole }];
  }

  apply(step: number, total: Float32Array): number {
    const { shards, stepsPerEpoch } = this.shape;
    const flaw = flawOf(total, step, shards);
    if (flaw !== undefined) this.watcher.flaw(this.host, flaw);
    update(this.state, total, step);
    const at = parameterLength + shards;
    const [samples, loss, correct, ...roll] = this.sums;
    this.sums = [
      samples + (total[at + 2] as number),
      loss + (total[at] as number),
      correct + (total[at + 1] as number),
      ...roll,
    ];
    if ((step + 1) % stepsPerEpoch === 0) {
      this.lastSums = this.sums;
      this.sums = noSums;
    }
    this.watcher.reached(this.host, step + 1, this.state);
    return 0.25;
  }

  isEveryoneOnce(): boolean {
    return this.lastSums[0] === this.shape.shards * this.shape.stepsPerEpoch;
  }

  snapshot(into = new Float32Array(this.stateLength)): Float32Array {
    into.set(this.state);
    return into;
  }

  load(state: Float32Array, _parameterLength: number, sums: EpochSums, lastSums: EpochSums): void {
    this.state.set(state);
    this.sums = sums;
    this.lastSums = lastSums;
  }

  async evaluate(): Promise<{ samples: number; lossSum: number; correct: number }> {
    await this.host.work(this.shape.shardMs);
    return { samples: 1, lossSum: lossOf(this.state), correct: 0 };
  }

  findNonFinite(): undefined {
    return undefined;
  }
}
