/**
 * The embedding: a row of a table for each whole number. What is no row of the table gives NaN, which shows in the loss.
 *
 * Invariant EM1: the gradient of a row is summed over the places where it was taken, from the first to the last.
 */
import { add, fill } from './vector.ts';

@inline
function bytes(values: i32): usize {
  return <usize>values << 2;
}

/** The row that this number stands for, or -1. */
@inline
function rowOf(id: f32, rows: i32): i32 {
  return id >= 0 && id < <f32>rows && nearest(id) == id ? <i32>id : -1;
}

export function embed(ids: usize, n: i32, table: usize, rows: i32, width: i32, y: usize): void {
  for (let i = 0; i < n; i++, ids += 4, y += bytes(width)) {
    const row = rowOf(load<f32>(ids), rows);
    if (row < 0) fill(y, width, f32.NaN);
    else memory.copy(y, table + bytes(row * width), bytes(width));
  }
}

/** The gradient of the whole table. */
export function embedGradient(ids: usize, n: i32, dy: usize, rows: i32, width: i32, out: usize): void {
  fill(out, rows * width, 0);
  for (let i = 0; i < n; i++, ids += 4, dy += bytes(width)) {
    const row = rowOf(load<f32>(ids), rows);
    if (row >= 0) add(out + bytes(row * width), dy, width);
  }
}
