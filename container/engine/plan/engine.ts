/**
 * The engine of the plan compiler: the passes over a compiled network, and the state vectors, all in one
 * WebAssembly memory.
 *
 * Invariants: E1-E3 of port.ts, and
 *  E4  A step allocates no memory but for views; what a batch needs is laid out when a larger one comes than ever before.
 *  E5  Passes that are not training are cut into pieces by a rule that only depends on the network.
 *  E6  A loss is NaN when a parameter is not finite.
 *  E7  What a shard contributes does not depend on which shards are computed with it: a row of a product does not depend
 *      on the others (kernels/product.ts), or only where that was tried (rows.ts), and everything
 *      summed over samples is summed shard by shard.
 */
import { plainPool } from '../../../core/gang/vector-pool.ts';
import { addUp, cut } from '../batch.ts';
import { exportLayersModel } from '../export.ts';
import { initialise } from '../initial.ts';
import type {
  Batch,
  Engine,
  Evaluation,
  ExportedModel,
  KeyedBatch,
  Layout,
  ShardKey,
  ShardNode,
  StepSize,
} from '../port.ts';
import { type EngineSpec, layoutOf, shapeOf } from '../spec.ts';
import { bytesOf, Vectors } from '../vectors.ts';
import { Bench, type Block } from './bench.ts';
import { backward, compile, forward, type Program } from './compile.ts';
import { fullName, type Provider } from './kernels.ts';
import { lossKinds } from './loss-kinds.ts';
import { mostShards, type Pass, type Shard, type Sums, standardPiece } from './step.ts';
import { updater } from './update.ts';

/** Values of all blocks together in one piece of an inference pass, so that they stay in the cache. */
const pieceValues = 2 ** 20;
const mostPieceSamples = 256;
/** The same for a pass of several nodes of shards: 32 MiB. More go in several passes. */
const mostPassValues = 8 * 2 ** 20;

export class PlanEngine implements Engine {
  readonly name: string;
  readonly layout: Layout;
  readonly threads = 1;
  /** E5. Samples of a piece; the last one of a batch may have fewer. */
  readonly pieceSize: number;
  readonly #spec: EngineSpec;
  readonly #bench: Bench;
  readonly #program: Program;
  readonly #parameters: Block;
  readonly #slots: Block;
  /** What comes out of a pass, and what an update is made from, where the vectors are elsewhere. */
  readonly #contribution: Block;
  /** Sums of subtrees of the shards, while a layer is summed up. */
  readonly #partial: Block;
  readonly #correct: Block;
  readonly #update: ReturnType<typeof updater>;
  #finite: boolean | undefined;

  constructor(spec: EngineSpec, provider: Provider) {
    const shape = shapeOf(spec);
    const layout = layoutOf(spec, shape);
    const bench = new Bench(provider);
    this.name = fullName(provider);
    this.layout = layout;
    this.#spec = spec;
    this.#bench = bench;
    this.#parameters = bench.fixed(layout.parameterLength);
    this.#slots = bench.fixed(layout.slotLength);
    this.#contribution = bench.fixed(layout.contributionLength);
    this.#correct = bench.fixed(1);
    this.#program = compile(spec, shape, layout, bench, this.#parameters);
    this.#partial = bench.fixed(Math.log2(mostShards) * this.#program.largestPiece);
    this.pieceSize = Math.min(mostPieceSamples, Math.max(1, Math.floor(pieceValues / bench.valuesPerSample)));
    this.#update = updater(spec.optimizer, bench, layout, this.#parameters, this.#slots);
    initialise(this.parameters, shape.tensors, spec.layers, spec.seed);
  }

  get parameters(): Float32Array {
    return this.#bench.floats(this.#parameters.offset, this.layout.parameterLength);
  }

  get slots(): Float32Array {
    return this.#bench.floats(this.#slots.offset, this.layout.slotLength);
  }

  /** Bytes of the memory: all there is, reserved and used. */
  get memoryBytes(): number {
    return this.#bench.bytes;
  }

  parametersChanged(): void {
    this.#finite = undefined;
  }

