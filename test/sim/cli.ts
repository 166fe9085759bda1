/** `npm run sim -- --seed N --runs M`: see tools/sim.mjs. */
import { parseArgs } from 'node:util';
import { type Dials, drawDials } from './dials.ts';
import { type SimOutcome, simulate } from './world.ts';

export { simulate };

export interface Batch {
  readonly seeds: number;
  readonly failed: readonly { readonly seed: number; readonly violation: string }[];
  readonly counts: Record<string, number>;
  readonly durationMs: number;
}

export interface Sweep {
  readonly from: number;
  readonly runs: number;
  /** Ends early after so many failures, or when so much time is gone. */
  readonly most?: number;
  readonly untilMs?: number;
  /** Instead of what the seed draws. */
  readonly dials?: Partial<Dials>;
}

/** Runs the seeds one after the other. */
export async function runSeeds({ from, runs, most = 10, untilMs = Infinity, dials = {} }: Sweep): Promise<Batch> {
  const started = performance.now();
  const failed: { seed: number; violation: string }[] = [];
  const counts: Record<string, number> = {};
  let seeds = 0;
  for (let seed = from; seed < from + runs && performance.now() - started < untilMs; seed += 1) {
    const outcome = await simulate({ seed, dials: { ...drawDials(seed), ...dials } });
    seeds += 1;
    for (const [what, times] of outcome.counts) counts[what] = (counts[what] ?? 0) + times;
    if (outcome.violation === undefined) continue;
    failed.push({ seed, violation: outcome.violation });
    if (failed.length >= most) break;
  }
  return { seeds, failed, counts, durationMs: performance.now() - started };
}

export function replayCommand(seed: number): string {
  return `npm run sim -- --seed ${seed}`;
}

/** The exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { seed: { type: 'string' }, runs: { type: 'string' }, trace: { type: 'boolean' } },
  });
  const seed = Number(values.seed ?? 1);
  const runs = Number(values.runs ?? (values.seed === undefined ? 1_000 : 1));
  if (!Number.isInteger(seed) || !Number.isInteger(runs) || runs < 1) {
    console.error('usage: npm run sim -- [--seed N] [--runs M] [--trace]');
    return 2;
  }
  return runs === 1 ? replay(seed, values.trace === true) : sweep(seed, runs);
}

async function replay(seed: number, wholeTrace: boolean): Promise<number> {
  console.log(`seed ${seed}, dials ${JSON.stringify(drawDials(seed))}`);
  const outcome = await simulate({ seed, trace: true });
  const failed = outcome.violation !== undefined;
  const lines = wholeTrace ? outcome.trace : failed ? outcome.trace.slice(-60) : [];
  for (const line of lines) console.log(line.slice(0, 400));
  console.log(failed ? `BROKEN: ${outcome.violation}` : `kept every rule; ${summary(outcome)}`);
  return failed ? 1 : 0;
}

async function sweep(seed: number, runs: number): Promise<number> {
  console.log(`seeds ${seed} to ${seed + runs - 1}`);
  const { seeds, failed, counts, durationMs } = await runSeeds({ from: seed, runs });
  for (const what of Object.keys(counts).sort()) console.log(`  ${String(counts[what]).padStart(8)}  ${what}`);
  for (const { seed: bad, violation } of failed)
    console.log(`seed ${bad}: ${violation}\n  replay: ${replayCommand(bad)}`);
  const perSeed = (durationMs / seeds).toFixed(2);
  console.log(`${seeds} seeds, ${failed.length} broken, ${(durationMs / 1000).toFixed(1)} s, ${perSeed} ms a seed`);
  return failed.length === 0 ? 0 : 1;
}

function summary({ virtualMs, events, generations, restores, counts }: SimOutcome): string {
  const faults = [...counts].filter(([what]) => what.startsWith('fault ')).reduce((sum, [, times]) => sum + times, 0);
  return `${faults} faults, ${generations} generations, ${restores} restores, ${events} events, ${Math.round(virtualMs)} virtual ms`;
}
