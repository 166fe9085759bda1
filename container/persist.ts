/**
 * Storage that fails once is asked again. Everything the task writes may be written twice: under a condition, or the same
 * bytes under the same name.
 *
 * Invariants
 *  PE1 Only failures of the infrastructure are tried again; a mistake of ours would repeat itself.
 *  PE2 The tries are bounded: storage that is gone for seconds ends this task, and another is launched.
 */
import type { Cloud } from '../cloud/ports.ts';
import { failureTable, toFailure } from '../core/failure.ts';

const pausesMs = [50, 200, 500, 1_000, 2_000];

export async function persist<T>(clock: Pick<Cloud['clock'], 'sleep'>, work: () => Promise<T>): Promise<T> {
  for (const pauseMs of pausesMs) {
    try {
      return await work();
    } catch (thrown) {
      if (failureTable[toFailure(thrown).kind].remedy !== 'retry') throw thrown;
      await clock.sleep(pauseMs);
    }
  }
  return await work();
}
