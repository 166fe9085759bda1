/**
 * How news reaches the Watch state. Whoever has news counts up the `signal` row and then answers the token in the
 * `watch` row; the watch function stores its token in the `watch` row and then looks whether the signal has moved.
 *
 * Invariants
 *  G1  Both write before they read, so whoever comes second sees the other: no wake-up is lost.
 *  G2  Answering twice is harmless: the second answer finds the token gone.
 *  G3  A watch of an older turn never replaces the token of a newer one.
 */
import { keys, type SignalRow, type WatchRow } from '../core/run.ts';
import type { WatchOutput } from '../core/workflow.ts';
import type { Cloud } from './ports.ts';
import { updateRow } from './update.ts';

/** The control plane should look at the run. `woken` when a Watch was waiting for it. */
export async function raise(
  cloud: Pick<Cloud, 'table' | 'workflow'>,
  runId: string,
  why: string,
): Promise<{ readonly seq: number; readonly woken: boolean }> {
  const signal = await updateRow<SignalRow>(cloud, runId, keys.signal, (current) => ({
    seq: (current?.seq ?? 0) + 1,
    last: why,
  }));
  const seq = signal?.seq ?? 0;
  const watch = await cloud.table.get<WatchRow>(runId, keys.watch);
  if (watch === undefined || watch.value.seen >= seq) return { seq, woken: false };
  return { seq, woken: await answer(cloud, watch.value.token, seq) };
}

/** Stores the token of this turn; answers it at once when there is news that the last Decide has not seen. */
export async function arm(
  cloud: Pick<Cloud, 'table' | 'workflow'>,
  runId: string,
  watch: WatchRow,
): Promise<'waiting' | 'answered' | 'superseded'> {
  const stored = await updateRow<WatchRow>(cloud, runId, keys.watch, (current) =>
    current !== undefined && current.turn > watch.turn ? undefined : watch,
  );
  if (stored?.token !== watch.token) return 'superseded';
  const seq = await lastSignal(cloud, runId);
  if (seq <= watch.seen) return 'waiting';
  await answer(cloud, watch.token, seq);
  return 'answered';
}

export async function lastSignal({ table }: Pick<Cloud, 'table'>, runId: string): Promise<number> {
  return (await table.get<SignalRow>(runId, keys.signal))?.value.seq ?? 0;
}

async function answer({ workflow }: Pick<Cloud, 'workflow'>, token: string, signal: number): Promise<boolean> {
  const output: WatchOutput = { signal };
  return (await workflow.succeedTask(token, output)) === 'accepted';
}
