/** What a leader is told at its beginning, and the states that it goes through; leader.ts has their drawing. */
import type { GangMember, TaskId } from '../run.ts';
import type { Gang } from './messages.ts';

export interface LeaderOptions {
  readonly self: GangMember;
  readonly workersMin: number;
  readonly workersMax: number;
  readonly parameterServers: number;
  /** How long a first gathering waits for the last of them once workersMin are there. */
  readonly gatherMs: number;
}

/** Where those that train are, and where all of them can go over to another generation: `Trainer.turn`. */
export interface Turn {
  readonly step: number;
  readonly fromStep: number;
}

/** What a new leader starts from. */
export interface Inheritance {
  /** The greatest that is known to be taken. */
  readonly generation: number;
  /** Members of the last gang; those that are known to be dead need not be waited for. */
  readonly lastGang: readonly GangMember[];
  readonly awaited: readonly GangMember[];
  readonly hasState: boolean;
  readonly step: number;
  /** Of the newest checkpoint, 0 when there is none. */
  readonly savedStep: number;
}

export type LeaderState =
  | {
      readonly kind: 'gathering';
      readonly lastGang: readonly GangMember[];
      readonly awaited: Set<TaskId>;
      readonly untilMs: number;
      readonly takeover: boolean;
    }
  | { readonly kind: 'restoring' }
  | { readonly kind: 'holding' }
  /** `again`: somebody came or went meanwhile, so the number is spent. */
  | { readonly kind: 'committing'; readonly gang: Gang; again: boolean }
  | { readonly kind: 'forming'; readonly gang: Gang; readonly waiting: Set<TaskId>; readonly untilMs: number }
  | { readonly kind: 'open'; readonly gang: Gang };
