/**
 * Members that cannot hear each other while both reach the leader. Which of the two is at fault nobody can tell for sure:
 * it is the one that the leader has not heard of late either, then the one that is in more complaints, then the one that
 * is complained about more, then the one that came later. Time is counted in the leader's own beats: while it sends none
 * it has no right to be heard.
 *
 * Invariants
 *  DB1 Nobody is given up on one complaint about silence: it must be repeated, for it may have been answered meanwhile. A
 *      broken connection need not be: what was in it is lost, and the step would never end.
 *  DB2 One broken connection costs one member, though both ends complain.
 *  DB3 Who does not hear the leader cannot be led, whatever the leader hears of him: he goes.
 */
import type { TaskId } from '../run.ts';

interface Doubt {
  readonly by: TaskId;
  readonly about: TaskId;
  readonly broken: boolean;
  readonly since: number;
  until: number;
}

/** Beats for which a complaint must be true; about the leader longer, for its beats must get there and be answered. */
const patienceBeats = { member: 1, leader: 2 };
/** Not repeated for so long, it is over; half as long, and it speaks against nobody any more. */
const forgottenBeats = 3;
const freshBeats = 1;

export class Doubts {
  private readonly leader: TaskId;
  private doubts: Doubt[] = [];
  private beats = 0;

  constructor(leader: TaskId) {
    this.leader = leader;
  }

  /** The leader has told everybody that it lives. */
  beat(): void {
    this.beats += 1;
  }

  add(by: TaskId, about: TaskId, broken: boolean): void {
    const before = this.doubts.find((doubt) => doubt.by === by && doubt.about === about && doubt.broken === broken);
    if (before === undefined) this.doubts.push({ by, about, broken, since: this.beats, until: this.beats });
    else before.until = this.beats;
  }

  forget(member: TaskId): void {
    this.doubts = this.doubts.filter(({ by, about }) => by !== member && about !== member);
  }

  /** A new generation dials new connections: what was lost in the old ones is sent again. */
  newGeneration(): void {
    this.doubts = this.doubts.filter((doubt) => !doubt.broken);
  }

  /** What was said of us once, while we were stopped, is nobody's fault. */
  private isFresh({ about, broken, since, until }: Doubt): boolean {
    return broken || (this.beats - until <= freshBeats && (about !== this.leader || until > since));
  }

  /** Whom to give up, when the time has come; `order` are all members, first come first. */
  verdict(order: readonly TaskId[], isQuiet: (member: TaskId) => boolean): TaskId | undefined {
    this.doubts = this.doubts.filter(({ broken, until }) => broken || this.beats - until <= forgottenBeats);
    const due = this.doubts.filter(({ about, broken, since, until }) => {
      const patience = about === this.leader ? patienceBeats.leader : patienceBeats.member;
      return (broken ? this.beats : until) - since >= patience;
    });
    const deaf = due.find(({ about }) => about === this.leader);
    if (deaf !== undefined || due.length === 0) return deaf?.by;
    const fresh = this.doubts.filter((doubt) => this.isFresh(doubt));
    const counts = order.flatMap((member, place) => {
      const others = fresh.flatMap(({ by, about }) => (about === member ? [by] : by === member ? [about] : []));
      if (others.length === 0 || member === this.leader) return [];
      const about = fresh.filter((doubt) => doubt.about === member).length;
      return [{ member, worse: [isQuiet(member) ? 1 : 0, new Set(others).size, about, place] }];
    });
    return counts.sort((a, b) => compare(b.worse, a.worse))[0]?.member;
  }
}

/** The first number that differs decides. */
function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at < 0 ? 0 : (a[at] as number) - (b[at] as number);
}
