/** A person wants the run to end: says so in its row and wakes the workflow, which does the rest. */

import type { Cloud } from '../cloud/ports.ts';
import { raise } from '../cloud/signal.ts';
import { keys, type RunRow } from '../core/run.ts';
import { changeRun, isEnded, value } from './rows.ts';

export type CancelOutput = { readonly kind: 'requested' | 'ended' | 'unknown' };

export async function cancelRun(
  cloud: Pick<Cloud, 'table' | 'workflow'>,
  runId: string,
  by: string,
): Promise<CancelOutput> {
  const run = await value<RunRow>(cloud, runId, keys.run);
  if (run === undefined) return { kind: 'unknown' };
  if (isEnded(run)) return { kind: 'ended' };
  await changeRun(cloud, runId, (row) => (row.cancelRequestedBy === undefined ? { cancelRequestedBy: by } : undefined));
  await raise(cloud, runId, `cancelled by ${by}`);
  return { kind: 'requested' };
}
