/**
 * The gang in virtual time: the real protocol and the real code that carries it out. A failing seed is replayed with
 * `npm run sim -- --seed N`; SIM_SEED and SIM_RUNS choose others. The rules it is held to are in rules.ts.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { loadSimulation } from './bundle.ts';
import { type Batch, replayCommand } from './cli.ts';
import { drawDials, faultKinds, mishaps, quiet } from './dials.ts';
import { simulate } from './world.ts';

const firstSeed = Number(process.env.SIM_SEED ?? 1);
const runs = Number(process.env.SIM_RUNS ?? 10_000);
/** A slow machine does fewer seeds, never fewer than this. */
const least = 500;
const budgetMs = 90_000;
/** They broke a rule once: a source of updates lost by who is not counted in yet; a leader whose slot was given away. */
const remembered = [208_809, 207_957, 204_559, 221_200, 211_135];

describe('the gang in virtual time', () => {
  /** Compiled, a seed takes half the time. */
  let runSeeds: Awaited<ReturnType<typeof loadSimulation>>['runSeeds'];
  beforeAll(async () => {
    ({ runSeeds } = await loadSimulation());
  });

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

  it(`keeps every rule whatever happens, over ${runs} seeds (R1-R7)`, { timeout: 900_000 }, async () => {
    const sure = await runSeeds({ from: firstSeed, runs: Math.min(least, runs), most: 3 });
    const untilMs = budgetMs - sure.durationMs;
    const rest = { from: firstSeed + sure.seeds, runs: Math.max(0, runs - sure.seeds), most: 3, untilMs };
    const more = await runSeeds(rest);
    expect([...complaints(sure), ...complaints(more)]).toEqual([]);
    // It would prove nothing if nothing had happened.
    const happened = [...faultKinds.map((kind) => `fault ${kind}`), ...mishaps, 'member.lost', 'training.restored'];
    if (runs >= least) expect(happened.filter((what) => (sure.counts[what] ?? 0) === 0)).toEqual([]);
    const seconds = Math.round((sure.durationMs + more.durationMs) / 1000);
    console.log(`${sure.seeds + more.seeds} seeds of the gang kept every rule, in ${seconds} s`);
  });

  it.each(remembered)('keeps every rule on seed %i, which broke one once', async (seed) => {
    expect((await simulate({ seed })).violation).toBeUndefined();
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

function complaints({ failed }: Batch): string[] {
  return failed.map(({ seed, violation }) => `${replayCommand(seed)}: ${violation}`);
}
