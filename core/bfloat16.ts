/**
 * bfloat16: the upper half of a float32, its sign, exponent and seven bits of fraction. Here by the value; kernels of the
 * engine do the same for whole vectors (container/engine/kernels/bfloat16.ts).
 *
 * Invariants
 *  BF1 Rounded is to the nearest, of two as near to the one whose last bit is 0: infinite beyond the largest. Infinities and
 *      zeros stay as they are, and what is not a number becomes the one NaN 0x7fc00000.
 *  BF2 A rounded value stays as it is when it is rounded again.
 *  BF3 What was packed and unpacked is the same bits, whatever was in the vector.
 */

import type { TrainingPlan } from './plan.ts';

/** Leading values of a contribution that are rounded: the gradient. What is counted behind it stays as it is. */
export function roundedLength(parameters: number, compression: TrainingPlan['compression'] = 'none'): number {
  return compression === 'bf16' ? parameters : 0;
}

/** Rounds the first `count` values, or all. */
export function roundToBfloat16(values: Float32Array, count: number = values.length): void {
  const bits = bitsOf(values);
  for (let i = 0; i < count; i += 1) {
    const value = bits[i]!;
    bits[i] = Number.isNaN(values[i]) ? 0x7fc0_0000 : (value + 0x7fff + ((value >>> 16) & 1)) & 0xffff_0000;
  }
}

/** Puts the upper halves of the leading values in `room`, up to the first that has a lower half; answers how many. */
export function packBfloat16(values: Float32Array, room: Float32Array): number {
  const bits = bitsOf(values);
  const halves = new Uint16Array(room.buffer, room.byteOffset, 2 * room.length);
  let count = 0;
  for (; count < bits.length && (bits[count]! & 0xffff) === 0; count += 1) halves[count] = bits[count]! >>> 16;
  return count;
}

/** The first `count` values from their halves, which lie at the end of the room for those values. */
export function unpackBfloat16(values: Float32Array, count: number): void {
  const halves = new Uint16Array(values.buffer, values.byteOffset + 2 * count, count);
  const bits = bitsOf(values);
  for (let i = 0; i < count; i += 1) bits[i] = halves[i]! << 16;
}

function bitsOf({ buffer, byteOffset, length }: Float32Array): Uint32Array {
  return new Uint32Array(buffer, byteOffset, length);
}
