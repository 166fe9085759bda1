/**
 * The history of a run that people read: every decision and every change of its tasks is one row, later one line of
 * events.jsonl, and one line of the log. Rows are only ever added.
 */
import type { EventName } from '../core/events.ts';
import { type EventRow, keys } from '../core/run.ts';
import type { Cloud, LogLevel } from './ports.ts';

export type EventDetail = { readonly by?: string; readonly why?: string } & Readonly<Record<string, unknown>>;

/** What a person should notice in a log that is read by level. */
const levels: { readonly [K in EventName]?: LogLevel } = {
  'run.failed': 'error',
  'run.rejected': 'warn',
  'launch.short': 'warn',
  'task.lost': 'warn',
  'task.orphaned': 'warn',
  'member.lost': 'warn',
  'member.silent': 'warn',
  'checkpoint.failed': 'warn',
  'checkpoint.damaged': 'warn',
};

/** `moment`: of what several may come to tell, the time and the name that are the same for all; it is one row then. */
export async function record(
  cloud: Pick<Cloud, 'table' | 'clock' | 'ids' | 'log'>,
  runId: string,
  event: EventName,
  detail: EventDetail = {},
  moment?: { readonly atMs: number; readonly id: string },
): Promise<void> {
  const atMs = moment?.atMs ?? cloud.clock.now();
  const row: EventRow = { by: 'control-plane', ...detail, atMs, event };
  cloud.log.write(levels[event] ?? 'info', event, { runId, ...detail });
  // 6 random bytes beside the millisecond: a clash is as good as impossible, and would cost one line.
  await cloud.table.put(runId, keys.event(atMs, moment?.id ?? cloud.ids.hex(6)), row, { absent: true });
}
