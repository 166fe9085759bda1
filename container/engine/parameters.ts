/**
 * The parameters of a network: one flat vector on our side, tensors on the backend's. Owns the layout, and the copies
 * that the backend computes with, which are made when they are next needed after a change.
 *
 * Invariants
 *  M1  There are never more than one set of tensors: the old ones are disposed of before the new ones are made.
 *  M2  The tensors are copies; writing to the vector shows only after `changed()`.
 */
import { keep, type Tensor, type Tensor2D, tensor, transpose } from '@tensorflow/tfjs-core';
import type { TensorPlan } from '../../core/network.ts';
import type { LayerWeights } from './layers.ts';
import type { TensorSlot } from './port.ts';
import { tensorSlots } from './spec.ts';

export class Parameters {
  readonly vector: Float32Array;
  readonly slots: readonly TensorSlot[];
  readonly #layers: readonly (readonly { readonly role: string; readonly slot: TensorSlot }[])[];
  readonly #tensors = new Map<string, Tensor>();
  #finite: boolean | undefined;
  readonly #transposed = new Map<number, Tensor2D>();

  constructor(tensors: readonly TensorPlan[], layers: number) {
    this.slots = tensorSlots(tensors);
    this.vector = new Float32Array(this.slots.reduce((sum, { length }) => sum + length, 0));
    this.#layers = Array.from({ length: layers }, (_, layer) =>
      this.slots.flatMap((slot, index) =>
        tensors[index]!.layer === layer ? [{ role: slot.name.slice(slot.name.lastIndexOf('/') + 1), slot }] : [],
      ),
    );
  }

  /** The slots of one layer in the order of the vector. */
  slotsOf(layer: number): readonly TensorSlot[] {
    return this.#layers[layer]!.map(({ slot }) => slot);
  }

  view(slot: TensorSlot): Float32Array {
    return this.vector.subarray(slot.offset, slot.offset + slot.length);
  }

  changed(): void {
    this.#finite = undefined;
    for (const old of [...this.#tensors.values(), ...this.#transposed.values()]) old.dispose();
    this.#tensors.clear();
    this.#transposed.clear();
  }

  /** Whether every parameter is a number; looked at once for each state. */
  finite(): boolean {
    // Zero times anything but a number is NaN, and NaN stays: one pass without a branch.
    if (this.#finite === undefined) {
      let zero = 0;
      for (let i = 0; i < this.vector.length; i += 1) zero += this.vector[i]! * 0;
      this.#finite = zero === 0;
    }
    return this.#finite;
  }

  weightsOf(layer: number): LayerWeights {
    const slots = new Map(this.#layers[layer]!.map(({ role, slot }) => [role, slot]));
    const get = (role: string): Tensor => {
      const slot = slots.get(role)!;
      // Kept, because the first use is inside somebody's tidy.
      const made = this.#tensors.get(slot.name) ?? keep(tensor(this.view(slot).slice(), [...slot.shape], 'float32'));
      this.#tensors.set(slot.name, made);
      return made;
    };
    return {
      get,
      transposedKernel: () => {
        const made = this.#transposed.get(layer) ?? keep(transpose(get('kernel')) as Tensor2D);
        this.#transposed.set(layer, made);
        return made;
      },
    };
  }
}
