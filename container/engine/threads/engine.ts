/**
 * Several threads of one task as one engine. This thread has the state and its own share of the work; the others
 * (thread.ts) compute what they are given from the parameters of this one. Calls stay what they are: this thread stands
 * still until the last share is there.
 *
 * Invariants, besides E1-E3 of port.ts
 *  T3  The bits are those of one thread: a shard's do not depend on who computes it (E7), pieces are added up as the nodes
 *      of the fixed tree that they are (share.ts), and an evaluation's in their order.
 *  T4  A thread computes with the parameters that this one has when it gives the job.
 *  T5  A call ends: with its result, or with an error when a thread failed, has gone or took far longer than this one.
 *      After an error the engine is to be disposed of.
 */
import { TreeSum } from '../../../core/gang/tree-sum.ts';
import { plainPool } from '../../../core/gang/vector-pool.ts';
import { ownership } from '../../../core/shards.ts';
import { addUp, cut } from '../batch.ts';
import { PlanEngine } from '../plan/engine.ts';
import type { Provider } from '../plan/kernels.ts';
import type { Batch, Engine, Evaluation, ExportedModel, KeyedBatch, Layout, ShardKey, ShardNode } from '../port.ts';
import type { EngineSpec } from '../spec.ts';
import type { Vectors } from '../vectors.ts';
import { Helper } from './helper.ts';
import type { Answer, Job } from './jobs.ts';
import { divide, type Piece } from './share.ts';

/** How long the others may take: never less than this, and so many times what this thread's own share took. */
const patience = { floorMs: 30_000, times: 20 } as const;

export class ThreadedEngine implements Engine {
  readonly name: string;
  readonly layout: Layout;
  readonly threads: number;
  readonly #own: PlanEngine;
  readonly #helpers: readonly Helper[];
  readonly #shared: Float32Array;
  /** Those that have the parameters as they are. */
  readonly #informed = new Set<Helper>();

  private constructor(own: PlanEngine, helpers: readonly Helper[]) {
    this.name = own.name;
    this.layout = own.layout;
    this.threads = helpers.length + 1;
    this.#own = own;
    this.#helpers = helpers;
    this.#shared = new Float32Array(new SharedArrayBuffer(own.parameters.byteLength));
  }

  static async start(spec: EngineSpec, provider: Provider, threads: number): Promise<ThreadedEngine> {
    const own = new PlanEngine(spec, provider);
    const started = await Promise.allSettled(
      Array.from({ length: threads - 1 }, (_, i) => Helper.start(`thread ${i + 2} of ${threads}`, { spec, provider })),
    );
    const helpers = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const failed = started.find((one) => one.status === 'rejected');
    if (failed === undefined) return new ThreadedEngine(own, helpers);
    await Promise.all(helpers.map((helper) => helper.stop()));
    throw failed.reason;
  }

  get parameters(): Float32Array {
    return this.#own.parameters;
  }

  get slots(): Float32Array {
    return this.#own.slots;
  }

  parametersChanged(): void {
    this.#own.parametersChanged();
    this.#informed.clear();
  }

  lend(...what: Parameters<PlanEngine['lend']>): Vectors | undefined {
    return this.#own.lend(...what);
  }

  contribution(batch: Batch, key: ShardKey, out: Float32Array): void {
    this.#own.contribution(batch, key, out);
  }

