import { describe, expect, it } from 'vitest';
import { type AsyncSimOptions, type Fault, simulateAsync } from './async-world.ts';

const base: AsyncSimOptions = {
  seed: 1,
  workers: 2,
  servers: 1,
  maxStaleness: 4,
  stepsPerEpoch: 9,
  epochs: 4,
  faultEveryMs: 0,
  faults: [],
};
const anything: readonly Fault[] = ['kill', 'kill-server', 'kill-leader', 'pause', 'interrupt', 'kill-all'];
const runs = Number(process.env.SIM_RUNS ?? 120);
/** A seed takes a few milliseconds; a machine that is busy takes many times that. */
const timeoutMs = 30_000 + 300 * runs;
const firstSeed = Number(process.env.SIM_SEED ?? 1);

describe('asynchronous training in virtual time', () => {
  for (const workers of [1, 2, 3, 5, 8]) {
    for (const servers of [1, 2, 3]) {
      it(`applies each item once with ${workers} worker(s) and ${servers} parameter server(s)`, () => {
        const outcome = simulateAsync({ ...base, seed: workers * 10 + servers, workers, servers });
        expect(outcome.generations).toBe(1);
        expect(outcome.restored).toBe(0);
        expect(outcome.greatestStaleness).toBeLessThanOrEqual(4);
        if (workers > 2) expect(outcome.greatestStaleness).toBeGreaterThan(0);
      });
    }
  }

  it('is sequential with maxStaleness 0', () => {
    const outcome = simulateAsync({ ...base, workers: 4, servers: 2, maxStaleness: 0 });
    expect(outcome.greatestStaleness).toBe(0);
    const computed = Object.values(outcome.computed).reduce((sum, n) => sum + n, 0);
    // Nobody computes what would be refused: there is one attempt at a time.
    expect(computed).toBe(36);
  });

  it('does not wait for a slow worker: the others do what it is late with', () => {
    const options = { ...base, workers: 3, servers: 2, epochs: 20 };
    const even = simulateAsync(options);
    const uneven = simulateAsync({ ...options, slow: { worker: 2, factor: 40 } });
    // Two of three are left at full speed.
    expect(uneven.virtualMs).toBeLessThan(even.virtualMs * 1.8);
    const computed = Object.values(uneven.computed).reduce((sum, n) => sum + n, 0);
    expect(computed).toBeGreaterThan(180);
    expect(computed).toBeLessThan(200);
  });

  it('gives the same trace for the same seed', () => {
    const options = { ...base, seed: 42, workers: 4, servers: 2, faultEveryMs: 60, faults: anything };
    expect(simulateAsync(options).trace).toEqual(simulateAsync(options).trace);
  });

  it(`loses no acknowledged update while one of two holders survives, ${runs} seeds from ${firstSeed}`, {
    timeout: timeoutMs,
  }, () => {
    let [kills, generations, fenced] = [0, 0, 0];
    for (let seed = firstSeed; seed < firstSeed + runs; seed += 1) {
      const outcome = simulateAsync({
        ...base,
        seed,
        workers: 1 + (seed % 5),
        servers: 1 + (seed % 3),
        maxStaleness: seed % 6,
        slow: { worker: 0, factor: 1 + (seed % 4) },
        faultEveryMs: 20 + (seed % 7) * 20,
        faults: ['kill', 'kill-server', 'kill-server', 'kill-leader', 'interrupt'],
        gentle: true,
      });
      kills += outcome.kills;
      generations += outcome.generations;
      // Who is told to go takes its copies along: that is one more loss.
      fenced += outcome.fenced;
      if (outcome.fenced === 0) expect(outcome.restored, `seed ${seed}`).toBe(0);
    }
    expect(kills).toBeGreaterThan(runs / 2);
    expect(generations).toBeGreaterThan(runs * 2);
    expect(fenced).toBeLessThan(runs / 10);
  });

  it(`ends with each item applied once whatever happens, ${runs} seeds from ${firstSeed}`, {
    timeout: timeoutMs,
  }, () => {
    let [kills, restored] = [0, 0];
    for (let seed = firstSeed; seed < firstSeed + runs; seed += 1) {
      const outcome = simulateAsync({
        ...base,
        seed,
        workers: 1 + (seed % 5),
        servers: 1 + (seed % 3),
        maxStaleness: seed % 6,
        slow: { worker: 0, factor: 1 + (seed % 4) },
        faultEveryMs: 40 + (seed % 11) * 30,
        faults: anything,
      });
      kills += outcome.kills;
      restored += outcome.restored;
    }
    expect(kills).toBeGreaterThan(runs / 2);
    expect(restored).toBeGreaterThan(0);
  });
});
