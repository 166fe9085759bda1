/**
 * What was seen of a task, merged into its row: from ECS events, from listing, from a stop of our own. All of them are
 * repeated, late and out of order.
 *
 * Invariants
 *  B1  The state of a task only goes forward (starting, running, stopping, stopped): an old event changes nothing.
 *  B2  A stop that we asked for keeps our reason; a task that ended by itself before that keeps its own.
 *  B3  An event may come before Launch has written the row; it then makes the row, and Launch completes it.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { updateRow } from '../cloud/update.ts';
import { classifyStop, failureOfStop, isOurs } from '../core/classify.ts';
import { describeFailure } from '../core/failure.ts';
import { taskLabel } from '../core/observation.ts';
import type { TaskChange } from '../core/platform-events.ts';
import { keys, type MemberRow, prefixes, type TaskRow, type TaskState } from '../core/run.ts';
import { values } from './rows.ts';

const order: readonly TaskState[] = ['starting', 'running', 'stopping', 'stopped'];
export const unknownLaunch = -1;

type Seen = Omit<TaskChange, 'runId'>;

/** Answers the row, and whether this was news. */
export async function observeTask(
  cloud: Pick<Cloud, 'table' | 'clock' | 'ids' | 'log'>,
  runId: string,
  seen: Seen,
): Promise<{ readonly row: TaskRow | undefined; readonly news: boolean }> {
  const slot = seen.state === 'stopped' ? await slotOf(cloud, runId, seen.taskId) : undefined;
  const nowMs = cloud.clock.now();
  let news = false;
  const row = await updateRow<TaskRow>(cloud, runId, keys.task(seen.taskId), (current) => {
    const next = merge(current, seen, slot, nowMs);
    news = next !== undefined;
    return next;
  });
  if (news && row?.state === 'stopped') {
    const task = taskLabel(row);
    await record(cloud, runId, row.failure === undefined ? 'task.stopped' : 'task.lost', {
      slot: task,
      taskId: row.taskId,
      why: row.failure === undefined ? (row.stop?.reason ?? 'it ended') : describeFailure(row.failure),
      ...(row.stop === undefined ? {} : { stop: row.stop, class: classifyStop(row.stop) }),
    });
  }
  return { row, news };
}

function merge(current: TaskRow | undefined, seen: Seen, slot: string | undefined, nowMs: number): TaskRow | undefined {
  if (current !== undefined && order.indexOf(seen.state) <= order.indexOf(current.state)) return undefined;
  const before: TaskRow = current ?? {
    taskId: seen.taskId,
    role: seen.role,
    launch: unknownLaunch,
    kind: 'local',
    state: 'starting',
    launchedAtMs: nowMs,
  };
  const startedAtMs = before.startedAtMs ?? seen.startedAtMs ?? (seen.state === 'running' ? nowMs : undefined);
  const row: TaskRow = {
    ...before,
    state: seen.state,
    ...(startedAtMs === undefined ? {} : { startedAtMs }),
    ...(slot === undefined ? {} : { slot }),
  };
  if (seen.state !== 'stopped') return row;
  const stop = stopOf(before, seen);
  const failure = failureOfStop(stop, taskLabel(row));
  return { ...row, stoppedAtMs: seen.stoppedAtMs ?? nowMs, stop, ...(failure === undefined ? {} : { failure }) };
}

function stopOf(before: TaskRow, seen: Seen): NonNullable<TaskRow['stop']> {
  const told = seen.stop ?? { code: 'Unknown', reason: 'no reason given' };
  if (before.stop === undefined || !isOurs(before.stop.reason)) return told;
  if (told.code !== 'UserInitiated' && told.code !== 'Unknown') return told;
  return { ...before.stop, ...(told.exitCode === undefined ? {} : { exitCode: told.exitCode }) };
}

/** The name people know the task by, from the row that the task wrote when it came up. */
async function slotOf(cloud: Pick<Cloud, 'table'>, runId: string, taskId: string): Promise<string | undefined> {
  const members = await values<MemberRow>(cloud, runId, prefixes.member);
  return members.find((member) => member.taskId === taskId)?.slot;
}

/**
 * Compares the rows of live tasks with what the world lists, and merges the difference: for events that were lost, and
 * for tasks that the world has forgotten. Answers how many rows changed.
 */
export async function reconcile(
  cloud: Pick<Cloud, 'table' | 'clock' | 'ids' | 'log' | 'tasks' | 'kind'>,
  runId: string,
): Promise<number> {
  const [listed, rows] = await Promise.all([cloud.tasks.list(runId), values<TaskRow>(cloud, runId, prefixes.task)]);
  const known = new Map(listed.map((task) => [task.taskId, task]));
  let changed = 0;
  for (const row of rows) {
    if (row.state === 'stopped') continue;
    const seen = known.get(row.taskId) ?? vanished(row, cloud);
    if (seen !== undefined && (await observeTask(cloud, runId, seen)).news) changed += 1;
  }
  return changed;
}

/** ECS lists a task some moments after RunTask answered; only later is its absence news. */
const listingGraceMs = 60_000;

function vanished(row: TaskRow, { kind, clock }: Pick<Cloud, 'kind' | 'clock'>): Seen | undefined {
  if (kind === 'aws' && clock.now() - row.launchedAtMs < listingGraceMs) return undefined;
  const stop = { code: 'InfrastructureHealth', reason: 'the task is no longer known where it ran' };
  return { taskId: row.taskId, role: row.role, state: 'stopped', stop };
}
