/** Signs of life: to whom a member gives them with every beat, and of whom it misses them. */
import type { GangMember, TaskId } from '../run.ts';
import type { Effect } from './effects.ts';
import type { Follower } from './follower.ts';
import type { Leader } from './leader.ts';
import type { BeatReport, Message } from './messages.ts';
import type { Patience } from './patience.ts';
import type { Trainer } from './trainer.ts';

export interface Bonds {
  readonly self: TaskId;
  readonly follower: Follower;
  readonly leading: Leader | undefined;
  readonly trainer: Trainer;
  readonly patience: Patience;
  /** With whom we exchange tensors. */
  readonly partners: readonly GangMember[];
}

/** To everybody that needs one of us: the leader, those we lead, whom we work with, whom we lend to. */
export function beats(bonds: Bonds, generation: number, report: BeatReport): Effect[] {
  const { self, follower, leading, trainer, partners, patience } = bonds;
  const { slowestMs } = patience;
  const beat: Message = {
    type: 'beat',
    generation,
    step: trainer.step,
    report,
    leads: leading !== undefined,
    ...(slowestMs === undefined ? {} : { slowestMs }),
  };
  const to = new Map<TaskId, GangMember>();
  for (const member of [...(leading?.beatTo() ?? []), ...partners, ...trainer.lentTo]) to.set(member.taskId, member);
  to.delete(self);
  if (leading === undefined && follower.leader !== undefined) to.delete(follower.leader.taskId);
  const others = [...to.values()].map((member): Effect => ({ type: 'send', to: member, message: beat }));
  return leading === undefined ? [...follower.greet(beat), ...others] : others;
}

/** Whom we wait for in vain. A leader finds out itself about those that it leads. */
export function missed({ self, follower, leading, trainer, patience, partners }: Bonds): readonly TaskId[] {
  const donor = trainer.fetchingFrom;
  const waitedFor = new Set(leading === undefined ? partners.map((partner) => partner.taskId) : []);
  if (donor !== undefined) waitedFor.add(donor);
  const silent = [...waitedFor].filter((id) => id !== self && !follower.follows(id) && patience.isSilent(id));
  const { leader } = follower;
  return leading === undefined && leader !== undefined && follower.isSilent ? [...silent, leader.taskId] : silent;
}
