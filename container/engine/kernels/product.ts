/**
 * Products of matrices. Owns the order of summation that everything else relies on.
 *
 * Invariants
 *  P1  Every element is c = c + a[0]*b[0], then + a[1]*b[1], ... one after the other, from zero or from what was there:
 *      the order does not depend on the size of the matrix, on where in it the element is, or on the tile it falls in.
 *  P2  Every element of a tile is computed, those outside the matrix from zeros, and only those inside are stored.
 */

import { packColumns, packRows } from './pack.ts';
import { tile, tileColumns, tileRows } from './tile.ts';

/**
 * A block: the panel of b (8 x depth) stays in the first-level cache, that of a (height x depth) in the second, and
 * `width` bounds the room for packing.
 */
const depth: i32 = 384;
const height: i32 = 96;
const width: i32 = 512;

/** Bytes that `product` needs as `scratch`. */
export function productScratch(): i32 {
  return 256 + depth * (height + width) * 4;
}

/**
 * c[m, n] = a[m, k] * b[k, n], or += with `accumulate`. Element (i, p) of a is at a + 4 * (i*aRow + p*aColumn), of b
 * (p, j) at b + 4 * (p*bRow + j*bColumn): a transposed operand is one with the two exchanged. Rows of c are cRow apart.
 */
export function product(
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: i32,
  aColumn: i32,
  b: usize,
  bRow: i32,
  bColumn: i32,
  c: usize,
  cRow: i32,
  accumulate: i32,
  scratch: usize,
): void {
  const packedA = scratch + 256;
  const packedB = packedA + at(height * depth);
  for (let q = 0; q < n; q += width) {
    const nc = min(width, n - q);
    for (let p = 0; p < k; p += depth) {
      const kc = min(depth, k - p);
      packColumns(b + at(p * bRow + q * bColumn), bRow, bColumn, kc, nc, packedB);
      for (let i = 0; i < m; i += height) {
        const mc = min(height, m - i);
        packRows(a + at(i * aRow + p * aColumn), aRow, aColumn, mc, kc, packedA);
        block(mc, nc, kc, packedA, packedB, c + at(i * cRow + q), cRow, accumulate | i32(p > 0), scratch);
      }
    }
  }
}

/** One block of c from packed sides. */
function block(m: i32, n: i32, k: i32, a: usize, b: usize, c: usize, cRow: i32, goOn: i32, edge: usize): void {
  for (let j = 0; j < n; j += tileColumns) {
    const columns = min(tileColumns, n - j);
    const panel = b + at(j * k);
    for (let i = 0; i < m; i += tileRows) {
      const rows = min(tileRows, m - i);
      const to = c + at(i * cRow + j);
      if (rows == tileRows && columns == tileColumns) tile(k, a + at(i * k), panel, to, at(cRow), goOn);
      else edgeTile(k, a + at(i * k), panel, to, cRow, rows, columns, goOn, edge);
    }
  }
}

@inline
function at(index: i32): usize {
  return <usize>index << 2;
}

function edgeTile(
  k: i32,
  a: usize,
  b: usize,
  c: usize,
  cRow: i32,
  rows: i32,
  columns: i32,
  goOn: i32,
  edge: usize,
): void {
  if (goOn) copyBlock(c, cRow, edge, tileColumns, rows, columns);
  tile(k, a, b, edge, tileColumns * 4, goOn);
  copyBlock(edge, tileColumns, c, cRow, rows, columns);
}

function copyBlock(from: usize, fromRow: i32, to: usize, toRow: i32, rows: i32, columns: i32): void {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) store<f32>(to + at(i * toRow + j), load<f32>(from + at(i * fromRow + j)));
  }
}
