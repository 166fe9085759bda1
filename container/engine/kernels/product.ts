/**
 * Products of matrices. Owns the order of summation that everything else relies on.
 *
 * Invariants
 *  P1  Every element is c = c + a[0]*b[0], then + a[1]*b[1], ... one after the other, from zero or from what was there:
 *      the order does not depend on the size of the matrix, on where in it the element is, or on the tile it falls in.
 *  P2  `multiplyAdd` is the only operation that differs between the two builds: one rounding here, two there.
 *  P3  Every element of a tile is computed, those outside the matrix from zeros, and only those inside are stored.
 */

/** Rows of a tile. With separate operations a product needs a register more, so its tile is smaller (V8 has 15). */
const tileRows: i32 = ASC_FEATURE_RELAXED_SIMD ? 6 : 4;
const tileColumns: i32 = 8;
/** The panels of a block: 8 x depth of b stays in the first-level cache, height x depth of a in the second. */
const depth: i32 = 384;
const height: i32 = 96;

@inline
export function multiplyAdd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** Bytes that `product` needs as `scratch` for a right side of this many columns. */
export function productScratch(columns: i32): i32 {
  return 256 + height * depth * 4 + depth * ((columns + 7) & ~7) * 4;
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
  const edge = scratch;
  const packedA = scratch + 256;
  const packedB = packedA + <usize>(height * depth * 4);
  for (let p = 0; p < k; p += depth) {
    const kc = min(depth, k - p);
    const goOn = accumulate | i32(p > 0);
    packColumns(b + at(p * bRow), bRow, bColumn, kc, n, packedB);
    for (let i = 0; i < m; i += height) {
      const mc = min(height, m - i);
      packRows(a + at(i * aRow + p * aColumn), aRow, aColumn, mc, kc, packedA);
      for (let j = 0; j < n; j += tileColumns) {
        const columns = min(tileColumns, n - j);
        const panel = packedB + at(j * kc);
        for (let r = 0; r < mc; r += tileRows) {
          const rows = min(tileRows, mc - r);
          const to = c + at((i + r) * cRow + j);
          if (rows == tileRows && columns == tileColumns) tile(kc, packedA + at(r * kc), panel, to, at(cRow), goOn);
          else edgeTile(kc, packedA + at(r * kc), panel, to, cRow, rows, columns, goOn, edge);
        }
      }
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

/** A function of its own for each build: inlined into the loops around it, V8 would spill the accumulators. */
function tile(k: i32, a: usize, b: usize, c: usize, cRow: usize, goOn: i32): void {
  if (ASC_FEATURE_RELAXED_SIMD) tile6(k, a, b, c, cRow, goOn);
  else tile4(k, a, b, c, cRow, goOn);
}

function tile6(k: i32, a: usize, b: usize, c: usize, cRow: usize, goOn: i32): void {
  let c00 = f32x4.splat(0);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  let c40 = c00;
  let c41 = c00;
  let c50 = c00;
  let c51 = c00;
  if (goOn) {
    let row = c;
    c00 = v128.load(row);
    c01 = v128.load(row, 16);
    row += cRow;
    c10 = v128.load(row);
    c11 = v128.load(row, 16);
    row += cRow;
    c20 = v128.load(row);
    c21 = v128.load(row, 16);
    row += cRow;
    c30 = v128.load(row);
    c31 = v128.load(row, 16);
    row += cRow;
    c40 = v128.load(row);
    c41 = v128.load(row, 16);
    row += cRow;
    c50 = v128.load(row);
    c51 = v128.load(row, 16);
  }
  const end = a + <usize>(k * 24);
  while (a < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = multiplyAdd(x, b0, c00);
    c01 = multiplyAdd(x, b1, c01);
    x = v128.load32_splat(a, 4);
    c10 = multiplyAdd(x, b0, c10);
    c11 = multiplyAdd(x, b1, c11);
    x = v128.load32_splat(a, 8);
    c20 = multiplyAdd(x, b0, c20);
    c21 = multiplyAdd(x, b1, c21);
    x = v128.load32_splat(a, 12);
    c30 = multiplyAdd(x, b0, c30);
    c31 = multiplyAdd(x, b1, c31);
    x = v128.load32_splat(a, 16);
    c40 = multiplyAdd(x, b0, c40);
    c41 = multiplyAdd(x, b1, c41);
    x = v128.load32_splat(a, 20);
    c50 = multiplyAdd(x, b0, c50);
    c51 = multiplyAdd(x, b1, c51);
    a += 24;
    b += 32;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  c += cRow;
  v128.store(c, c10);
  v128.store(c, c11, 16);
  c += cRow;
  v128.store(c, c20);
  v128.store(c, c21, 16);
  c += cRow;
  v128.store(c, c30);
  v128.store(c, c31, 16);
  c += cRow;
  v128.store(c, c40);
  v128.store(c, c41, 16);
  c += cRow;
  v128.store(c, c50);
  v128.store(c, c51, 16);
}

function tile4(k: i32, a: usize, b: usize, c: usize, cRow: usize, goOn: i32): void {
  let c00 = f32x4.splat(0);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  if (goOn) {
    let row = c;
    c00 = v128.load(row);
    c01 = v128.load(row, 16);
    row += cRow;
    c10 = v128.load(row);
    c11 = v128.load(row, 16);
    row += cRow;
    c20 = v128.load(row);
    c21 = v128.load(row, 16);
    row += cRow;
    c30 = v128.load(row);
    c31 = v128.load(row, 16);
  }
  // Two at a time: the loop itself is a fifth of the time otherwise.
  const even = a + <usize>((k & ~1) * 16);
  while (a < even) {
    let b0 = v128.load(b);
    let b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = multiplyAdd(x, b0, c00);
    c01 = multiplyAdd(x, b1, c01);
    x = v128.load32_splat(a, 4);
    c10 = multiplyAdd(x, b0, c10);
    c11 = multiplyAdd(x, b1, c11);
    x = v128.load32_splat(a, 8);
    c20 = multiplyAdd(x, b0, c20);
    c21 = multiplyAdd(x, b1, c21);
    x = v128.load32_splat(a, 12);
    c30 = multiplyAdd(x, b0, c30);
    c31 = multiplyAdd(x, b1, c31);
    b0 = v128.load(b, 32);
    b1 = v128.load(b, 48);
    x = v128.load32_splat(a, 16);
    c00 = multiplyAdd(x, b0, c00);
    c01 = multiplyAdd(x, b1, c01);
    x = v128.load32_splat(a, 20);
    c10 = multiplyAdd(x, b0, c10);
    c11 = multiplyAdd(x, b1, c11);
    x = v128.load32_splat(a, 24);
    c20 = multiplyAdd(x, b0, c20);
    c21 = multiplyAdd(x, b1, c21);
    x = v128.load32_splat(a, 28);
    c30 = multiplyAdd(x, b0, c30);
    c31 = multiplyAdd(x, b1, c31);
    a += 32;
    b += 64;
  }
  if (k & 1) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = multiplyAdd(x, b0, c00);
    c01 = multiplyAdd(x, b1, c01);
    x = v128.load32_splat(a, 4);
    c10 = multiplyAdd(x, b0, c10);
    c11 = multiplyAdd(x, b1, c11);
    x = v128.load32_splat(a, 8);
    c20 = multiplyAdd(x, b0, c20);
    c21 = multiplyAdd(x, b1, c21);
    x = v128.load32_splat(a, 12);
    c30 = multiplyAdd(x, b0, c30);
    c31 = multiplyAdd(x, b1, c31);
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  c += cRow;
  v128.store(c, c10);
  v128.store(c, c11, 16);
  c += cRow;
  v128.store(c, c20);
  v128.store(c, c21, 16);
  c += cRow;
  v128.store(c, c30);
  v128.store(c, c31, 16);
}

/** Panels of `tileRows` rows of a: for each p the values of the rows side by side, zeros below the last row. */
function packRows(a: usize, row: i32, column: i32, m: i32, k: i32, to: usize): void {
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
function packColumns(b: usize, row: i32, column: i32, k: i32, n: i32, to: usize): void {
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
