/**
 * What the tasks of a run say to each other. Every message that depends on the membership carries the generation; a
 * receiver refuses an older one (P5). The tensor messages carry float32 payloads, the others are small.
 *
 * Who says what:
 *   to the leader      hello, prepared, caught-up, beat, suspect, leaving
 *   from the leader    lead, welcome, prepare, begin, fetch, beat, dismiss, fenced
 *   between members    contribution, reduced, want-snapshot, snapshot, replay, beat
 */
import { rollColumns } from '../data/roll-call.ts';
import type { GangMember, TaskId } from '../run.ts';

/** Who is in force: workers in rank order; parameter servers in partition order, none when the workers reduce. */
export interface Gang {
  readonly generation: number;
  readonly leader: TaskId;
  readonly workers: readonly GangMember[];
  readonly servers: readonly GangMember[];
}

/** What a member tells about itself with every heartbeat. */
export interface BeatReport {
  readonly state: 'training' | 'catching-up' | 'evaluating' | 'idle';
  readonly memoryMiB: number;
  readonly computeShare: number;
  readonly wireShare: number;
  readonly waitShare: number;
}

/**
 * Sums over the epoch so far: samples, loss, correct, and the roll call (core/data/roll-call.ts). Part of the state of
 * training, so a newcomer gets them too.
 */
export type EpochSums = readonly [samples: number, loss: number, correct: number, ...roll: number[]];
export const epochSumsLength = 3 + rollColumns;
export const noSums: EpochSums = [0, 0, 0, ...Array.from({ length: rollColumns }, () => 0)];

export type Message =
  /** `I lead now`, from a member that has just taken the lease. */
  | { readonly type: 'lead'; readonly member: GangMember; readonly fence: number }
  /** The leader knows us now; it answers every hello, for the first may have come before it was leading. */
  | { readonly type: 'welcome'; readonly generation: number }
  | {
      readonly type: 'hello';
      readonly member: GangMember;
      readonly hasState: boolean;
      readonly step: number;
      /** The newest that the member was prepared for, 0 for a newcomer: who was left out of a later one is out. */
      readonly generation: number;
    }
  | {
      readonly type: 'prepare';
      readonly generation: number;
      readonly leader: TaskId;
      /**
       * Absent: stop at once, somebody is lost. Else nobody stops: who trains goes on, and who comes in says `prepared` when
       * it is at this step.
       */
      readonly level?: number;
    }
  | {
      readonly type: 'prepared';
      readonly generation: number;
      readonly step: number;
      readonly hasState: boolean;
      /** It has the total that led to its step, for those that are one step behind. */
      readonly lends: boolean;
    }
  | {
      readonly type: 'begin';
      readonly gang: Gang;
      /** Ahead of who was not stopped: it goes on to this step in the generation that it is in. */
      readonly fromStep: number;
      /** Members that are behind, and the member that lends them the total of the step before the first. */
      readonly behind: readonly TaskId[];
      readonly lender?: TaskId;
    }
  | { readonly type: 'fetch'; readonly generation: number; readonly donor: GangMember }
  /** We have the state of this donor. */
  | { readonly type: 'caught-up'; readonly step: number; readonly donor: TaskId }
  | {
      readonly type: 'beat';
      readonly generation: number;
      readonly step: number;
      readonly report: BeatReport;
      /** The longest that the sender has lately gone without looking up; absent until it has done a step (PT3). */
      readonly slowestMs?: number;
      /** The sender leads. One that led before may still be heard, and leads nobody. */
      readonly leads: boolean;
    }
  | { readonly type: 'leaving' }
  /**
   * We do not hear this member any more. `refused`: nothing listens at its address; `broken`: what was on the way to or
   * from it is lost; `silent`: it says nothing, which is repeated with every beat as long as it is true.
   */
  | {
      readonly type: 'suspect';
      readonly peer: TaskId;
      readonly why: 'refused' | 'broken' | 'silent';
      readonly generation: number;
    }
  | { readonly type: 'dismiss'; readonly generation: number }
  | { readonly type: 'fenced'; readonly generation: number }
  | { readonly type: 'want-snapshot'; readonly member: GangMember }
  | {
      readonly type: 'snapshot';
      readonly step: number;
      readonly sums: EpochSums;
      readonly lastSums: EpochSums;
      readonly parameterLength: number;
      /** parameters, then optimizer slots. */
      readonly payload: Float32Array;
    }
  | { readonly type: 'replay'; readonly step: number; readonly payload: Float32Array }
  | {
      readonly type: 'contribution';
      readonly generation: number;
      readonly step: number;
      readonly partition: number;
      readonly level: number;
      readonly index: number;
      readonly payload: Float32Array;
    }
  | {
      readonly type: 'reduced';
      readonly generation: number;
      readonly step: number;
      readonly partition: number;
      readonly payload: Float32Array;
    };

export type MessageType = Message['type'];
export type MessageOf<T extends MessageType> = Extract<Message, { type: T }>;

/**
 * Two workers that reduce for themselves send each other everything, and each adds up the whole: one hop instead of two,
 * for the same bytes. With more of them that would be more bytes.
 */
export function isExchange(gang: Gang): boolean {
  return gang.servers.length === 0 && gang.workers.length <= 2;
}

/**
 * Who finishes the sums for this member: the parameter servers, or the workers when there are none; in an exchange it
 * does so itself. Partition p belongs to reducer p.
 */
export function reducersOf(gang: Gang, self: TaskId): readonly GangMember[] {
  if (gang.servers.length > 0) return gang.servers;
  return isExchange(gang) ? gang.workers.filter(({ taskId }) => taskId === self) : gang.workers;
}

/** Whom a member exchanges tensors with: workers with reducers. What goes wrong between them, only they can see. */
export function partnersOf(gang: Gang, self: TaskId): readonly GangMember[] {
  const reducers = gang.servers.length > 0 ? gang.servers : gang.workers;
  const works = gang.workers.some((worker) => worker.taskId === self);
  const reduces = reducers.some((reducer) => reducer.taskId === self);
  const partners = new Map(
    [...(works ? reducers : []), ...(reduces ? gang.workers : [])].map((one) => [one.taskId, one]),
  );
  partners.delete(self);
  return [...partners.values()];
}

export function membersOf(gang: Gang): readonly GangMember[] {
  return [...gang.workers, ...gang.servers];
}
