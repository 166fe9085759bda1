/**
 * Copies the sides of a product into panels, in the order in which a tile reads them. A transposed side differs in its
 * strides alone.
 */
import { tileColumns, tileRows } from './tile.ts';

@inline
function at(index: i32): usize {
  return <usize>index << 2;
}

/** Panels of `tileRows` rows of a: for each p the values of the rows side by side, zeros below the last row. */
export function packRows(a: usize, row: i32, column: i32, m: i32, k: i32, to: usize): void {
  for (let i = 0; i < m; i += tileRows) {
    const from = a + at(i * row);
    const rows = min(tileRows, m - i);
    if (rows == tileRows && row == 1) packRowsAcross(from, at(column), k, to);
    else if (rows == tileRows && column == 1) packRowsAlong(from, at(row), k, to);
    else {
      for (let p = 0; p < k; p++) {
        for (let r = 0; r < tileRows; r++) {
          store<f32>(to + at(p * tileRows + r), r < rows ? load<f32>(from + at(r * row + p * column)) : 0);
        }
      }
    }
    to += at(k * tileRows);
  }
}

/** Of a transposed matrix: the values of a panel lie side by side already. */
function packRowsAcross(from: usize, step: usize, k: i32, to: usize): void {
  for (let p = 0; p < k; p++) {
    v128.store(to, v128.load(from));
    if (tileRows == 6) store<u64>(to, load<u64>(from, 16), 16);
    from += step;
    to += <usize>(tileRows * 4);
  }
}

function packRowsAlong(from: usize, row: usize, k: i32, to: usize): void {
  let p0 = from;
  let p1 = p0 + row;
  let p2 = p1 + row;
  let p3 = p2 + row;
  let p4 = p3 + row;
  let p5 = p4 + row;
  const width = <usize>(tileRows * 4);
  let p = 0;
  for (; p + 4 <= k; p += 4) {
    const r0 = v128.load(p0);
    const r1 = v128.load(p1);
    const r2 = v128.load(p2);
    const r3 = v128.load(p3);
    const low01 = i32x4.shuffle(r0, r1, 0, 4, 1, 5);
    const low23 = i32x4.shuffle(r2, r3, 0, 4, 1, 5);
    const high01 = i32x4.shuffle(r0, r1, 2, 6, 3, 7);
    const high23 = i32x4.shuffle(r2, r3, 2, 6, 3, 7);
    v128.store(to, i64x2.shuffle(low01, low23, 0, 2));
    v128.store(to + width, i64x2.shuffle(low01, low23, 1, 3));
    v128.store(to + 2 * width, i64x2.shuffle(high01, high23, 0, 2));
    v128.store(to + 3 * width, i64x2.shuffle(high01, high23, 1, 3));
    p0 += 16;
    p1 += 16;
    p2 += 16;
    p3 += 16;
    if (tileRows == 6) {
      const r4 = v128.load(p4);
      const r5 = v128.load(p5);
      const low45 = i32x4.shuffle(r4, r5, 0, 4, 1, 5);
      const high45 = i32x4.shuffle(r4, r5, 2, 6, 3, 7);
      v128.store64_lane(to, low45, 0, 16);
      v128.store64_lane(to + width, low45, 1, 16);
      v128.store64_lane(to + 2 * width, high45, 0, 16);
      v128.store64_lane(to + 3 * width, high45, 1, 16);
      p4 += 16;
      p5 += 16;
    }
    to += 4 * width;
  }
  for (; p < k; p++) {
    store<f32>(to, load<f32>(p0));
    store<f32>(to, load<f32>(p1), 4);
    store<f32>(to, load<f32>(p2), 8);
    store<f32>(to, load<f32>(p3), 12);
    p0 += 4;
    p1 += 4;
    p2 += 4;
    p3 += 4;
    if (tileRows == 6) {
      store<f32>(to, load<f32>(p4), 16);
      store<f32>(to, load<f32>(p5), 20);
      p4 += 4;
      p5 += 4;
    }
    to += width;
  }
}

/** Panels of 8 columns of b, zeros to the right of the last column. */
export function packColumns(b: usize, row: i32, column: i32, k: i32, n: i32, to: usize): void {
  for (let j = 0; j < n; j += tileColumns) {
    const from = b + at(j * column);
    const columns = min(tileColumns, n - j);
    if (columns == tileColumns && column == 1) packColumnsAcross(from, at(row), k, to);
    else if (columns == tileColumns && row == 1) packColumnsAlong(from, at(column), k, to);
    else {
      for (let p = 0; p < k; p++) {
        for (let c = 0; c < tileColumns; c++) {
          store<f32>(to + at(p * tileColumns + c), c < columns ? load<f32>(from + at(p * row + c * column)) : 0);
        }
      }
    }
    to += at(k * tileColumns);
  }
}

function packColumnsAcross(from: usize, row: usize, k: i32, to: usize): void {
  for (let p = 0; p < k; p++) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
    from += row;
    to += 32;
  }
}

function packColumnsAlong(from: usize, column: usize, k: i32, to: usize): void {
  let p = 0;
  for (; p + 4 <= k; p += 4) {
    transpose4(from, column, to);
    transpose4(from + 4 * column, column, to + 16);
    from += 16;
    to += 128;
  }
  for (; p < k; p++) {
    let source = from;
    for (let c = 0; c < tileColumns; c++) {
      store<f32>(to + at(c), load<f32>(source));
      source += column;
    }
    from += 4;
    to += 32;
  }
}

/** Four values of each of four columns, to four rows 32 bytes apart. */
@inline
function transpose4(from: usize, column: usize, to: usize): void {
  const r0 = v128.load(from);
  const r1 = v128.load(from + column);
  const r2 = v128.load(from + 2 * column);
  const r3 = v128.load(from + 3 * column);
  const low01 = i32x4.shuffle(r0, r1, 0, 4, 1, 5);
  const low23 = i32x4.shuffle(r2, r3, 0, 4, 1, 5);
  const high01 = i32x4.shuffle(r0, r1, 2, 6, 3, 7);
  const high23 = i32x4.shuffle(r2, r3, 2, 6, 3, 7);
  v128.store(to, i64x2.shuffle(low01, low23, 0, 2));
  v128.store(to, i64x2.shuffle(low01, low23, 1, 3), 32);
  v128.store(to, i64x2.shuffle(high01, high23, 0, 2), 64);
  v128.store(to, i64x2.shuffle(high01, high23, 1, 3), 96);
}
