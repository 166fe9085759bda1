/**
 * Pieces of work that take turns in short slices, so that a busy machine is as busy for each. Time is processor time of
 * this process. The fastest fifth is given beside the median: on a shared machine it is nearer to what the code costs.
 */
import { median } from './measures.ts';

export interface Runner {
  readonly engine: string;
  readonly run: () => void;
}

export interface Cost {
  readonly engine: string;
  /** Milliseconds a call. */
  readonly median: number;
  readonly fast: number;
}

const sliceMs = 10;
const slices = 40;
/** Until the compiler has done its best. */
const warmUpMs = 500;

export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

export function takeTurns(runners: readonly Runner[]): Cost[] {
  const prepared = runners.map(({ engine, run }) => {
    const begin = cpuMs();
    let calls = 0;
    for (; cpuMs() - begin < warmUpMs; calls += 1) run();
    return { engine, run, calls: Math.max(1, Math.round((calls * sliceMs) / warmUpMs)), times: [] as number[] };
  });
  for (let slice = 0; slice < slices; slice += 1) {
    for (const { run, calls, times } of prepared) {
      const begin = cpuMs();
      for (let i = 0; i < calls; i += 1) run();
      times.push((cpuMs() - begin) / calls);
    }
  }
  return prepared.map(({ engine, times }) => {
    const fast = [...times].sort((a, b) => a - b)[Math.floor(slices / 5)] as number;
    return { engine, median: median(times), fast };
  });
}
