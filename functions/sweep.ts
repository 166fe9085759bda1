/**
 * The safety net, once a minute: for every run that is open it looks whether the tasks are as the rows say, and finishes
 * the release of runs that have ended.
 *
 * Invariants
 *  SW1 Only tasks of runs in our own table are touched.
 *  SW2 One run that cannot be swept does not keep the others from it; it is told at the end, as an error of the sweep.
 */

import type { Cloud } from '../cloud/ports.ts';
import { raise } from '../cloud/signal.ts';
import { CuttlefishError } from '../core/failure.ts';
import { clusterPartition, clusterPrefixes, keys, type OpenRow, type RunRow } from '../core/run.ts';
import { reconcile } from './observe-task.ts';
import { release } from './release.ts';
import { isEnded, value, values } from './rows.ts';

/** The workflow releases by itself; only when it has not for so long is it done here. */
const patienceMs = 120_000;

export interface SweepOutput {
  readonly open: number;
  readonly signalled: readonly string[];
  readonly released: readonly string[];
}

export async function sweep(_input: unknown, cloud: Cloud): Promise<SweepOutput> {
  const open = await values<OpenRow>(cloud, clusterPartition, clusterPrefixes.open);
  const signalled: string[] = [];
  const released: string[] = [];
  const failed: string[] = [];
  for (const { runId } of open) {
    try {
      const run = await value<RunRow>(cloud, runId, keys.run);
      if (run === undefined) continue;
      if (!isEnded(run)) {
        const changed = await reconcile(cloud, runId);
        if (changed === 0) continue;
        await raise(cloud, runId, `the sweep found ${changed} task(s) changed`);
        signalled.push(runId);
      } else if (cloud.clock.now() - (run.endedAtMs ?? 0) >= patienceMs) {
        await release({ runId }, cloud);
        released.push(runId);
      }
    } catch (thrown) {
      failed.push(`${runId}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    }
  }
  if (failed.length > 0) {
    throw new CuttlefishError({ kind: 'Unexpected', message: `the sweep could not look after ${failed.join('; ')}` });
  }
  return { open: open.length, signalled, released };
}
