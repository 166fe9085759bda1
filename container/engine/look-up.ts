/**
 * Bytes that become numbers by a table: all lie in one WebAssembly memory, where that takes a third of the time that
 * JavaScript takes.
 */
import { Vectors } from './vectors.ts';

export interface LookUp {
  /** To be filled. */
  readonly bytes: Uint8Array;
  readonly values: Float32Array;
  /** values[i] = table[bytes[i]], for the first so many. */
  run(count: number): void;
}

/** What a look-up of so many bytes takes. */
export function lookUpLengths(length: number): readonly number[] {
  return [256, length, Math.ceil(length / Float32Array.BYTES_PER_ELEMENT)];
}

/** Room for so many bytes, among these vectors or in a memory of its own; `table` has 256 values. */
export function lookUp(table: Float32Array, length: number, room = new Vectors(lookUpLengths(length))): LookUp {
  const [numbers, values, four] = lookUpLengths(length).map((each) => room.allocate(each)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  numbers.set(table);
  const bytes = new Uint8Array(four.buffer, four.byteOffset, length);
  return {
    bytes,
    values,
    run(count) {
      if (!(count <= length)) throw new RangeError(`${count} of ${length} bytes`);
      room.lookUp(bytes, count, numbers, values);
    },
  };
}
