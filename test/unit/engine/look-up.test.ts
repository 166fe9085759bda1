/** Bytes to numbers by a table, whatever their number. */
import { expect, test } from 'vitest';
import { lookUp } from '../../../container/engine/look-up.ts';

const table = Float32Array.from({ length: 256 }, (_, i) => Math.fround(i / 255 - 0.3));

test('gives each byte its number, and touches nothing beyond those asked for', () => {
  for (let length = 0; length <= 41; length += 1) {
    for (const count of new Set([0, 1, length >> 1, length - 1, length].filter((n) => n >= 0 && n <= length))) {
      const { bytes, values, run } = lookUp(table, length);
      bytes.set(Array.from({ length }, (_, i) => (i * 77 + length) & 0xff));
      values.fill(-1);
      run(count);
      expect([...values]).toEqual([...bytes].map((byte, i) => (i < count ? table[byte] : -1)));
    }
  }
  const all = lookUp(table, 256);
  all.bytes.set(Array.from({ length: 256 }, (_, i) => i));
  all.run(256);
  expect(all.values).toEqual(table);
});

test('refuses more bytes than it has room for', () => {
  expect(() => lookUp(table, 8).run(9)).toThrow('9 of 8 bytes');
});
