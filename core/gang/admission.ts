/**
 * Whether a leader takes in who says hello: not who is out, by this leader's doing or by one's before it, and not who would
 * compute other bits.
 */
import type { GangMember, TaskId } from '../run.ts';
import type { MessageOf } from './messages.ts';

/** What the leader knows about it. */
export interface House {
  readonly generation: number;
  /** The members of the newest gang row. */
  readonly members: ReadonlySet<TaskId>;
  readonly departed: { has(taskId: TaskId): boolean };
  /** Who has its slot, as far as we know. */
  readonly holder: GangMember | undefined;
  readonly engine: string | undefined;
}

export type Admission =
  | { readonly kind: 'welcome' }
  | { readonly kind: 'out' }
  | { readonly kind: 'other-engine'; readonly why: string };

export function admission({ member, generation }: MessageOf<'hello'>, house: House): Admission {
  const leftOut = generation > 0 && generation < house.generation && !house.members.has(member.taskId);
  const replaced = house.holder !== undefined && isLater(house.holder, member);
  if (leftOut || replaced || house.departed.has(member.taskId)) return { kind: 'out' };
  const { engine } = house;
  if (engine === undefined || member.engine === undefined || member.engine === engine) return { kind: 'welcome' };
  const why = `it computes with "${member.engine}", the leader with "${engine}": the weights would differ`;
  return { kind: 'other-engine', why };
}

/** Which of two in one slot took it later; that one has it. */
function isLater(a: GangMember, b: GangMember): boolean {
  return (a.turn ?? 0) > (b.turn ?? 0);
}
