/**
 * The state of training on one worker: engine, data, sums of the epoch. Everything here is a pure function of (plan, step,
 * shard, parameters), so every worker that has made the same number of updates has the same bits (P2).
 *
 * Invariants
 *  RP1 The samples of (step, shard) follow from the plan alone: the keyed permutation of the epoch, cut into steps, cut
 *      into shards. Each sample of an epoch is in exactly one of them (R4).
 *  RP2 `sums` are taken from the reduced vector, so they too are the same on every worker.
 *  RP3 Behind every contribution goes the roll call of the very samples that were gathered for it.
 */
import { permute } from '../core/data/permutation.ts';
import { callRoll, fullRoll, rollColumns, sameRoll } from '../core/data/roll-call.ts';
import type { NodeVector } from '../core/gang/effects.ts';
import { type EpochSums, noSums } from '../core/gang/messages.ts';
import { TreeSum } from '../core/gang/tree-sum.ts';
import { plainPool, type VectorPool } from '../core/gang/vector-pool.ts';
import type { RunPlan } from '../core/plan.ts';
import { learningRateAt } from '../core/schedule.ts';
import { cover, type Range, rootLevel, shardRange, type TreeNode } from '../core/shards.ts';
import type { Dataset, SampleSet } from './data/port.ts';
import type { Engine, Evaluation, KeyedBatch } from './engine/port.ts';
import type { Meter } from './meter.ts';

/** Samples that are evaluated between two looks at the event loop. */
const evaluationChunk = 500;

/** How long computing may keep everything else from happening. */
const breathMs = 50;

/** How long a task that waits to be counted in computes to no end. */
const warmUpMs = 60;

/** Samples of consecutive shards. */
interface Gathered extends Range {
  readonly step: number;
  readonly parts: readonly KeyedBatch[];
  readonly indices: Int32Array;
  /** Where each shard begins in `indices`, and where the last one ends. */
  readonly begins: readonly number[];
}

export class Replica {
  sums: EpochSums = noSums;
  /** Sums of the epoch that ended last. */
  lastSums: EpochSums = noSums;
  readonly engine: Engine;
  private readonly plan: RunPlan;
  private readonly data: Dataset;
  private readonly pool: VectorPool;
  private gathered: Gathered | undefined;
  private everyone: readonly number[] | undefined;
  /** How long a shard took the last time, on its thread. */
  private shardMs = breathMs;
  private isWanted = false;
  private order: { epoch: number; at: (position: number) => number } | undefined;

  constructor(plan: RunPlan, engine: Engine, data: Dataset, pool: VectorPool = plainPool) {
    this.plan = plan;
    this.engine = engine;
    this.data = data;
    this.pool = pool;
  }

  /**
   * Computes to no end until it is asked for something: the first step that others wait for is not the one that finds code
   * and data cold.
   */
  async warmUp(meter: Meter): Promise<void> {
    let spentMs = 0;
    const enough = (): boolean => this.isWanted || spentMs > warmUpMs;
    while (!enough()) {
      const calledOff = (): boolean => {
        spentMs += meter.lastMs;
        return enough();
      };
      const parts = await this.subtreeSums(0, { from: 0, to: this.plan.training.shards }, calledOff, meter);
      for (const { vector } of parts ?? []) this.pool.release(vector);
    }
  }

  /** The subtree sums of the shards, in vectors of the pool; `undefined` when it was called off in between. */
  contribution(step: number, shards: Range, calledOff: () => boolean, meter: Meter): Promise<NodeVector[] | undefined> {
    this.isWanted = true;
    return this.subtreeSums(step, shards, calledOff, meter);
  }

