/**
 * What was seen of a task, merged into its row: from ECS events, from listing, from a stop of our own. All of them are
 * repeated, late and out of order.
 *
 * Invariants
 *  B1  The state of a task only goes forward (starting, running, stopping, stopped): an old event changes nothing.
 *  B2  A stop that we asked for keeps our reason; a task that ended by itself before that keeps its own.
 *  B3  An event may come before Launch has written the row; it then makes the row, and Launch completes it.
 *  B4  An end is told, in the history of the run and to whoever waits, until the row says that it was: a function that dies
 *      in between is called again and finds the end untold.
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

type World = Pick<Cloud, 'table' | 'clock' | 'ids' | 'log'>;
/** Wakes the run because of a task that has ended; left out by those who act on it themselves. */
type Wake = (why: string) => Promise<unknown>;
const nobodyWaits: Wake = async () => undefined;

/** Answers whether this was news. */
export async function observeTask(cloud: World, runId: string, seen: Seen, wake = nobodyWaits): Promise<boolean> {
  const slot = seen.state === 'stopped' ? await slotOf(cloud, runId, seen.taskId) : undefined;
  const nowMs = cloud.clock.now();
  let news = false;
  const row = await updateRow<TaskRow>(cloud, runId, keys.task(seen.taskId), (current) => {
    const next = merge(current, seen, slot, nowMs);
    news = next !== undefined;
    return next;
  });
  if (row?.state !== 'stopped' || row.told === true) return news;
  await tellEnd(cloud, runId, row, wake);
  return true;
}

/** B4. */
async function tellEnd(cloud: World, runId: string, row: TaskRow, wake: Wake): Promise<void> {
  const { taskId, failure, stop, stoppedAtMs: atMs } = row;
  const detail = {
    slot: taskLabel(row),
    taskId,
    why: failure === undefined ? (stop?.reason ?? 'it ended') : describeFailure(failure),
    ...(stop === undefined ? {} : { stop, class: classifyStop(stop) }),
  };
  const moment = atMs === undefined ? undefined : { atMs, id: taskId };
  await record(cloud, runId, failure === undefined ? 'task.stopped' : 'task.lost', detail, moment);
  await wake(`task ${taskId} stopped`);
  await updateRow<TaskRow>(cloud, runId, keys.task(taskId), (current) =>
    current === undefined || current.told === true ? undefined : { ...current, told: true },
  );
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
  cloud: World & Pick<Cloud, 'tasks' | 'kind'>,
  runId: string,
  wake = nobodyWaits,
): Promise<number> {
  const [listed, rows] = await Promise.all([cloud.tasks.list(runId), values<TaskRow>(cloud, runId, prefixes.task)]);
  const known = new Map(listed.map((task) => [task.taskId, task]));
  let changed = 0;
  for (const row of rows) {
    if (row.state === 'stopped' && row.told === true) continue;
    const seen = known.get(row.taskId) ?? vanished(row, cloud);
    if (seen !== undefined && (await observeTask(cloud, runId, seen, wake))) changed += 1;
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
