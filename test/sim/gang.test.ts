/**
 * The gang in virtual time: the real protocol and the real code that carries it out. A failing seed is replayed with
 * `npm run sim -- --seed N`; SIM_SEED and SIM_RUNS choose others. The rules it is held to are in rules.ts.
 */
import { describe, expect, it } from 'vitest';
import { replayCommand, runSeeds } from './cli.ts';
import { drawDials, quiet } from './dials.ts';
import { simulate } from './world.ts';

const firstSeed = Number(process.env.SIM_SEED ?? 1);
const runs = Number(process.env.SIM_RUNS ?? 1_500);
/** A slow machine does fewer seeds, never fewer than this. */
const least = 150;
const budgetMs = 45_000;

describe('the gang in virtual time', () => {
  for (const workers of [1, 2, 3, 4, 5]) {
    for (const servers of [0, 1, 2]) {
      it(`keeps every rule undisturbed with ${workers} worker(s) and ${servers} parameter server(s) (P2)`, async () => {
        const outcome = await simulate({ seed: workers * 10 + servers, dials: { ...quiet, workers, servers } });
        expect(outcome.violation).toBeUndefined();
        expect(outcome.lostSteps).toBe(0);
        expect(outcome.lastGang.length).toBe(workers + servers);
      });
    }
  }

  it('gives the same trace for the same seed', async () => {
    const [first, second] = [await simulate({ seed: 42, trace: true }), await simulate({ seed: 42, trace: true })];
    expect(first.trace.length).toBeGreaterThan(10);
    expect(second.trace).toEqual(first.trace);
  });

  it('keeps every rule whatever happens (R1-R7)', { timeout: 600_000 }, async () => {
    const sure = await runSeeds(firstSeed, Math.min(least, runs), 3);
    const more = await runSeeds(firstSeed + sure.seeds, Math.max(0, runs - sure.seeds), 3, budgetMs);
    const failed = [...sure.failed, ...more.failed].map(
      ({ seed, violation }) => `${replayCommand(seed)}: ${violation}`,
    );
    expect(failed).toEqual([]);
    // It would prove nothing if nothing had happened.
    expect(sure.counts['member.lost'] ?? 0).toBeGreaterThan(0);
    expect(sure.counts['training.restored'] ?? 0).toBeGreaterThan(0);
  });

  it('keeps every rule when a task dies before any single effect', { timeout: 600_000 }, async () => {
    const dials = { ...quiet, stepsPerEpoch: 3, epochs: 2 };
    const whole = await simulate({ seed: 7, dials });
    const failed: string[] = [];
    // Every seventh effect here; `npm run sim` draws the others at random.
    for (let crashAt = 1; crashAt <= whole.effects; crashAt += 7) {
      const { violation } = await simulate({ seed: 7, dials, crashAt });
      if (violation !== undefined) failed.push(`crash before effect ${crashAt}: ${violation}`);
    }
    expect(whole.effects).toBeGreaterThan(50);
    expect(failed).toEqual([]);
  });

  it('draws another mixture for every seed', () => {
    expect(new Set([1, 2, 3, 4, 5].map((seed) => JSON.stringify(drawDials(seed)))).size).toBe(5);
  });
});
