/**
 * Members that cannot hear each other while both reach the leader. Which of the two is at fault nobody can tell; the one
 * that more of the others complain about is, and of two that are level the one that came later.
 *
 * Invariants
 *  DB1 Nobody is given up on one complaint about silence: it must be repeated, for it may have been answered meanwhile. A
 *      broken connection need not be: what was in it is lost, and the step would never end.
 *  DB2 One broken connection costs one member, though both ends complain.
 */
import type { TaskId } from '../run.ts';

interface Doubt {
  readonly by: TaskId;
  readonly about: TaskId;
  readonly broken: boolean;
  readonly sinceMs: number;
  untilMs: number;
}

export class Doubts {
  private readonly beatMs: number;
  private doubts: Doubt[] = [];

  constructor(beatMs: number) {
    this.beatMs = beatMs;
  }

  add(by: TaskId, about: TaskId, broken: boolean, nowMs: number): void {
    const before = this.doubts.find((doubt) => doubt.by === by && doubt.about === about && doubt.broken === broken);
    if (before === undefined) this.doubts.push({ by, about, broken, sinceMs: nowMs, untilMs: nowMs });
    else before.untilMs = nowMs;
  }

  forget(member: TaskId): void {
    this.doubts = this.doubts.filter(({ by, about }) => by !== member && about !== member);
  }

  /** A new generation dials new connections: what was lost in the old ones is sent again. */
  newGeneration(): void {
    this.doubts = this.doubts.filter((doubt) => !doubt.broken);
  }

  /** Whom to give up, when the time has come; `order` are all members, first come first. */
  verdict(order: readonly TaskId[], nowMs: number): TaskId | undefined {
    this.doubts = this.doubts.filter((doubt) => doubt.broken || nowMs - doubt.untilMs <= 3 * this.beatMs);
    const due = this.doubts.some(({ broken, sinceMs, untilMs }) => (broken ? nowMs : untilMs) - sinceMs >= this.beatMs);
    if (!due) return undefined;
    const complaints = (member: TaskId): number =>
      new Set(this.doubts.flatMap(({ by, about }) => (about === member ? [by] : by === member ? [about] : []))).size;
    const most = Math.max(...order.map(complaints));
    return order.filter((member) => complaints(member) === most).at(-1);
  }
}
