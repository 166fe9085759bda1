/** The columns of a convolution, place by place, and that copying whole vectors changes nothing beside them. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Bench, type Block } from '../../../container/engine/plan/bench.ts';
import { keyed } from '../../../core/random.ts';

const upTo = (max: number) => fc.integer({ min: 1, max });
type Case = typeof cases extends fc.Arbitrary<infer Of> ? Of : never;
const cases = fc.record({
  channels: upTo(5),
  padding: fc.tuple(fc.nat(3), fc.nat(3)),
  size: fc.tuple(upTo(5), upTo(5)),
  strides: fc.tuple(upTo(3), upTo(3)),
  output: fc.tuple(upTo(6), upTo(14)),
  from: fc.nat(5),
});

/** An image of whole numbers, whose sums do not depend on their order, and what the windows over it meet. */
function world({ channels, size, strides, padding, output, from }: Case) {
  const bench = new Bench('portable');
  const extent = (axis: 0 | 1) => (output[axis] - 1) * strides[axis] + size[axis] + 2 * padding[axis];
  const [high, wide] = [extent(0), extent(1)];
  const first = Math.min(from, output[0] - 1);
  const rows = output[0] - first;
  const image = bench.fixed(channels * high * wide);
  const columns = bench.fixed(channels * size[0] * size[1] * rows * output[1]);
  const window = [channels, high, wide, ...size, ...strides, output[1], first, output[0]] as const;
  const random = keyed(7, channels);
  /** Answers a copy. */
  const fill = ({ offset, length }: Block): Float32Array => {
    const values = Float32Array.from({ length }, () => Math.floor(random.next() * 99));
    bench.floats(offset, length).set(values);
    return values;
  };
  /** For each value of the columns the value of the image. */
  const meets: number[] = [];
  for (let r = 0; r < size[0]; r += 1) {
    for (let q = 0; q < size[1]; q += 1) {
      for (let c = 0; c < channels; c += 1) {
        for (let i = first; i < output[0]; i += 1) {
          for (let j = 0; j < output[1]; j += 1) {
            meets.push((c * high + i * strides[0] + r) * wide + j * strides[1] + q);
          }
        }
      }
    }
  }
  return { bench, image, columns, window, meets, fill };
}

test('columns hold what the weights meet, in their order', () => {
  fc.assert(
    fc.property(cases, (of) => {
      const { bench, image, columns, window, meets, fill } = world(of);
      const values = fill(image);
      bench.kernels.imageToColumns(image.offset, ...window, columns.offset);
      expect(bench.floats(columns.offset, columns.length)).toEqual(Float32Array.from(meets, (at) => values[at]!));
    }),
  );
});

test('columns are added back to where they came from, and nothing is added beside', () => {
  fc.assert(
    fc.property(cases, (of) => {
      const { bench, image, columns, window, meets, fill } = world(of);
      const wanted = fill(image);
      for (const [i, value] of fill(columns).entries()) wanted[meets[i]!]! += value;
      // Nobody's: it may hold anything.
      bench.floats(columns.offset + columns.length * 4, 4).fill(Number.NaN);
      bench.kernels.columnsToImage(columns.offset, ...window, image.offset);
      expect(bench.floats(image.offset, image.length)).toEqual(wanted);
    }),
  );
});

test('planes come out of the middle of larger ones as they went in, with zeros around', () => {
  fc.assert(
    fc.property(fc.tuple(upTo(4), upTo(9), upTo(9)), fc.tuple(fc.nat(3), fc.nat(3)), (shape, [top, left]) => {
      const [planes, height, width] = shape;
      const bench = new Bench('portable');
      const [high, wide] = [height + 2 * top, width + left + 1];
      const [x, padded] = [bench.fixed(planes * height * width), bench.fixed(planes * high * wide)];
      const middle = [...shape, top, left, high, wide, padded.offset] as const;
      const values = Float32Array.from({ length: x.length }, (_, i) => i + 1);
      bench.floats(x.offset, x.length).set(values);
      bench.floats(padded.offset, padded.length).fill(Number.NaN);
      bench.kernels.padPlanes(x.offset, ...middle);
      expect(bench.floats(padded.offset, padded.length).filter((value) => value !== 0)).toEqual(values);
      bench.floats(x.offset, x.length).fill(0);
      bench.kernels.cropPlanes(x.offset, ...middle);
      expect(bench.floats(x.offset, x.length)).toEqual(values);
    }),
  );
});
