/**
 * The engine on TensorFlow.js operations. Owns the passes through the network and the state vectors; what a layer
 * computes is layers.ts, losses and optimizers are plain loops beside this file.
 *
 * The last activation is left out of training when the loss has it built in (softmax, sigmoid): the network here ends in
 * logits, the exported one in probabilities.
 *
 * Invariants: E1-E3 of port.ts, and
 *  E4  No call leaves a tensor behind, but for one copy of the parameters (parameters.ts).
 *  E5  Passes that are not training are cut into pieces by a rule that only depends on the network, so that evaluate
 *      sums in one order whoever asks.
 *  E6  A loss is NaN when a parameter is not finite. The rectifiers of the WebAssembly backend turn NaN into 0, so the
 *      outputs alone do not show that a run has diverged.
 */
import { type Tensor, tensor, tidy } from '@tensorflow/tfjs-core';
import { roundToBfloat16 } from '../../core/bfloat16.ts';
import { size } from '../../core/network.ts';
import { keyed, purposes } from '../../core/random.ts';
import { type Backend, useBackend, values } from './backend.ts';
import { cut } from './batch.ts';
import { exportLayersModel } from './export.ts';
import { initialise } from './initial.ts';
import { type Forward, type Mode, type Operation, operation } from './layers.ts';
import { sumLoss } from './loss.ts';
import { applyUpdate } from './optimizer.ts';
import { Parameters } from './parameters.ts';
import type { Batch, Engine, Evaluation, ExportedModel, Layout, ShardKey } from './port.ts';
import { type EngineSpec, firstTrainedLayer, layoutOf, shapeOf, withoutLastActivation } from './spec.ts';

/** Values in the largest activation of one piece of an inference pass: 16 MiB of float32. */
const pieceValues = 4 * 2 ** 20;

export class TensorflowEngine implements Engine {
  readonly name: string;
  readonly layout: Layout;
  readonly threads = 1;
  readonly parameters: Float32Array;
  readonly slots: Float32Array;
  readonly #spec: EngineSpec;
  readonly #backend: Backend;
  readonly #state: Parameters;
  readonly #operations: readonly { readonly run: Operation; readonly needsInput: boolean }[];
  readonly #pieceSize: number;

