/**
 * Taking a slot: the stable name under which a task is known (`worker/1`). The lowest one that is free, or whose last
 * holder is gone; two newcomers cannot take the same one, for the row is written under the version that was read.
 */
import type { Cloud, Row } from '../cloud/ports.ts';
import { updateRow } from '../cloud/update.ts';
import type { Role } from '../core/plan.ts';
import { type GangMember, keys, type MemberRow, prefixes, slotName, type TaskId, type TaskRow } from '../core/run.ts';

type World = Pick<Cloud, 'table' | 'clock'>;

export interface Newcomer {
  readonly runId: string;
  readonly role: Role;
  readonly taskId: TaskId;
  readonly host: string;
  readonly port: number;
}

/** Undefined when all `max` slots stay taken until the deadline. */
export async function takeSlot(
  cloud: World,
  newcomer: Newcomer,
  max: number,
  deadlineMs: number,
): Promise<GangMember | undefined> {
  const until = cloud.clock.monotonic() + deadlineMs;
  for (;;) {
    const slot = await tryOnce(cloud, newcomer, max);
    if (slot !== undefined) {
      const { taskId, role, host, port } = newcomer;
      await updateRow<TaskRow>(cloud, newcomer.runId, keys.task(taskId), (row) =>
        row === undefined ? undefined : { ...row, slot: slot.name },
      );
      return { taskId, slot: slot.name, role, host, port, turn: slot.turn };
    }
    if (cloud.clock.monotonic() > until) return undefined;
    await cloud.clock.sleep(100);
  }
}

async function tryOnce(
  cloud: World,
  newcomer: Newcomer,
  max: number,
): Promise<{ readonly name: string; readonly turn: number } | undefined> {
  const { runId, role, taskId, host, port } = newcomer;
  const rows = await cloud.table.query<MemberRow>(runId, `${prefixes.member}${role}/`);
  const bySlot = new Map(rows.map((row) => [row.value.slot, row]));
  for (let index = 0; index < max; index += 1) {
    const slot = slotName(role, index);
    const row = bySlot.get(slot);
    if (row !== undefined && !(await isFree(cloud, runId, row))) continue;
    const mine: MemberRow = { slot, role, taskId, host, port, state: 'up', joinedAtMs: cloud.clock.now() };
    const when = row === undefined ? ({ absent: true } as const) : { version: row.version };
    const stored = await cloud.table.put(runId, keys.member(slot), mine, when);
    if (stored.kind === 'stored') return { name: slot, turn: stored.version };
  }
  return undefined;
}

/** The leader frees the slots of members it lost; when the leader went too, the control plane has seen the task stop. */
async function isFree(cloud: World, runId: string, row: Row<MemberRow>): Promise<boolean> {
  if (row.value.state === 'gone') return true;
  const task = await cloud.table.get<TaskRow>(runId, keys.task(row.value.taskId));
  return task?.value.state === 'stopped';
}

/** It has done work that counts: when it dies young, it was not for a fault that its replacement has too. */
export async function noteUseful(cloud: Pick<Cloud, 'table'>, runId: string, taskId: TaskId): Promise<void> {
  await updateRow<TaskRow>(cloud, runId, keys.task(taskId), (row) =>
    row === undefined || row.useful === true ? undefined : { ...row, useful: true },
  );
}

/** Leaving in good order. */
export async function freeSlot(cloud: World, runId: string, self: GangMember): Promise<void> {
  await updateRow<MemberRow>(cloud, runId, keys.member(self.slot), (row) =>
    row === undefined || row.taskId !== self.taskId ? undefined : { ...row, state: 'gone' },
  );
}
