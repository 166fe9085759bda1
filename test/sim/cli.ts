/** `npm run sim -- --seed N --runs M`: see tools/sim.mjs. Many seeds are spread over all cores, a part at a time. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { type Dials, drawDials } from './dials.ts';
import { type SimOutcome, simulate } from './world.ts';

export { simulate };

const sweeper = 'sweeps seeds of the gang';
const partRuns = 500;
/** After so many broken seeds there is enough to look at. */
const most = 10;

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
export async function runSeeds({
  from,
  runs,
  most: few = most,
  untilMs = Infinity,
  dials = {},
}: Sweep): Promise<Batch> {
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
    if (failed.length >= few) break;
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
  const workers = Math.min(availableParallelism(), Math.ceil(runs / partRuns));
  console.log(`seeds ${seed} to ${seed + runs - 1} on ${workers} core(s)`);
  const { seeds, failed, counts, durationMs } = await spread(seed, runs, workers);
  for (const what of Object.keys(counts).sort()) console.log(`  ${String(counts[what]).padStart(8)}  ${what}`);
  for (const { seed: bad, violation } of failed)
    console.log(`seed ${bad}: ${violation}\n  replay: ${replayCommand(bad)}`);
  const perSeed = (durationMs / seeds).toFixed(2);
  console.log(`${seeds} seeds, ${failed.length} broken, ${(durationMs / 1000).toFixed(1)} s, ${perSeed} ms a seed`);
  return failed.length === 0 ? 0 : 1;
}

/** Every worker is given the next part when it is done with one. */
async function spread(seed: number, runs: number, workers: number): Promise<Batch> {
  const started = performance.now();
  const failed: Batch['failed'][number][] = [];
  const counts: Record<string, number> = {};
  const end = seed + runs;
  let [next, seeds] = [seed, 0];
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL(import.meta.url), { workerData: sweeper });
      const give = (): void => {
        if (next < end && failed.length < most) {
          const sweep: Sweep = { from: next, runs: Math.min(partRuns, end - next), most };
          next += sweep.runs;
          worker.postMessage(sweep);
        } else void worker.terminate().then(() => resolve());
      };
      worker.on('error', reject).on('message', (part: Batch) => {
        seeds += part.seeds;
        failed.push(...part.failed);
        for (const [what, times] of Object.entries(part.counts)) counts[what] = (counts[what] ?? 0) + times;
        process.stderr.write(`\r${seeds} of ${runs} seeds, ${failed.length} broken ${seeds < runs ? '' : '\n'}`);
        give();
      });
      give();
    });
  await Promise.all(Array.from({ length: workers }, work));
  failed.sort((a, b) => a.seed - b.seed);
  return { seeds, failed, counts, durationMs: performance.now() - started };
}

if (!isMainThread && workerData === sweeper)
  parentPort?.on('message', (sweep: Sweep) => void runSeeds(sweep).then((part) => parentPort?.postMessage(part)));

function summary({ virtualMs, events, generations, restores, counts }: SimOutcome): string {
  const faults = [...counts].filter(([what]) => what.startsWith('fault ')).reduce((sum, [, times]) => sum + times, 0);
  return `${faults} faults, ${generations} generations, ${restores} restores, ${events} events, ${Math.round(virtualMs)} virtual ms`;
}
