/**
 * Where the partitions are: a pure function of who is there and of the copies they have.
 *
 * Invariants
 *  PL1 Holders follow from the membership alone: the first two on the ring that begins at the server with the number of
 *      the partition and goes on, after the servers, over the workers. So the loss of a primary makes the backup the
 *      primary, and its return moves one partition back.
 *  PL2 The copy in force is the one with the newest generation, and of these the one with the most updates. It has every
 *      acknowledged update: an update is acknowledged when both holders of a generation have it, and both carry that
 *      generation before (keeper.ts).
 *  PL3 A copy older than a generation that was opened is nobody's: whoever slept through it does not bring it back.
 */
import { type GangMember, parseSlot, type TaskId } from '../../run.ts';
import type { Gang } from '../messages.ts';
import type { AsyncOf, Placing } from './messages.ts';
import { type Mark, versionOf } from './partition.ts';

/** Primary and backup; undefined while there are not two to hold it. */
export function holdersOf(gang: Gang, partition: number): readonly [TaskId, TaskId] | undefined {
  const [primary, backup] = [...ring(gang.servers, partition), ...ring(gang.workers, partition)];
  return primary === undefined || backup === undefined ? undefined : [primary.taskId, backup.taskId];
}

function ring(members: readonly GangMember[], start: number): GangMember[] {
  const indexOf = (member: GangMember): number => parseSlot(member.slot).index;
  const sorted = [...members].sort((a, b) => indexOf(a) - indexOf(b));
  const first = sorted.findIndex((member) => indexOf(member) >= start);
  return first <= 0 ? sorted : [...sorted.slice(first), ...sorted.slice(0, first)];
}

export type Reports = ReadonlyMap<TaskId, Pick<AsyncOf<'holdings'>, 'opened' | 'marks'>>;

export interface Placement {
  readonly table: readonly Placing[];
  /** The marks of the copies in force; a partition that nobody has is absent. */
  readonly marks: ReadonlyMap<number, Mark>;
  readonly opened: number;
}

/** Undefined while there are not two members. */
export function place(gang: Gang, partitions: number, reports: Reports): Placement | undefined {
  const opened = Math.max(0, ...[...reports.values()].map((report) => report.opened));
  const table: Placing[] = [];
  const marks = new Map<number, Mark>();
  for (let partition = 0; partition < partitions; partition += 1) {
    const holders = holdersOf(gang, partition);
    if (holders === undefined) return undefined;
    const copies = [...reports].flatMap(([taskId, report]) =>
      report.marks
        .filter((mark) => mark.partition === partition && mark.generation >= opened)
        .map((mark) => ({ taskId, mark })),
    );
    const best = copies.reduce<(typeof copies)[number] | undefined>(
      (found, copy) => (found === undefined || isNewer(copy.mark, found.mark) ? copy : found),
      undefined,
    );
    if (best === undefined) {
      table.push({ partition, holders, needs: holders });
      continue;
    }
    marks.set(partition, best.mark);
    const level = copies.filter(({ mark }) => !isNewer(best.mark, mark)).map(({ taskId }) => taskId);
    // A holder that has it already need not send it to anybody but the other; who is level is a source as good.
    const source = holders.find((holder) => level.includes(holder)) ?? best.taskId;
    table.push({ partition, holders, source, needs: holders.filter((holder) => !level.includes(holder)) });
  }
  return { table, marks, opened };
}

function isNewer(a: Mark, b: Mark): boolean {
  return a.generation !== b.generation ? a.generation > b.generation : versionOf(a) > versionOf(b);
}
