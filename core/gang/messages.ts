/**
 * What the tasks of a run say to each other. Every message that depends on the membership carries the generation; a
 * receiver refuses an older one (P5). The tensor messages carry float32 payloads, the others are small.
 *
 * Who says what:
 *   to the leader      hello, prepared, caught-up, beat, suspect, leaving
 *   from the leader    lead, prepare, begin, fetch, beat, dismiss
 *   between members    contribution, reduced, want-snapshot, snapshot, replay, fenced
 */
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

/** Sums over the epoch so far: samples, loss, correct. Part of the state of training, so a newcomer gets them too. */
export type EpochSums = readonly [number, number, number];
export const noSums: EpochSums = [0, 0, 0];

export type Message =
  /** `I lead now`, from a member that has just taken the lease. */
  | { readonly type: 'lead'; readonly member: GangMember; readonly fence: number }
  | { readonly type: 'hello'; readonly member: GangMember; readonly hasState: boolean; readonly step: number }
  | { readonly type: 'prepare'; readonly generation: number; readonly leader: TaskId }
  | { readonly type: 'prepared'; readonly generation: number; readonly step: number; readonly hasState: boolean }
  | {
      readonly type: 'begin';
      readonly gang: Gang;
      readonly fromStep: number;
      /** Members one step behind, and the member that lends them the reduced vector of that step. */
      readonly behind: readonly TaskId[];
      readonly lender: TaskId;
    }
  | { readonly type: 'fetch'; readonly generation: number; readonly donor: GangMember }
  | { readonly type: 'caught-up'; readonly step: number }
  | { readonly type: 'beat'; readonly generation: number; readonly step: number; readonly report: BeatReport }
  | { readonly type: 'leaving' }
  /** We cannot reach this member any more. */
  | { readonly type: 'suspect'; readonly peer: TaskId }
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

/** The reducers of a gang: the parameter servers, or the workers when there are none. Partition p belongs to reducer p. */
export function reducersOf(gang: Gang): readonly GangMember[] {
  return gang.servers.length > 0 ? gang.servers : gang.workers;
}

export function membersOf(gang: Gang): readonly GangMember[] {
  return [...gang.workers, ...gang.servers];
}
