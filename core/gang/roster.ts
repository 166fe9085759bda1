/**
 * Whom the leader knows, where each of them stands, and who can give his state to whom.
 *
 * Invariants
 *  RO1 `ready` are those that are level: their state is at most one update behind the best, or is the seed's like
 *      everybody's. Only they are counted in (LD3).
 *  RO2 A donor is level itself; nobody is sent to the same donor again after it failed him.
 */
import type { GangMember, TaskId } from '../run.ts';
import type { Effect } from './effects.ts';
import { type Gang, type Message, membersOf } from './messages.ts';

export interface Known {
  readonly member: GangMember;
  step: number;
  hasState: boolean;
  /** It has the total of the update before its step. */
  lends: boolean;
  /** `ready`: to be counted in; `fetching`: copies the state from the donor; `new`: behind, and nobody lends to it yet. */
  standing: 'ready' | 'fetching' | 'new';
  donor?: TaskId;
  readonly failedDonors: Set<TaskId>;
}

export class Roster {
  private readonly known = new Map<TaskId, Known>();

  meet(member: GangMember, hasState: boolean, step: number): Known {
    const known: Known = { member, hasState, step, lends: false, standing: 'new', failedDonors: new Set() };
    this.known.set(member.taskId, known);
    return known;
  }

  get(taskId: TaskId): Known | undefined {
    return this.known.get(taskId);
  }

  has(taskId: TaskId): boolean {
    return this.known.has(taskId);
  }

  /** Whoever copied from it, or waits for what it still sends, has lost its source. */
  delete(taskId: TaskId): void {
    this.known.delete(taskId);
    for (const known of this.known.values()) {
      if (known.donor !== taskId) continue;
      delete known.donor;
      if (known.standing === 'fetching') known.standing = 'new';
    }
  }

  /** First come first. */
  all(): readonly Known[] {
    return [...this.known.values()];
  }

  among(members: readonly GangMember[]): readonly Known[] {
    return members.map(({ taskId }) => this.known.get(taskId)).filter((known) => known !== undefined);
  }

  workers(): readonly Known[] {
    return this.all().filter((known) => known.member.role === 'worker');
  }

  ready(): readonly Known[] {
    return this.workers().filter((known) => known.standing === 'ready');
  }

  servers(): readonly Known[] {
    return this.all().filter((known) => known.member.role === 'parameter-server');
  }

  /** Of those that have a state; undefined when nobody has. */
  bestStep(): number | undefined {
    const states = this.workers().filter((known) => known.hasState);
    return states.length === 0 ? undefined : Math.max(...states.map((known) => known.step));
  }

  readyStep(): number {
    return Math.max(0, ...this.ready().map((known) => known.step));
  }

  /** All servers, and of the workers that are level the leader and as many others as there may be. */
  gang(generation: number, leader: Known, workersMax: number): Gang {
    const others = this.ready().filter((known) => known !== leader);
    const workers = [leader, ...others.sort(bySlot).slice(0, workersMax - 1)].sort(bySlot);
    return {
      generation,
      leader: leader.member.taskId,
      workers: workers.map((known) => known.member),
      servers: [...this.servers()].sort(bySlot).map((known) => known.member),
    };
  }

  /** Everybody that trains is in the next gang too, and the workers that are added get every update from one of them. */
  isFed(training: Gang, next: Gang): boolean {
    const members = new Set(membersOf(next).map(({ taskId }) => taskId));
    const workers = new Set(training.workers.map(({ taskId }) => taskId));
    const isFed = (taskId: TaskId): boolean => workers.has(taskId) || workers.has(this.get(taskId)?.donor ?? '');
    return (
      membersOf(training).every(({ taskId }) => members.has(taskId)) &&
      next.workers.every(({ taskId }) => isFed(taskId))
    );
  }

  /** RO1, from what they said last. */
  level(top: number): void {
    for (const known of this.workers()) {
      known.standing = (known.hasState ? known.step >= top - 1 : top === 0) ? 'ready' : 'new';
      delete known.donor;
      known.failedDonors.clear();
    }
  }

  /** Gives everybody that is behind a donor, where there is one, and tells it so. */
  assignDonors(generation: number): Effect[] {
    const donors = this.ready().filter((known) => known.hasState);
    const top = Math.max(...donors.map((donor) => donor.step));
    const level = donors.filter((donor) => donor.step >= top - 1);
    return this.workers().flatMap((to) => {
      if (to.standing !== 'new') return [];
      const free = level.filter((donor) => !to.failedDonors.has(donor.member.taskId));
      // The one that lends least, so that several newcomers do not hang on one donor.
      const lending = (donor: Known): number => this.workers().filter((k) => k.donor === donor.member.taskId).length;
      const [donor] = free.sort((a, b) => lending(a) - lending(b));
      if (donor === undefined) return [];
      to.standing = 'fetching';
      to.donor = donor.member.taskId;
      const message: Message = { type: 'fetch', generation, donor: donor.member };
      return [{ type: 'send', to: to.member, message }];
    });
  }

  /** The donor is gone or does not answer; `true` when others are left to ask. */
  failDonor(known: Known): boolean {
    if (known.donor !== undefined) known.failedDonors.add(known.donor);
    startAfresh(known);
    return this.ready().some((donor) => donor.hasState && !known.failedDonors.has(donor.member.taskId));
  }
}

/** It has to copy a state. */
export function startAfresh(known: Known): void {
  known.standing = 'new';
  delete known.donor;
}

/** How those that are about to begin come to the same step, the greatest that one of them is at. */
export interface Alignment {
  readonly top: number;
  /** At the top, and able to send the total that led there to those that are one step behind. */
  readonly lender: Known | undefined;
  readonly behind: readonly TaskId[];
  /** Too far behind for that: they have to fetch the state again. */
  readonly late: readonly Known[];
}

export function alignment(all: readonly Known[]): Alignment {
  const top = Math.max(...all.map((known) => known.step));
  const lender = all.find((known) => known.step === top && known.lends);
  // Where one will be with what its donor has sent or still sends.
  const reach = (known: Known): number => {
    const donor = all.find((other) => other.member.taskId === known.donor);
    return Math.max(known.step, donor?.step ?? 0);
  };
  const late = all.filter((known) => reach(known) < (lender === undefined ? top : top - 1));
  const behind = all.filter((known) => known.step < top).map((known) => known.member.taskId);
  return { top, lender, behind, late };
}

function bySlot(a: Known, b: Known): number {
  return slotIndex(a.member) - slotIndex(b.member);
}

function slotIndex(member: GangMember): number {
  return Number(member.slot.slice(member.slot.lastIndexOf('/') + 1));
}
