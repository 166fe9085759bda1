/**
 * The way of a member from one generation to the next. When somebody is lost it is short: stop, say where we are, begin.
 * When somebody only comes nobody stops: every member is prepared while it trains, `begin` names a step that is still ahead
 * of all of them (`Trainer.turn`), and each goes over when it gets there.
 *
 * Invariants
 *  PA1 A member is in one generation at a time: it takes nothing of it after `fromStep` of the next, and nothing of the next
 *      before that, though it may come before.
 *  PA2 A newcomer says that it is prepared only when it has made the updates that the leader had made by then, so that
 *      nobody waits for what it has yet to copy.
 */
import type { GangMember } from '../run.ts';
import { type Gang, type MessageOf, partnersOf } from './messages.ts';

export class Passage {
  /** What begins when we are there, the nearest first. */
  private ahead: MessageOf<'begin'>[] = [];
  /** The step at which the leader is to hear that we are prepared. */
  private level: number | undefined;

  /** Where the generation that we are in ends for us. */
  get until(): number {
    return this.ahead[0]?.fromStep ?? Number.POSITIVE_INFINITY;
  }

  /** Of those that we know, the newest that has begun or is to. */
  newest(current: Gang | undefined): number | undefined {
    return (this.ahead.at(-1)?.gang ?? current)?.generation;
  }

  prepare(level: number): void {
    this.level = level;
  }

  add(begin: MessageOf<'begin'>): void {
    this.ahead.push(begin);
  }

  forget(): void {
    this.ahead = [];
    this.level = undefined;
  }

  /** True once, when the leader is to be answered. Who is in a generation makes the same updates as the leader. */
  answers(step: number, current: Gang | undefined): boolean {
    if (this.level === undefined || (current === undefined && step < this.level)) return false;
    this.level = undefined;
    return true;
  }

  /** The generation to go into now. */
  next(step: number, current: Gang | undefined): MessageOf<'begin'> | undefined {
    return current === undefined || step >= this.until ? this.ahead.shift() : undefined;
  }

  /** With whom this member exchanges tensors, now or soon. */
  partners(self: GangMember, current: Gang | undefined): readonly GangMember[] {
    const gangs = [...(current === undefined ? [] : [current]), ...this.ahead.map(({ gang }) => gang)];
    const partners = gangs.flatMap((gang) => partnersOf(gang, self.taskId));
    return [...new Map(partners.map((partner) => [partner.taskId, partner])).values()];
  }
}
