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

export class Replica {
  sums: EpochSums = noSums;
  /** Sums of the epoch that ended last. */
  lastSums: EpochSums = noSums;
  readonly engine: Engine;
  private readonly plan: RunPlan;
  private readonly data: Dataset;
  private everyone: readonly number[] | undefined;
  /** How long a shard took the last time. */
  private shardMs = breathMs;
  private order: { epoch: number; at: (position: number) => number } | undefined;

  constructor(plan: RunPlan, engine: Engine, data: Dataset) {
    this.plan = plan;
    this.engine = engine;
    this.data = data;
  }

  /** The subtree sums of the shards; `undefined` when it was called off in between. */
  async contribution(
    step: number,
    shards: Range,
    calledOff: () => boolean,
    meter: Meter,
  ): Promise<NodeVector[] | undefined> {
    const { training } = this.plan;
    const tree = new TreeSum(training.shards);
    let whole: Float32Array | undefined;
    for (const node of this.portions(shards)) {
      const vector = new Float32Array(this.engine.layout.contributionLength + rollColumns);
      whole = meter.compute(() => {
        this.compute(step, node, vector);
        return tree.add(node, vector);
      });
      this.shardMs = meter.lastMs / 2 ** node.level;
      // The loop must breathe: heartbeats, and news that make the rest of this step pointless.
      await new Promise(setImmediate);
      if (calledOff()) return undefined;
    }
    return whole === undefined
      ? tree.rest()
      : [{ node: { level: rootLevel(training.shards), index: 0 }, vector: whole }];
  }

  /** The nodes of the tree that cover the shards, as large as time allows. */
  private portions(shards: Range): TreeNode[] {
    const inTime = Math.floor(Math.log2(Math.max(1, breathMs / this.shardMs)));
    const most = this.engine.contributions === undefined ? 0 : inTime;
    return cover(shards).flatMap(({ level, index }) => {
      if (level <= most) return [{ level, index }];
      const parts = 2 ** (level - most);
      return Array.from({ length: parts }, (_, i) => ({ level: most, index: index * parts + i }));
    });
  }

  private compute(step: number, { level, index }: TreeNode, out: Float32Array): void {
    const from = index * 2 ** level;
    const { parts, indices } = this.shards(step, { from, to: from + 2 ** level });
    const { contributionLength } = this.engine.layout;
    const own = out.subarray(0, contributionLength);
    if (this.engine.contributions === undefined) {
      for (const { batch, key } of parts) this.engine.contribution(batch, key, own);
    } else this.engine.contributions([{ parts, out: own }]);
    callRoll(this.plan.seed, indices, out, contributionLength);
  }

  /** One update. Answers the mean loss of the step. */
  apply(step: number, reduced: Float32Array): number {
    const { training } = this.plan;
    const { contributionLength } = this.engine.layout;
    const own = reduced.subarray(0, contributionLength);
    const [lossSum, correct, samples] = own.slice(-3) as unknown as [number, number, number];
    this.engine.update(own, learningRateAt(training, step), step);
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
    return this.engine.findNonFinite(this.shards(step, { from: 0, to: 1 }).parts[0]!.batch);
  }

  /** The samples of consecutive shards; valid until the next call, because a sample set has one buffer. */
  private shards(step: number, { from, to }: Range): { readonly parts: KeyedBatch[]; readonly indices: Int32Array } {
    const { training, seed } = this.plan;
    const { train } = this.data;
    const epoch = Math.floor(step / training.stepsPerEpoch);
    if (this.order?.epoch !== epoch) this.order = { epoch, at: permute(seed, epoch, train.size) };
    const first = (step % training.stepsPerEpoch) * training.batchSize;
    const size = Math.min(training.batchSize, train.size - first);
    const rangeOf = (shard: number): Range => shardRange(size, training.shards, shard);
    const begin = rangeOf(from).from;
    const { at } = this.order;
    const indices = Int32Array.from({ length: rangeOf(to - 1).to - begin }, (_, i) => at(first + begin + i));
    const all = train.gather(indices, 0, indices.length);
    const { featureLength, targetLength } = train;
    const parts = Array.from({ length: to - from }, (_, i): KeyedBatch => {
      const shard = from + i;
      const range = rangeOf(shard);
      const cut = (values: Float32Array, length: number): Float32Array =>
        values.subarray((range.from - begin) * length, (range.to - begin) * length);
      const batch = { features: cut(all.features, featureLength), targets: cut(all.targets, targetLength) };
      return { batch: { size: range.to - range.from, ...batch }, key: { step, shard } };
    });
    return { parts, indices };
  }
}