  constructor(spec: EngineSpec, backend: Backend) {
    const shape = shapeOf(spec);
    this.#spec = spec;
    this.#backend = backend;
    this.#state = new Parameters(shape.tensors, spec.layers.length);
    const firstTrained = firstTrainedLayer(spec, shape);
    this.#operations = withoutLastActivation(spec).map((plan, layer) => ({
      run: operation(plan, layer),
      needsInput: layer > firstTrained,
    }));
    const widest = Math.max(size(spec.inputShape), ...shape.shapes.map(size));
    this.#pieceSize = Math.max(1, Math.floor(pieceValues / widest));
    this.name = `tensorflow/${backend}`;
    this.parameters = this.#state.vector;
    this.layout = layoutOf(spec, shape);
    this.slots = new Float32Array(this.layout.slotLength);
    initialise(this.parameters, shape.tensors, spec.layers, spec.seed);
  }

  parametersChanged(): void {
    this.#state.changed();
  }

  contribution(batch: Batch, key: ShardKey, out: Float32Array): void {
    out.fill(0);
    if (batch.size === 0) return;
    useBackend(this.#backend);
    const mode: Mode = {
      kind: 'training',
      samples: batch.size,
      random: (layer, length, rate) => this.#dropoutMask(key, layer, length, rate),
    };
    const { lossSum, correct } = scoped(() => {
      const passes = this.#forward(batch, mode);
      const y = passes.at(-1)!.y;
      const outputs = values(y);
      const gradient = new Float32Array(outputs.length);
      const evaluation = sumLoss(this.#spec.loss, outputs, batch.targets, batch.size, gradient);
      this.#backward(passes, tensor(gradient, y.shape, 'float32'), out);
      return evaluation;
    });
    roundToBfloat16(out, this.layout.roundedLength);
    const tail = this.layout.parameterLength;
    out[tail] = this.#state.finite() ? lossSum : Number.NaN;
    out[tail + 1] = correct;
    out[tail + 2] = batch.size;
  }

  update(reduced: Float32Array, learningRate: number, step: number): void {
    const { trainableLength, parameterLength } = this.layout;
    const samples = reduced[parameterLength + 2]!;
    // A step without samples has no gradient; dividing would make every weight NaN.
    if (samples === 0) return;
    const weights = this.parameters.subarray(0, trainableLength);
    applyUpdate(this.#spec.optimizer, weights, this.slots, reduced, 1 / samples, learningRate, step);
    for (let i = trainableLength; i < parameterLength; i += 1) this.parameters[i]! += reduced[i]! / samples;
    this.parametersChanged();
  }

  evaluate(batch: Batch): Evaluation {
    let samples = 0;
    let lossSum = 0;
    let correct = 0;
    for (const piece of this.#pieces(batch)) {
      const part = this.#infer(piece, (passes) =>
        sumLoss(this.#spec.loss, values(passes.at(-1)!.y), piece.targets, piece.size),
      );
      samples += part.samples;
      lossSum += part.lossSum;
      correct += part.correct;
    }
    return { samples, lossSum: samples === 0 || this.#state.finite() ? lossSum : Number.NaN, correct };
  }

  exportModel(): ExportedModel {
    return exportLayersModel(this.#spec, this.#state);
  }

  findNonFinite(batch: Batch): string | undefined {
    const bad = new Set<number>();
    for (const piece of this.#pieces(batch)) {
      this.#infer(piece, (passes) => {
        for (const [layer, { y }] of passes.entries()) if (!allFinite(values(y))) bad.add(layer);
      });
    }
    const first = this.#spec.layers.findIndex(
      (_, layer) => bad.has(layer) || this.#state.slotsOf(layer).some((slot) => !allFinite(this.#state.view(slot))),
    );
    if (first >= 0) return this.#spec.layers[first]?.name;
    // All values may be finite, and only what the loss makes of the last of them is not, as a float32.
    return Number.isFinite(Math.fround(this.evaluate(batch).lossSum)) ? undefined : this.#spec.layers.at(-1)?.name;
  }

  dispose(): void {
    useBackend(this.#backend);
    this.#state.changed();
  }

  #forward(batch: Batch, mode: Mode): readonly Forward[] {
    let x: Tensor = tensor(batch.features, [batch.size, ...this.#spec.inputShape], 'float32');
    return this.#operations.map(({ run }, layer) => {
      const pass = run(x, this.#state.weightsOf(layer), mode);
      x = pass.y;
      return pass;
    });
  }

  /** From the last layer to the first that is trained; gradients and drifts go to their places in `out`. */
  #backward(passes: readonly Forward[], lossGradient: Tensor, out: Float32Array): void {
    let dy: Tensor | undefined = lossGradient;
    for (let layer = passes.length - 1; layer >= 0 && dy !== undefined; layer -= 1) {
      const pass = passes[layer]!;
      const { dx, gradients }: ReturnType<Forward['backward']> = pass.backward(dy, this.#operations[layer]!.needsInput);
      const slots = this.#state.slotsOf(layer);
      for (const [index, result] of [...gradients, ...(pass.drift ?? [])].entries()) {
        out.set(values(result), slots[index]!.offset);
      }
      dy = dx;
    }
  }

  #infer<T>(batch: Batch, read: (passes: readonly Forward[]) => T): T {
    useBackend(this.#backend);
    return scoped(() => read(this.#forward(batch, { kind: 'inference' })));
  }

  *#pieces(batch: Batch): Generator<Batch> {
    for (let from = 0; from < batch.size; from += this.#pieceSize) {
      yield cut(batch, from, Math.min(batch.size, from + this.#pieceSize));
    }
  }

  #dropoutMask({ step, shard }: ShardKey, layer: number, length: number, rate: number): Float32Array {
    const random = keyed(this.#spec.seed, purposes.dropout, step, shard, layer);
    const kept = 1 / (1 - rate);
    const mask = new Float32Array(length);
    for (let i = 0; i < length; i += 1) if (random.next() >= rate) mask[i] = kept;
    return mask;
  }
}

/** tidy() for work whose result is not a tensor. */
function scoped<T>(work: () => T): T {
  let result: T | undefined;
  tidy(() => {
    result = work();
  });
  return result as T;
}

function allFinite(numbers: Float32Array): boolean {
  for (let i = 0; i < numbers.length; i += 1) if (!Number.isFinite(numbers[i])) return false;
  return true;
}
