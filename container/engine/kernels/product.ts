/**
 * Products of matrices. Owns the order of summation that everything else relies on.
 *
 * Invariants
 *  P1  Every element is c = c + a[0]*b[0], then + a[1]*b[1], ... one after the other, from zero or from what was there:
 *      the order does not depend on the size of the matrix, on where in it the element is, or on the tile it falls in.
 *  P2  Every element of a tile is computed, those outside the matrix from zeros, and only those inside are stored.
 */

import { rounded } from './bfloat16.ts';
import { packColumns, packRows } from './pack.ts';
import { tile, tileColumns, tileRows } from './tile.ts';

/**
 * A block: the panel of b (8 x depth) stays in the first-level cache, that of a (height x depth) in the second, and
 * `width` bounds the room for packing.
 */
const depth: i32 = 384;
const height: i32 = 96;
const width: i32 = 512;

/** Room for tiles at the beginning of the scratch: one at an edge, or one for each level of a tree. */
const tileBytes: i32 = 256;
const mostTiles: i32 = 7;

/** Bytes that a product needs as `scratch`. */
export function productScratch(): i32 {
  return mostTiles * tileBytes + depth * (height + width) * 4;
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
  const packedA = scratch + mostTiles * tileBytes;
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

/**
 * c = the sum in the fixed binary tree of a_s * b_s over a power of two of parts, at most 2^6: the rows of b and columns of
 * a, of which there are `ends[parts - 1]`, are cut at `ends`. The same bits as products of the parts and then their sums,
 * without storing them; with `round`, every product and every sum is rounded to bfloat16. Answers 0 when there are too many
 * rows, and has done nothing then.
 */
export function treeProduct(
  m: i32,
  n: i32,
  ends: usize,
  parts: i32,
  a: usize,
  aRow: i32,
  aColumn: i32,
  b: usize,
  bRow: i32,
  bColumn: i32,
  c: usize,
  cRow: i32,
  round: i32,
  scratch: usize,
): i32 {
  const k = load<i32>(ends + at(parts - 1));
  if (k > depth) return 0;
  const packedA = scratch + mostTiles * tileBytes;
  const packedB = packedA + at(height * depth);
  for (let q = 0; q < n; q += width) {
    const nc = min(width, n - q);
    packColumns(b + at(q * bColumn), bRow, bColumn, k, nc, packedB);
    for (let i = 0; i < m; i += height) {
      const mc = min(height, m - i);
      packRows(a + at(i * aRow), aRow, aColumn, mc, k, packedA);
      for (let j = 0; j < nc; j += tileColumns) {
        const columns = min(tileColumns, nc - j);
        for (let r = 0; r < mc; r += tileRows) {
          treeTile(ends, parts, packedA + at(r * k), packedB + at(j * k), round, scratch);
          const to = c + at((i + r) * cRow + q + j);
          const rows = min(tileRows, mc - r);
          if (columns == tileColumns) copyRows(scratch, to, at(cRow), rows);
          else copyBlock(scratch, tileColumns, to, cRow, rows, columns);
        }
      }
    }
  }
  return 1;
}

/** The sum of one tile over the parts, at the beginning of `tiles`, which is a stack. */
function treeTile(ends: usize, parts: i32, a: usize, b: usize, round: i32, tiles: usize): void {
  let top = tiles;
  let begin = 0;
  for (let s = 0; s < parts; s++) {
    const end = load<i32>(ends + at(s));
    const k = end - begin;
    tile(k, a, b, top, tileColumns * 4, 0);
    a += at(k * tileRows);
    b += at(k * tileColumns);
    begin = end;
    if (round) roundTile(top);
    // As many siblings wait as there are ones at the end of the number.
    for (let rest = s; rest & 1; rest >>= 1) {
      top -= tileBytes;
      addTile(top, top + tileBytes);
      if (round) roundTile(top);
    }
    top += tileBytes;
  }
}

/** y += x. */
function addTile(y: usize, x: usize): void {
  for (const end = y + tileRows * tileColumns * 4; y < end; y += 64, x += 64) {
    v128.store(y, f32x4.add(v128.load(y), v128.load(x)));
    v128.store(y, f32x4.add(v128.load(y, 16), v128.load(x, 16)), 16);
    v128.store(y, f32x4.add(v128.load(y, 32), v128.load(x, 32)), 32);
    v128.store(y, f32x4.add(v128.load(y, 48), v128.load(x, 48)), 48);
  }
}

function roundTile(tile: usize): void {
  for (let o: usize = 0; o < <usize>(tileRows * tileColumns * 4); o += 16) {
    v128.store(tile + o, rounded(v128.load(tile + o)));
  }
}

function copyRows(from: usize, to: usize, step: usize, rows: i32): void {
  for (let i = 0; i < rows; i++, from += tileColumns * 4, to += step) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
  }
}