  private async subtreeSums(
    step: number,
    shards: Range,
    calledOff: () => boolean,
    meter: Meter,
  ): Promise<NodeVector[] | undefined> {
    const { training } = this.plan;
    const tree = new TreeSum(training.shards, this.pool, this.engine.layout.roundedLength);
    let whole: Float32Array | undefined;
    for (const nodes of this.passes(shards)) {
      // The loop must breathe: heartbeats, and news that make the rest of this step pointless.
      await new Promise(setImmediate);
      if (calledOff()) {
        for (const { vector } of tree.rest()) this.pool.release(vector);
        return undefined;
      }
      whole = meter.compute(() => this.compute(step, nodes, tree));
      this.shardMs =
        meter.lastMs / Math.ceil(nodes.reduce((sum, { level }) => sum + 2 ** level, 0) / this.engine.threads);
    }
    return whole === undefined
      ? tree.rest()
      : [{ node: { level: rootLevel(training.shards), index: 0 }, vector: whole }];
  }

  /** Gathers what the first pass of a step needs: for whoever waits for others meanwhile. */
  prepare(step: number, shards: Range): void {
    const [nodes] = this.passes(shards);
    if (nodes !== undefined) this.gather(step, rangeOf(nodes));
  }

  /** The nodes of the tree that cover the shards, together as far as time allows and the engine takes them at once. */
  private passes(shards: Range): TreeNode[][] {
    const each = this.engine.contributions === undefined ? 1 : Math.max(1, breathMs / this.shardMs);
    const most = each * this.engine.threads;
    const passes: TreeNode[][] = [];
    let room = 0;
    for (const node of cover(shards).flatMap((node) => split(node, Math.floor(Math.log2(each))))) {
      const size = 2 ** node.level;
      if (size <= room) passes.at(-1)?.push(node);
      else passes.push([node]);
      room = (size <= room ? room : most) - size;
    }
    return passes;
  }

  /** Puts the sums of consecutive nodes in the tree; the total, when it is whole. */
  private compute(step: number, nodes: readonly TreeNode[], tree: TreeSum): Float32Array | undefined {
    const range = rangeOf(nodes);
    const { parts, indices, begins } = this.gather(step, range);
    const { contributionLength } = this.engine.layout;
    let shard = 0;
    const wanted = nodes.map((node) => {
      const vector = this.pool.take(contributionLength + rollColumns);
      const until = shard + 2 ** node.level;
      callRoll(
        this.plan.seed,
        indices.subarray(begins[shard], begins[until]),
        vector.fill(0, contributionLength),
        contributionLength,
      );
      const own = { parts: parts.slice(shard, until), out: vector.subarray(0, contributionLength) };
      shard = until;
      return { node, vector, own };
    });
    if (this.engine.contributions !== undefined) this.engine.contributions(wanted.map(({ own }) => own));
    else {
      for (const { parts: all, out } of wanted.map(({ own }) => own)) {
        for (const { batch, key } of all) this.engine.contribution(batch, key, out);
      }
    }
    let total: Float32Array | undefined;
    for (const { node, vector } of wanted) total = tree.add(node, vector);
    return total;
  }

  /**
   * One update. Answers the mean loss of the step. A loss that is not finite changes no weight: the run ends with it, and
   * what is left shows which layer it came from.
   */
  apply(step: number, reduced: Float32Array): number {
    const { training } = this.plan;
    const { contributionLength } = this.engine.layout;
    const own = reduced.subarray(0, contributionLength);
    const [lossSum, correct, samples] = own.slice(-3) as unknown as [number, number, number];
    if (Number.isFinite(lossSum)) this.engine.update(own, learningRateAt(training, step), step);
    const [n, loss, right, ...roll] = this.sums;
    const called = reduced.subarray(contributionLength);
    this.sums = [n + samples, loss + lossSum, right + correct, ...roll.map((sum, i) => sum + (called[i] as number))];
    if ((step + 1) % training.stepsPerEpoch === 0) {
      this.lastSums = this.sums;
      this.sums = noSums;
    }
    return lossSum / samples;
  }

  /** Whether the epoch that ended last has each training sample in it once, by its roll call. */
  isEveryoneOnce(sums: EpochSums = this.lastSums): boolean {
    const [samples, , , ...roll] = sums;
    this.everyone ??= fullRoll(this.plan.seed, this.data.train.size);
    return samples === this.data.train.size && sameRoll(roll, this.everyone);
  }

