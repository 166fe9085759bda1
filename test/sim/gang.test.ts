import { describe, expect, it } from 'vitest';
import { type Fault, type SimOptions, simulate } from './world.ts';

const base: SimOptions = {
  seed: 1,
  workers: 1,
  servers: 0,
  shards: 8,
  stepsPerEpoch: 7,
  epochs: 4,
  faultEveryMs: 0,
  faults: [],
};
const undisturbed = simulate(base).digest;
const anything: readonly Fault[] = ['kill', 'kill', 'kill-leader', 'pause', 'interrupt', 'kill-all'];
const runs = Number(process.env.SIM_RUNS ?? 300);
const firstSeed = Number(process.env.SIM_SEED ?? 1);

describe('the gang protocol in virtual time', () => {
  for (const workers of [1, 2, 3, 4, 8]) {
    for (const servers of [0, 1, 2]) {
      it(`gives the same bits for ${workers} worker(s) and ${servers} parameter server(s) (P2)`, () => {
        const outcome = simulate({ ...base, seed: workers * 10 + servers, workers, servers });
        expect(outcome.digest).toBe(undisturbed);
        expect([outcome.workers, outcome.servers]).toEqual([workers, servers]);
        expect(outcome.generations).toBe(1);
      });
    }
  }

  it('gives the same trace for the same seed', () => {
    const options = { ...base, seed: 42, workers: 4, servers: 1, faultEveryMs: 60, faults: anything };
    expect(simulate(options).trace).toEqual(simulate(options).trace);
  });

  it(`ends with the same bits whatever happens, ${runs} seeds from ${firstSeed} (R1, R2, R5, R6)`, () => {
    let kills = 0;
    for (let seed = firstSeed; seed < firstSeed + runs; seed += 1) {
      const outcome = simulate({
        ...base,
        seed,
        workers: 1 + (seed % 5),
        workersMin: 1 + (seed % 7 === 0 && seed % 5 > 0 ? 1 : 0),
        servers: seed % 3,
        faultEveryMs: 40 + (seed % 11) * 30,
        faults: anything,
      });
      kills += outcome.kills;
      expect(outcome.digest, `seed ${seed}`).toBe(undisturbed);
    }
    expect(kills).toBeGreaterThan(runs / 2);
  });

  it('loses no step while one worker survives (P3)', () => {
    for (let seed = 1; seed <= 60; seed += 1) {
      const faults: readonly Fault[] = ['kill-leader', 'kill'];
      // Faults far enough apart for a replacement to catch up: somebody with the state is always there.
      const outcome = simulate({ ...base, seed, workers: 4, servers: seed % 2, faultEveryMs: 400, faults });
      expect(outcome.lostSteps, `seed ${seed}`).toBe(0);
    }
  });
});
