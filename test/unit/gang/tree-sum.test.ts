import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TreeSum } from '../../../core/gang/tree-sum.ts';
import { uniform } from '../../../core/random.ts';
import { cover, ownership, shardRange } from '../../../core/shards.ts';

const leaf = (k: number): Float32Array => Float32Array.from({ length: 16 }, (_, i) => uniform(9, k, i) - 0.5);

/** S3 written down directly: the meaning that every way of adding up must have. */
function sumOf(level: number, index: number): Float32Array {
  if (level === 0) return leaf(index);
  const left = sumOf(level - 1, 2 * index);
  const right = sumOf(level - 1, 2 * index + 1);
  return left.map((value, i) => value + (right[i] as number));
}

describe('shards', () => {
  it('cover a batch of any size once, in order (S1)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 6 }), (size, power) => {
        const shards = 2 ** power;
        let at = 0;
        for (let k = 0; k < shards; k += 1) {
          const range = shardRange(size, shards, k);
          expect(range.from).toBe(at);
          at = range.to;
        }
        expect(at).toBe(size);
      }),
    );
  });

  it('are divided evenly, and the cover of a run is exactly that run (S2)', () => {
    for (const shards of [1, 2, 4, 8, 16, 32]) {
      for (let world = 1; world <= shards; world += 1) {
        const sizes = Array.from({ length: world }, (_, rank) => {
          const run = ownership(shards, world, rank);
          const leaves = cover(run).flatMap(({ level, index }) =>
            Array.from({ length: 2 ** level }, (_, i) => index * 2 ** level + i),
          );
          expect(leaves).toEqual(Array.from({ length: run.to - run.from }, (_, i) => run.from + i));
          return leaves.length;
        });
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        expect(sizes.reduce((a, b) => a + b)).toBe(shards);
      }
    }
  });
});

describe('TreeSum', () => {
  it('gives the bits of the fixed tree for every world size and every order of arrival (S3)', () => {
    const shards = 16;
    const expected = sumOf(4, 0);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: shards }), fc.infiniteStream(fc.nat()), (world, stream) => {
        const parts = Array.from({ length: world }, (_, rank) => {
          const run = ownership(shards, world, rank);
          const local = new TreeSum(shards);
          let whole: Float32Array | undefined;
          for (let k = run.from; k < run.to; k += 1) whole = local.add({ level: 0, index: k }, leaf(k));
          if (whole !== undefined) return [{ node: { level: 4, index: 0 }, vector: whole }];
          expect(local.rest().map(({ node }) => node)).toEqual(cover(run));
          return local.rest();
        }).flat();
        const root = new TreeSum(shards);
        let total: Float32Array | undefined;
        while (parts.length > 0) {
          const [part] = parts.splice((stream.next().value ?? 0) % parts.length, 1);
          if (part !== undefined) total = root.add(part.node, part.vector.slice());
        }
        expect(total).toEqual(expected);
      }),
    );
  });

  it('is not a plain sum: the order of addition shows in the bits', () => {
    const plain = Array.from({ length: 16 }, (_, k) => leaf(k)).reduce((sum, vector) =>
      sum.map((v, i) => v + (vector[i] as number)),
    );
    expect(plain).not.toEqual(sumOf(4, 0));
  });
});