  /** parameters, then optimizer slots: a copy, in `copy` when it is given. */
  snapshot(copy: Float32Array = new Float32Array(this.stateLength)): Float32Array {
    const { parameters, slots } = this.engine;
    copy.set(parameters);
    copy.set(slots, parameters.length);
    return copy;
  }

  get stateLength(): number {
    return this.engine.parameters.length + this.engine.slots.length;
  }

  load(state: Float32Array, parameterLength: number, sums: EpochSums, lastSums: EpochSums): void {
    this.engine.parameters.set(state.subarray(0, parameterLength));
    this.engine.slots.set(state.subarray(parameterLength));
    this.engine.parametersChanged();
    this.sums = sums;
    this.lastSums = lastSums;
  }

  /** What the epoch metrics are taken on. */
  get epochSet(): SampleSet {
    return this.data.validation.size > 0 ? this.data.validation : this.data.test;
  }

  /** What the result reports. */
  get finalSet(): SampleSet {
    return this.data.test.size > 0 ? this.data.test : this.data.validation;
  }

  async evaluate(set: SampleSet): Promise<Evaluation> {
    const indices = Int32Array.from({ length: set.size }, (_, i) => i);
    let total: Evaluation = { samples: 0, lossSum: 0, correct: 0 };
    for (let from = 0; from < set.size; from += evaluationChunk) {
      const part = this.engine.evaluate(set.gather(indices, from, Math.min(set.size, from + evaluationChunk)));
      total = {
        samples: total.samples + part.samples,
        lossSum: total.lossSum + part.lossSum,
        correct: total.correct + part.correct,
      };
      await new Promise(setImmediate);
    }
    return total;
  }

  /** The first layer with a value that is not finite, looked for with the samples of this step. */
  findNonFinite(step: number): string | undefined {
    for (const { batch } of this.gather(step, { from: 0, to: this.plan.training.shards }).parts) {
      const layer = this.engine.findNonFinite(batch);
      if (layer !== undefined) return layer;
    }
    return undefined;
  }

  /** The samples of consecutive shards; valid until the next call, because a sample set has one buffer. */
  private gather(step: number, { from, to }: Range): Gathered {
    const { gathered } = this;
    if (gathered !== undefined && gathered.step === step && gathered.from === from && gathered.to === to)
      return gathered;
    const { training, seed } = this.plan;
    const { train } = this.data;
    const epoch = Math.floor(step / training.stepsPerEpoch);
    if (this.order?.epoch !== epoch) this.order = { epoch, at: permute(seed, epoch, train.size) };
    const first = (step % training.stepsPerEpoch) * training.batchSize;
    const size = Math.min(training.batchSize, train.size - first);
    const begin = shardRange(size, training.shards, from).from;
    const begins = [0];
    for (let shard = from; shard < to; shard += 1) begins.push(shardRange(size, training.shards, shard).to - begin);
    const indices = new Int32Array(begins.at(-1) as number);
    const { at } = this.order;
    for (let i = 0; i < indices.length; i += 1) indices[i] = at(first + begin + i);
    const all = train.gather(indices, 0, indices.length);
    const { featureLength, targetLength } = train;
    const parts = Array.from({ length: to - from }, (_, i): KeyedBatch => {
      const [a, b] = [begins[i] as number, begins[i + 1] as number];
      const features = all.features.subarray(a * featureLength, b * featureLength);
      const targets = all.targets.subarray(a * targetLength, b * targetLength);
      return { batch: { size: b - a, features, targets }, key: { step, shard: from + i } };
    });
    this.gathered = { step, from, to, parts, indices, begins };
    return this.gathered;
  }
}

/** The shards of consecutive nodes. */
function rangeOf(nodes: readonly TreeNode[]): Range {
  const [first, last] = [nodes[0] as TreeNode, nodes.at(-1) as TreeNode];
  return { from: first.index * 2 ** first.level, to: (last.index + 1) * 2 ** last.level };
}

/** The node, or its descendants of this level when it is higher. */
function split({ level, index }: TreeNode, most: number): TreeNode[] {
  if (level <= most) return [{ level, index }];
  const parts = 2 ** (level - most);
  return Array.from({ length: parts }, (_, i) => ({ level: most, index: index * parts + i }));
}
