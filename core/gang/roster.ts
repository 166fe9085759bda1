/**
 * Whom the leader knows, where each of them stands, and who can give his state to whom.
 *
 * Invariants
 *  RO1 `ready` are those that are level: their state is at most one update behind the best, or is the seed's like
 *      everybody's. Only they are counted in (LD3).
 *  RO2 A donor is level itself; nobody is sent to the same donor again after it failed him.
 */
import type { GangMember, TaskId } from '../run.ts';

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

  delete(taskId: TaskId): void {
    this.known.delete(taskId);
  }

  /** First come first. */
  all(): readonly Known[] {
    return [...this.known.values()];
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

  /** RO1, from what they said last. */
  level(top: number): void {
    for (const known of this.workers()) {
      known.standing = (known.hasState ? known.step >= top - 1 : top === 0) ? 'ready' : 'new';
      delete known.donor;
      known.failedDonors.clear();
    }
  }

  /** Gives everybody that is behind a donor, where there is one; answers who got one. */
  assignDonors(): readonly { readonly to: Known; readonly donor: GangMember }[] {
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
      return [{ to, donor: donor.member }];
    });
  }

  /** The donor is gone or does not answer; `true` when others are left to ask. */
  failDonor(known: Known): boolean {
    if (known.donor !== undefined) known.failedDonors.add(known.donor);
    delete known.donor;
    known.standing = 'new';
    return this.ready().some((donor) => donor.hasState && !known.failedDonors.has(donor.member.taskId));
  }

  /** Whoever copied from it, or waits for what it still sends, has lost its source. */
  forgetDonor(donor: TaskId): void {
    for (const known of this.known.values()) {
      if (known.donor !== donor) continue;
      delete known.donor;
      if (known.standing === 'fetching') known.standing = 'new';
    }
  }
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

export function bySlot(a: Known, b: Known): number {
  return slotIndex(a.member) - slotIndex(b.member);
}

function slotIndex(member: GangMember): number {
  return Number(member.slot.slice(member.slot.lastIndexOf('/') + 1));
}
