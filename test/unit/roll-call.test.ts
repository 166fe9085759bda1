/** R4: what the samples of an epoch come to, and that every way of using them wrongly shows. */
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadDataset } from '../../container/data/load.ts';
import type { Dataset } from '../../container/data/port.ts';
import { createEngine } from '../../container/engine/create.ts';
import { Meter } from '../../container/meter.ts';
import { Replica } from '../../container/replica.ts';
import { callRoll, fullRoll, rollColumns, sameRoll } from '../../core/data/roll-call.ts';
import { TreeSum } from '../../core/gang/tree-sum.ts';
import { ownership } from '../../core/shards.ts';
import { testPlan } from '../support/plans.ts';

const rollOf = (seed: number, indices: readonly number[]): number[] => {
  const sums = new Float64Array(rollColumns);
  callRoll(seed, Int32Array.from(indices), sums, 0);
  return [...sums];
};

describe('the roll call', () => {
  test('is that of all samples, in any order and in any pieces', () => {
    const n = 300;
    const all = Array.from({ length: n }, (_, i) => i);
    fc.assert(
      fc.property(
        fc.shuffledSubarray(all, { minLength: n, maxLength: n }),
        fc.integer({ min: 0, max: n }),
        (order, cut) => {
          const pieces = [order.slice(0, cut), order.slice(cut)].map((piece) => rollOf(7, piece));
          const sums = pieces[0]!.map((sum, i) => sum + pieces[1]![i]!);
          expect(sameRoll(sums, fullRoll(7, n))).toBe(true);
        },
      ),
    );
  });

  test('shows a sample that is missing, doubled, or taken for another', () => {
    const n = 200;
    const all = Array.from({ length: n }, (_, i) => i);
    const expected = fullRoll(1, n);
    fc.assert(
      fc.property(fc.nat(n - 1), fc.nat(n - 1), (a, b) => {
        expect(
          sameRoll(
            rollOf(
              1,
              all.filter((i) => i !== a),
            ),
            expected,
          ),
        ).toBe(false);
        expect(sameRoll(rollOf(1, [...all, a]), expected)).toBe(false);
        const swapped = all.map((i) => (i === a ? b : i));
        expect(sameRoll(rollOf(1, swapped), expected)).toBe(a === b);
      }),
    );
  });

  test('shows several samples taken for as many others', () => {
    const index = fc.nat(999);
    fc.assert(
      fc.property(
        fc.uniqueArray(index, { minLength: 1, maxLength: 50 }),
        fc.array(index, { maxLength: 50 }),
        (gone, instead) => {
          const used = [...Array.from({ length: 1000 }, (_, i) => i).filter((i) => !gone.includes(i)), ...instead];
          const right = [...used].sort((a, b) => a - b).join() === Array.from({ length: 1000 }, (_, i) => i).join();
          expect(sameRoll(rollOf(3, used), fullRoll(3, 1000))).toBe(right);
        },
      ),
    );
  });

  test('is exact in float32 for the largest batch there can be (RC1)', () => {
    const batch = Int32Array.from({ length: 65_536 }, (_, i) => i * 31);
    const single = new Float32Array(rollColumns);
    const double = new Float64Array(rollColumns);
    callRoll(5, batch, double, 0);
    // Shard by shard, each rounded to float32, as they travel.
    for (let shard = 0; shard < 1024; shard += 1) callRoll(5, batch.subarray(shard * 64, (shard + 1) * 64), single, 0);
    expect([...single]).toEqual([...double]);
    expect(Math.max(...double)).toBeLessThan(2 ** 24);
  });
});

describe('a replica', () => {
  const plan = testPlan();
  const { stepsPerEpoch, shards } = plan.training;
  const calm = () => false;
  const meter = new Meter({ monotonic: () => 0 }, () => 0);
  let data: Dataset;
  beforeAll(async () => {
    data = await loadDataset(plan, { read: async () => undefined, list: async () => undefined });
  });

  /** Steps as a gang of `workers` computes them; `spoil` may change what is summed. */
  async function epoch(
    workers: (step: number) => number,
    spoil: (step: number, shard: number) => readonly number[] = (_, shard) => [shard],
    repeat: readonly number[] = [],
  ): Promise<Replica> {
    const replica = new Replica(plan, await createEngine(plan, { warn: () => undefined }), data);
    for (let step = 0; step < stepsPerEpoch; step += 1) {
      for (let again = repeat.includes(step) ? 2 : 1; again > 0; again -= 1) {
        const tree = new TreeSum(shards);
        let total: Float32Array | undefined;
        for (let rank = 0; rank < workers(step); rank += 1) {
          const { from, to } = ownership(shards, workers(step), rank);
          for (let shard = from; shard < to; shard += 1) {
            const vector = new Float32Array(replica.engine.layout.contributionLength + rollColumns);
            for (const taken of spoil(step, shard)) {
              const parts = await replica.contribution(step, { from: taken, to: taken + 1 }, calm, meter);
              for (const part of parts ?? [])
                part.vector.forEach((value, i) => {
                  vector[i]! += value;
                });
            }
            total = tree.add({ level: 0, index: shard }, vector);
          }
        }
        replica.apply(again > 1 ? Math.max(0, step - 1) : step, total as Float32Array);
      }
    }
    return replica;
  }

  test('finds everyone once, whoever computed what', async () => {
    expect((await epoch(() => 1)).isEveryoneOnce()).toBe(true);
    expect((await epoch((step) => 1 + (step % 4))).isEveryoneOnce()).toBe(true);
  });

  test.each([
    ['a shard that was left out', (step: number, shard: number) => (step === 3 && shard === 2 ? [] : [shard])],
    ['a shard that was added twice', (step: number, shard: number) => (step === 3 && shard === 2 ? [2, 2] : [shard])],
    ['a shard that stood for another', (step: number, shard: number) => (step === 3 && shard === 2 ? [1] : [shard])],
  ])('finds %s', async (_what, spoil) => {
    expect((await epoch(() => 2, spoil)).isEveryoneOnce()).toBe(false);
  });

  test('finds a step that was applied twice', async () => {
    expect((await epoch(() => 1, undefined, [4])).isEveryoneOnce()).toBe(false);
  });

  test('counts on in the copy of another, and after a restore', async () => {
    const first = new Replica(plan, await createEngine(plan, { warn: () => undefined }), data);
    const second = new Replica(plan, await createEngine(plan, { warn: () => undefined }), data);
    const step = async (replica: Replica, at: number) => {
      const [part] = (await replica.contribution(at, { from: 0, to: shards }, calm, meter)) ?? [];
      replica.apply(at, part!.vector);
    };
    const middle = Math.floor(stepsPerEpoch / 2);
    for (let at = 0; at < middle; at += 1) await step(first, at);
    second.load(first.snapshot(), first.engine.parameters.length, first.sums, first.lastSums);
    for (let at = middle; at < stepsPerEpoch; at += 1) await step(second, at);
    expect(second.isEveryoneOnce()).toBe(true);
  });
});
