/**
 * An ECS task changed its state: keeps what happened, because ECS forgets stopped tasks after an hour, and tells the run.
 * Tasks that are not ours are left alone, whatever the rule let through.
 */

import type { Cloud } from '../cloud/ports.ts';
import { raise } from '../cloud/signal.ts';
import { readTaskChange } from '../core/platform-events.ts';
import { keys, type RunRow, type TaskRow } from '../core/run.ts';
import { observeTask } from './observe-task.ts';
import { isEnded, value } from './rows.ts';

export type TaskEventOutput = { readonly kind: 'ignored' | 'old' | 'recorded' };

export async function onTaskEvent(event: unknown, cloud: Cloud): Promise<TaskEventOutput> {
  const change = readTaskChange(event);
  if (change === undefined) return { kind: 'ignored' };
  const { runId, ...seen } = change;
  const run = await value<RunRow>(cloud, runId, keys.run);
  if (run === undefined) return { kind: 'ignored' };
  const taskId = await taskIdOf(cloud, runId, seen.taskId);
  // Only an end needs an answer; that a task runs is read by whoever looks next.
  const wake = async (why: string): Promise<unknown> => (isEnded(run) ? undefined : raise(cloud, runId, why));
  return { kind: (await observeTask(cloud, runId, { ...seen, taskId }, wake)) ? 'recorded' : 'old' };
}

/** The world names a task by its ARN or by its last part; the event always has the ARN. */
async function taskIdOf(cloud: Cloud, runId: string, arn: string): Promise<string> {
  const short = arn.split('/').at(-1) ?? arn;
  if ((await value<TaskRow>(cloud, runId, keys.task(arn))) !== undefined) return arn;
  if ((await value<TaskRow>(cloud, runId, keys.task(short))) !== undefined) return short;
  return cloud.kind === 'aws' ? arn : short;
}