  contributions(nodes: readonly ShardNode[]): void {
    const shares = divide(
      nodes.map(({ parts }) => parts.length),
      this.threads,
    );
    const given = this.#helpers.map((helper, i) => this.#copies(helper, nodes, shares[i]!));
    const own = this.#ownNodes(nodes, shares.at(-1)!);
    this.#together(
      given.map((all) => (all.length === 0 ? undefined : { kind: 'contributions', nodes: all })),
      () => this.#own.contributions(own),
    );
    const sums = nodes.map(({ parts }) => new TreeSum(parts.length, plainPool, this.layout.roundedLength));
    for (const [rank, all] of [...given, own].entries()) {
      for (const [i, { node, at }] of shares[rank]!.entries()) {
        const { out: wanted } = nodes[node]!;
        const { out } = all[i]!;
        const total = sums[node]!.add(at, out, out === wanted ? 'gladly' : 'if need be');
        if (total !== undefined && total !== wanted) wanted.set(total);
      }
    }
  }

  update(reduced: Float32Array, learningRate: number, step: number): void {
    this.#own.update(reduced, learningRate, step);
    this.#informed.clear();
  }

  evaluate(batch: Batch): Evaluation {
    const { pieceSize } = this.#own;
    const pieces = Math.ceil(batch.size / pieceSize);
    const shares = Array.from({ length: this.threads }, (_, rank) => {
      const { from, to } = ownership(pieces, this.threads, rank);
      return cut(batch, from * pieceSize, Math.min(batch.size, to * pieceSize));
    });
    const jobs = this.#helpers.map(({ room }, i): Job | undefined => {
      const { size, features, targets } = shares[i]!;
      if (size === 0) return undefined;
      room.begin(features.length + targets.length);
      return { kind: 'evaluate', batch: { size, features: room.copy(features), targets: room.copy(targets) } };
    });
    const { mine, answers } = this.#together(jobs, () => this.#own.evaluatePieces(shares.at(-1)!));
    return addUp([...answers.flatMap((answer) => (answer.kind === 'evaluated' ? answer.pieces : [])), ...mine]);
  }

  exportModel(): ExportedModel {
    return this.#own.exportModel();
  }

  findNonFinite(batch: Batch): string | undefined {
    return this.#own.findNonFinite(batch);
  }

  dispose(): void {
    for (const helper of this.#helpers) void helper.stop();
    this.#own.dispose();
  }

  /** A helper's share of the nodes, in memory that it sees. */
  #copies({ room }: Helper, nodes: readonly ShardNode[], pieces: readonly Piece[]): ShardNode[] {
    const { contributionLength } = this.layout;
    const shares = pieces.map((piece) => partsOf(nodes, piece));
    const samples = shares.flat().reduce((sum, { batch }) => sum + batch.features.length + batch.targets.length, 0);
    room.begin(samples + pieces.length * contributionLength);
    return shares.map((share) => ({
      parts: share.map(({ batch: { size, features, targets }, key }) => {
        return { batch: { size, features: room.copy(features), targets: room.copy(targets) }, key };
      }),
      out: room.take(contributionLength),
    }));
  }

  /** This thread's: the first piece of a node where the whole is wanted, so that the others are added to it. */
  #ownNodes(nodes: readonly ShardNode[], pieces: readonly Piece[]): ShardNode[] {
    return pieces.map((piece, i) => ({
      parts: partsOf(nodes, piece),
      out:
        pieces[i - 1]?.node === piece.node ? new Float32Array(this.layout.contributionLength) : nodes[piece.node]!.out,
    }));
  }

  /** The helpers' jobs, and meanwhile this thread's share. */
  #together<T>(jobs: readonly (Job | undefined)[], share: () => T): { mine: T; answers: Answer[] } {
    const working = this.#helpers.filter((helper, i) => {
      const job = jobs[i];
      if (job !== undefined) helper.give({ ...job, ...this.#newsFor(helper) });
      return job !== undefined;
    });
    const begin = performance.now();
    const mine = share();
    const patienceMs = Math.max(patience.floorMs, patience.times * (performance.now() - begin));
    return { mine, answers: working.map((helper) => helper.answer(patienceMs)) };
  }

  /** T4. Nobody reads the shared copy while this thread is here, so it may be written when it is out of date. */
  #newsFor(helper: Helper): Pick<Job, 'parameters'> {
    if (this.#informed.has(helper)) return {};
    if (this.#informed.size === 0) this.#shared.set(this.#own.parameters);
    this.#informed.add(helper);
    return { parameters: this.#shared };
  }
}

function partsOf(nodes: readonly ShardNode[], { node, at }: Piece): readonly KeyedBatch[] {
  const size = 2 ** at.level;
  return nodes[node]!.parts.slice(at.index * size, (at.index + 1) * size);
}
