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
  readonly generation: number;
  /** With whom we exchange tensors, now or soon. */
  readonly partners: readonly GangMember[];
  readonly report: () => BeatReport;
}

/** Everything that is due with a beat: signs to everybody that needs one, and complaints about whom we miss. */
export function signs(bonds: Bonds): Effect[] {
  const { follower, generation } = bonds;
  const complaints = missed(bonds).flatMap((peer) =>
    follower.tell({ type: 'suspect', peer, why: 'silent', generation }),
  );
  return [...beats(bonds), ...complaints];
}

/** To partners that we have not had before: the connections are made while there is time. */
export function greetings(bonds: Bonds, known: readonly GangMember[]): Effect[] {
  const strangers = bonds.partners.filter(({ taskId }) => !known.some((one) => one.taskId === taskId));
  if (strangers.length === 0) return [];
  const message = beatOf(bonds);
  return strangers.map((to): Effect => ({ type: 'send', to, message }));
}

function beatOf({ leading, trainer, patience, generation, report }: Bonds): Message {
  const { slowestMs } = patience;
  return {
    type: 'beat',
    generation,
    step: trainer.step,
    report: report(),
    leads: leading !== undefined,
    ...(slowestMs === undefined ? {} : { slowestMs }),
  };
}

/** The leader, those we lead, whom we work with, whom we lend to. */
function beats(bonds: Bonds): Effect[] {
  const { self, follower, leading, trainer, partners } = bonds;
  const beat = beatOf(bonds);
  const to = new Map<TaskId, GangMember>();
  for (const member of [...(leading?.beatTo() ?? []), ...partners, ...trainer.lentTo]) to.set(member.taskId, member);
  to.delete(self);
  if (leading === undefined && follower.leader !== undefined) to.delete(follower.leader.taskId);
  const others = [...to.values()].map((member): Effect => ({ type: 'send', to: member, message: beat }));
  return leading === undefined ? [...follower.greet(beat), ...others] : others;
}

/** Whom we wait for in vain. A leader finds out itself about those that it leads. */
function missed({ self, follower, leading, trainer, patience, partners }: Bonds): readonly TaskId[] {
  const donor = trainer.fetchingFrom;
  const waitedFor = new Set(leading === undefined ? partners.map((partner) => partner.taskId) : []);
  if (donor !== undefined) waitedFor.add(donor);
  const silent = [...waitedFor].filter((id) => id !== self && !follower.follows(id) && patience.isSilent(id));
  const { leader } = follower;
  return leading === undefined && leader !== undefined && follower.isSilent ? [...silent, leader.taskId] : silent;
}
