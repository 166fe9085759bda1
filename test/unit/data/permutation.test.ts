import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { permute } from '../../../core/data/permutation.ts';
import { splitSamples, validationCount } from '../../../core/data/split.ts';

const order = (seed: number, epoch: number, n: number): number[] =>
  Array.from({ length: n }, (_, i) => permute(seed, epoch, n)(i));
const identity = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const sorted = (values: Iterable<number>): number[] => [...values].sort((a, b) => a - b);

describe('permute()', () => {
  it('is a bijection for every n up to 300', () => {
    for (let n = 1; n <= 300; n += 1) {
      const at = permute(11, n % 5, n);
      const seen = new Set(identity(n).map(at));
      expect(seen.size, `n = ${n}`).toBe(n);
      expect(Math.max(...seen)).toBe(n - 1);
    }
  });

  it('is a bijection for any seed, epoch and size', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat({ max: 1000 }), fc.integer({ min: 1, max: 5000 }), (seed, epoch, n) => {
        const at = permute(seed, epoch, n);
        const seen = new Uint8Array(n);
        for (let i = 0; i < n; i += 1) seen[at(i)] = 1;
        return seen.every((value) => value === 1);
      }),
      { numRuns: 60 },
    );
  });

  it('gives another order in another epoch and for another seed', () => {
    expect(order(1, 0, 64)).toEqual(order(1, 0, 64));
    expect(order(1, 1, 64)).not.toEqual(order(1, 0, 64));
    expect(order(2, 0, 64)).not.toEqual(order(1, 0, 64));
  });

  it('spreads: every sample comes to every tenth of the epoch about equally often', () => {
    const n = 1000;
    const tenths = new Float64Array(100);
    for (let epoch = 0; epoch < 200; epoch += 1) {
      const at = permute(5, epoch, n);
      for (let i = 0; i < n; i += 1) {
        const cell = Math.floor(i / 100) * 10 + Math.floor(at(i) / 100);
        tenths[cell] = (tenths[cell] as number) + 1;
      }
    }
    // 2000 expected in each cell; 5 standard deviations are about 212.
    for (const count of tenths) expect(Math.abs(count - 2000)).toBeLessThan(212);
  });

  it('refuses a size it cannot permute', () => {
    expect(() => permute(1, 0, 0)).toThrow('cannot permute 0 positions');
  });
});

describe('splitSamples()', () => {
  it('cuts the file into two sets that cover it once', () => {
    const { train, validation } = splitSamples(3, 1000, 150);
    expect([train.length, validation.length]).toEqual([850, 150]);
    expect(sorted([...train, ...validation])).toEqual(identity(1000));
    expect(splitSamples(3, 1000, 150).validation).toEqual(validation);
    expect(splitSamples(4, 1000, 150).validation).not.toEqual(validation);
  });

  it('keeps the file as it is when nothing is held out', () => {
    expect([...splitSamples(3, 5, 0).train]).toEqual([0, 1, 2, 3, 4]);
  });

  it('holds out at least one sample and leaves at least one', () => {
    expect(validationCount(10, 0.01)).toBe(1);
    expect(validationCount(2, 0.9)).toBe(1);
    expect(validationCount(1000, 0.1)).toBe(100);
    expect(validationCount(1000, 0)).toBe(0);
  });
});