  lend(lengths: readonly number[], { samples, shards }: StepSize): Vectors | undefined {
    // The most that #fits lets into one pass, or what cannot be cut.
    const together = Math.min(samples, Math.floor(mostPassValues / this.#bench.valuesPerSample));
    const most = Math.max(this.pieceSize, together, Math.ceil(samples / shards));
    const ground = this.#bench.lend(bytesOf(lengths), most);
    return ground === undefined ? undefined : new Vectors(lengths, ground);
  }

  contribution(batch: Batch, key: ShardKey, out: Float32Array): void {
    this.contributions([{ parts: [{ batch, key }], out }]);
  }

  contributions(nodes: readonly ShardNode[]): void {
    let together: ShardNode[] = [];
    for (const node of nodes) {
      if (!Number.isInteger(Math.log2(node.parts.length))) {
        throw new Error(`${node.parts.length} shards fill no node of the tree`);
      }
      if (together.length > 0 && !this.#fits([...together, node])) {
        this.#pass(together);
        together = [];
      }
      if (node.parts.length === 1 || this.#fits([node])) together.push(node);
      else this.#halves(node);
    }
    if (together.length > 0) this.#pass(together);
  }

  /** Whether these nodes can go in one pass. */
  #fits(nodes: readonly ShardNode[]): boolean {
    const shards = nodes.reduce((sum, { parts }) => sum + parts.length, 0);
    return shards <= mostShards && samplesOf(nodes) * this.#bench.valuesPerSample <= mostPassValues;
  }

  /** A node that is too large for one pass. */
  #halves({ parts, out }: ShardNode): void {
    const half = parts.length / 2;
    this.contributions([{ parts: parts.slice(0, half), out }]);
    const right = new Float32Array(out.length);
    this.contributions([{ parts: parts.slice(half), out: right }]);
    plainPool.add(out, right, this.layout.roundedLength);
  }

  #pass(nodes: readonly ShardNode[]): void {
    const samples = samplesOf(nodes);
    if (samples === 0) {
      for (const { out } of nodes) out.fill(0);
      return;
    }
    this.#bench.makeRoom(samples);
    const shards = this.#load(nodes.flatMap(({ parts }) => parts));
    const pass: Pass = { samples, shards };
    forward(this.#program, pass);
    const tails = shards.map((shard) => this.#judge(shard));
    let first = 0;
    const runs = nodes.map(({ parts, out }) => {
      const [from, to] = [first, first + parts.length];
      first = to;
      out.set(treeSum(tails.slice(from, to)), this.layout.parameterLength);
      return { shards: shards.slice(from, to), out };
    });
    backward(this.#program, pass, (sums) => {
      for (const run of runs) this.#addUp(run.shards, sums, run.out);
    });
  }

  update(reduced: Float32Array, learningRate: number, step: number): void {
    const { parameterLength } = this.layout;
    const samples = reduced[parameterLength + 2]!;
    // A step without samples has no gradient; dividing would make every weight NaN.
    if (samples === 0) return;
    this.#finite = this.#update(this.#reachable(reduced), 1 / samples, learningRate, step);
  }

  evaluate(batch: Batch): Evaluation {
    return addUp(this.evaluatePieces(batch));
  }

  /** What `evaluate` adds up. */
  evaluatePieces(batch: Batch): Evaluation[] {
    return Array.from(this.#pieces(batch), (piece) => {
      this.#infer(piece);
      const { lossSum, correct } = this.#loss(0, piece.size, false);
      return { samples: piece.size, lossSum: this.#allFinite() ? lossSum : Number.NaN, correct };
    });
  }

  exportModel(): ExportedModel {
    return exportLayersModel(this.#spec, { slots: this.layout.tensors, vector: this.parameters });
  }

  findNonFinite(batch: Batch): string | undefined {
    const { kernels } = this.#bench;
    const bad = new Set<number>();
    for (const piece of this.#pieces(batch)) {
      this.#infer(piece);
      for (const { layer, output } of this.#program.steps) {
        if (!kernels.finite(output.block.offset, piece.size * output.block.length)) bad.add(layer);
      }
    }
    for (const { name, offset, length } of this.layout.tensors) {
      const layer = this.#spec.layers.findIndex((plan) => name.startsWith(`${plan.name}/`));
      if (!kernels.finite(this.#parameters.offset + offset * 4, length)) bad.add(layer);
    }
    // All values may be finite, and only what the loss makes of the last of them is not, as a float32.
    if (bad.size === 0 && !Number.isFinite(Math.fround(this.evaluate(batch).lossSum)))
      bad.add(this.#spec.layers.length - 1);
    return this.#spec.layers[Math.min(...bad)]?.name;
  }

  dispose(): void {
    // The memory goes with the engine.
  }

  /** Byte offset of a sum that an update may be made from: nobody else's when the update changes it. */
  #reachable(reduced: Float32Array): number {
    const offset = this.#update.changesSum ? undefined : this.#bench.offsetOf(reduced);
    if (offset !== undefined) return offset;
    this.#bench.floats(this.#contribution.offset, reduced.length).set(reduced);
    return this.#contribution.offset;
  }

  /** Points the program at the samples of all parts. */
  #load(parts: readonly KeyedBatch[]): Shard[] {
    const { input, inputRoom, targets, targetsRoom } = this.#program;
    input.block.offset = this.#behindEachOther(parts, 'features', inputRoom);
    targets.offset = this.#behindEachOther(parts, 'targets', targetsRoom);
    let to = 0;
    return parts.map(({ batch, key: { step, shard } }, index) => {
      const from = to;
      to += batch.size;
      return { step, shard, index, from, to };
    });
  }

  /** Byte offset of the values of all parts: where they are, when that is in this memory and in order, else a copy's. */
  #behindEachOther(parts: readonly KeyedBatch[], what: 'features' | 'targets', room: Block): number {
    const place = this.#bench.offsetOf(parts[0]!.batch[what]);
    let end = place;
    for (const { batch } of parts) {
      if (end === undefined || this.#bench.offsetOf(batch[what]) !== end) end = undefined;
      else end += batch[what].byteLength;
    }
    if (place !== undefined && end !== undefined) return place;
    let to = room.offset;
    for (const { batch } of parts) {
      this.#bench.floats(to, batch[what].length).set(batch[what]);
      to += batch[what].byteLength;
    }
    return room.offset;
  }

  #infer(piece: Batch): void {
    this.#bench.makeRoom(piece.size);
    this.#load([{ batch: piece, key: { step: 0, shard: 0 } }]);
    forward(this.#program, { samples: piece.size, shards: [] });
  }

  /** Loss sum, correct and samples of one shard; its gradient goes where the way back begins. */
  #judge({ from, to }: Shard): Float32Array {
    const { lossSum, correct } = this.#loss(from, to, true);
    return Float32Array.of(this.#allFinite() || from === to ? lossSum : Number.NaN, correct, to - from);
  }

  #loss(from: number, to: number, withGradient: boolean): { lossSum: number; correct: number } {
    const { block, gradient } = this.#program.output;
    const at = from * block.length * 4;
    const kind = lossKinds.indexOf(this.#spec.loss);
    const into = withGradient ? gradient.offset + at : 0;
    const z = block.offset + at;
    const t = this.#program.targets.offset + at;
    const width = block.length;
    const lossSum = this.#bench.kernels.loss(kind, z, t, to - from, width, into, this.#correct.offset);
    const [correct] = this.#bench.ints(this.#correct.offset, 1) as unknown as [number];
    return { lossSum, correct };
  }

  /** The sums of the shards of a node in the fixed tree, to where they belong in `out`. */
  #addUp(shards: readonly Shard[], sums: Sums, out: Float32Array): void {
    const { at, length } = sums;
    const place = this.#bench.offsetOf(out);
    const result = (place ?? this.#contribution.offset) + at * 4;
    const rounded = at < this.layout.roundedLength;
    if (!sums.writeSum?.(shards, result, rounded)) {
      const way = sums.way?.(shards) ?? { length: standardPiece(length, sums.row), onTop: false };
      for (let from = 0; from < length; from += way.length) {
        const until = Math.min(length, from + way.length);
        this.#addPiece(shards, sums, from, until, result + from * 4, rounded, way.onTop && !rounded);
      }
    }
    if (place === undefined) out.set(this.#bench.floats(result, length), at);
  }

  /** The values [from, until) of the sum; an odd leaf is written on top of its sibling where that is the same. */
  #addPiece(
    shards: readonly Shard[],
    { write }: Sums,
    from: number,
    until: number,
    result: number,
    rounded: boolean,
    onTop: boolean,
  ): void {
    const { kernels } = this.#bench;
    const add = rounded ? kernels.addRounded : kernels.add;
    const length = until - from;
    const place = (depth: number) => (depth === 0 ? result : this.#partial.offset + (depth - 1) * length * 4);
    let depth = 0;
    for (let index = 0; index < shards.length; index += 1) {
      const shard = shards[index]!;
      let rest = index;
      if (onTop && rest % 2 === 1 && shard.from < shard.to) {
        write(shard, place(depth - 1), from, until, true);
        rest = Math.floor(rest / 2);
      } else {
        if (shard.from === shard.to) kernels.fill(place(depth), length, 0);
        else write(shard, place(depth), from, until, false);
        if (rounded) kernels.round(place(depth), length);
        depth += 1;
      }
      for (; rest % 2 === 1; rest = Math.floor(rest / 2)) {
        depth -= 1;
        add(place(depth - 1), place(depth), length);
      }
    }
  }

  #allFinite(): boolean {
    this.#finite ??= this.#bench.kernels.finite(this.#parameters.offset, this.layout.parameterLength) === 1;
    return this.#finite;
  }

  *#pieces(batch: Batch): Generator<Batch> {
    for (let from = 0; from < batch.size; from += this.pieceSize) {
      yield cut(batch, from, Math.min(batch.size, from + this.pieceSize));
    }
  }
}

function samplesOf(nodes: readonly ShardNode[]): number {
  return nodes.reduce((sum, { parts }) => parts.reduce((rest, { batch }) => rest + batch.size, sum), 0);
}

/** Pairwise, as core/gang/tree-sum.ts does it. */
function treeSum(leaves: readonly Float32Array[]): Float32Array {
  if (leaves.length === 1) return leaves[0]!;
  const half = leaves.length / 2;
  const right = treeSum(leaves.slice(half));
  return treeSum(leaves.slice(0, half)).map((value, i) => value + right[i]!);
}
