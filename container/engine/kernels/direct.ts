/**
 * Convolutions of stride 1 without columns: in a padded image the values that one weight meets lie as the output does, a
 * fixed distance away. `offsets` are these distances in bytes, one for each weight of the window in the order of the
 * kernel tensor (row, column, channel).
 *
 * Rows of the output are at least four places long; they are done four places at a time, and the last four overlap those
 * before where the length is no multiple of four.
 *
 * Invariants
 *  D1  An output is summed weight by weight in the order of the offsets, the same bits as by columns and a product.
 *  D2  Rows of the window that lie in the zeros around the image are left out: adding nothing changes no bit, because a
 *      sum that begins with zero is never -0.
 */
import { packRows } from './pack.ts';
import { tile, tileRows } from './tile.ts';

@inline
function bytes(values: i32): usize {
  return <usize>values << 2;
}

/** Values that `packFilters` writes. */
export function packedFilters(depth: i32, filters: i32): i32 {
  return depth * (((filters + tileRows - 1) / tileRows) * tileRows);
}

/** The kernel tensor, [depth][filters], in panels of as many filters as a tile has rows. */
export function packFilters(kernel: usize, depth: i32, filters: i32, to: usize): void {
  packRows(kernel, 1, filters, filters, depth, to);
}

/** Bytes of room that `convolve` needs: the values that all weights meet at eight places, and a tile. */
export function convolveScratch(depth: i32): i32 {
  return 256 + depth * 32;
}

/**
 * z[filter][place] of all samples; images and outputs of the samples are xStep and zStep bytes apart. Of the rows of the
 * padded image, `inside` from `top` on are not zeros.
 */
export function convolve(
  x: usize,
  xStep: usize,
  samples: i32,
  offsets: usize,
  depth: i32,
  windowRows: i32,
  packed: usize,
  filters: i32,
  top: i32,
  inside: i32,
  height: i32,
  width: i32,
  xWidth: i32,
  z: usize,
  zStep: usize,
  scratch: usize,
): void {
  const plane = bytes(height * width);
  const row = depth / windowRows;
  const last = bytes(width - 4);
  for (let s = 0; s < samples; s++, x += xStep, z += zStep) {
    // Two groups of four places make a panel, wherever they are: the first waits for its partner.
    let waiting = false;
    let x0: usize = 0;
    let z0: usize = 0;
    let from0 = 0;
    let to0 = 0;
    for (let i = 0; i < height; i++) {
      const xRow = x + bytes(i * xWidth);
      const zRow = z + bytes(i * width);
      const from = max(0, top - i) * row;
      const to = min(windowRows, top + inside - i) * row;
      for (let o: usize = 0; ; o += 16) {
        const place = o < last ? o : last;
        if (waiting) {
          const begin = min(from0, from);
          const end = max(to0, to);
          places8(offsets, depth, begin, end, packed, filters, x0, xRow + place, z0, zRow + place, plane, scratch);
        } else {
          x0 = xRow + place;
          z0 = zRow + place;
          from0 = from;
          to0 = to;
        }
        waiting = !waiting;
        if (o >= last) break;
      }
    }
    if (waiting) places8(offsets, depth, from0, to0, packed, filters, x0, x0, z0, z0, plane, scratch);
  }
}

/** All filters at two groups of four places, by the weights [from, to) of the window. */
function places8(
  offsets: usize,
  depth: i32,
  from: i32,
  to: i32,
  packed: usize,
  filters: i32,
  x0: usize,
  x1: usize,
  z0: usize,
  z1: usize,
  plane: usize,
  scratch: usize,
): void {
  const panel = scratch + 256;
  const count = to - from;
  meet(offsets + bytes(from), count, x0, x1, panel);
  packed += bytes(from * tileRows);
  const together = z1 == z0 + 16;
  for (let f = 0; f < filters; f += tileRows) {
    const rows = min(tileRows, filters - f);
    if (together && rows == tileRows) tile(count, packed, panel, z0, plane, 0);
    else {
      tile(count, packed, panel, scratch, 32, 0);
      for (let r = 0; r < rows; r++) {
        const source = scratch + <usize>(r * 32);
        const target = <usize>r * plane;
        v128.store(z0 + target, v128.load(source));
        v128.store(z1 + target, v128.load(source, 16));
      }
    }
    packed += bytes(depth * tileRows);
    z0 += plane * <usize>tileRows;
    z1 += plane * <usize>tileRows;
  }
}

function meet(offsets: usize, depth: i32, x0: usize, x1: usize, to: usize): void {
  const end = offsets + bytes(depth);
  for (; offsets < end; offsets += 4, to += 32) {
    const o = <usize>load<u32>(offsets);
    v128.store(to, v128.load(x0 + o));
    v128.store(to, v128.load(x1 + o), 16);
  }
}

/**
 * The kernel of the way back, from the gradient of the output to that of the image: turned by half a circle, channels and
 * filters exchanged. out[row][column][filter][channel]
 */
export function turnKernel(kernel: usize, height: i32, width: i32, channels: i32, filters: i32, out: usize): void {
  for (let place = height * width - 1; place >= 0; place--) {
    for (let f = 0; f < filters; f++) {
      for (let c = 0; c < channels; c++, out += 4) {
        store<f32>(out, load<f32>(kernel + bytes((place * channels + c) * filters + f)));
      }
    }
  }
}
