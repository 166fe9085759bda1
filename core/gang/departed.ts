/**
 * Members that the leader has dropped: they are told so when they come back, and their slots are released when it is sure
 * that they will not be counted in again (LD5).
 */
import type { GangMember, TaskId } from '../run.ts';
import type { Effect } from './effects.ts';

export type Loss = 'lost' | 'silent' | 'left' | 'unreachable';

export class Departed {
  private readonly members = new Map<TaskId, GangMember>();
  private readonly unreleased = new Map<TaskId, Effect>();

  has(taskId: TaskId): boolean {
    return this.members.has(taskId);
  }

  /** It is told that it is out; with a reason, it never was one of us and never will be. */
  turnAway(member: GangMember, generation: number, why: string | undefined): Effect[] {
    const { slot, taskId } = member;
    const fenced: Effect = { type: 'send', to: member, message: { type: 'fenced', generation } };
    if (why === undefined) return [fenced];
    this.members.set(taskId, member);
    return [{ type: 'record', event: 'member.refused', detail: { slot, taskId, why } }, fenced];
  }

  add(member: GangMember, why: Loss): Effect[] {
    const { taskId, slot } = member;
    this.members.set(taskId, member);
    this.unreleased.set(taskId, { type: 'release', peer: member, why });
    const event = why === 'silent' ? 'member.silent' : why === 'left' ? 'member.left' : 'member.lost';
    return [
      { type: 'record', event, detail: { slot, taskId, why } },
      { type: 'drop', peer: member, why },
    ];
  }

  /** A sign of life of somebody that is out. */
  answer(from: TaskId, generation: number): Effect[] {
    const to = this.members.get(from);
    return to === undefined ? [] : [{ type: 'send', to, message: { type: 'fenced', generation } }];
  }

  /** Of those that it is sure of, once each. */
  release(isSure: (taskId: TaskId) => boolean = () => true): Effect[] {
    const released = [...this.unreleased].filter(([id]) => isSure(id));
    for (const [id] of released) this.unreleased.delete(id);
    return released.map(([, effect]) => effect);
  }
}
