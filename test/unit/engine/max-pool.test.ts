/** The largest of windows of two by two, which are done four at a time: value and place, for every width and at its edges. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Bench } from '../../../container/engine/plan/bench.ts';

const value = fc.constantFrom(-1, 0, 0.5, 2, Number.NaN, Number.NEGATIVE_INFINITY);
const images = fc
  .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 2, max: 7 }), fc.integer({ min: 2, max: 27 }))
  .chain((shape) => {
    const length = shape[0] * shape[1] * shape[2];
    return fc.record({ shape: fc.constant(shape), values: fc.array(value, { minLength: length, maxLength: length }) });
  });

test('the first largest value of a window wins, and what is not a number', () => {
  fc.assert(
    fc.property(images, ({ shape: [planes, height, width], values }) => {
      const bench = new Bench('portable');
      const [high, wide] = [Math.floor(height / 2), Math.floor(width / 2)];
      const count = planes * high * wide;
      const [x, y, places] = [bench.fixed(values.length), bench.fixed(count), bench.fixed(count)];
      bench.floats(x.offset, values.length).set(values);
      bench.kernels.maxPool(x.offset, planes, height, width, 2, 2, 2, 2, 0, 0, high, wide, y.offset, places.offset);
      const wanted = Array.from({ length: count }, (_, at) => {
        const plane = Math.floor(at / (high * wide)) * height * width;
        const corner = Math.floor((at % (high * wide)) / wide) * 2 * width + (at % wide) * 2;
        return [corner, corner + 1, corner + width, corner + width + 1]
          .map((place) => ({ place, value: values[plane + place]! }))
          .reduce((best, other) => (other.value > best.value || Number.isNaN(other.value) ? other : best));
      });
      expect([...bench.floats(y.offset, count)]).toEqual(wanted.map(({ value }) => value));
      expect([...bench.ints(places.offset, count)]).toEqual(wanted.map(({ place }) => place));
    }),
  );
});
