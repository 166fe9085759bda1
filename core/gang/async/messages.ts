/**
 * What the tasks of a run in asynchronous mode say to each other, besides what forms the gang (../messages.ts). Every one
 * of them carries the generation, and is refused in any other (P5).
 *
 *   to the leader      holdings, held, want, outcome, collected
 *   from the leader    place, open, work, collect
 *   to a primary       pull, push, replicated
 *   from a primary     parameters, pushed, replicate
 *   to a new holder    state
 */
import type { TaskId } from '../../run.ts';
import type { Message } from '../messages.ts';
import type { Mark, Tally } from './partition.ts';

/** Who holds a partition in a generation, primary first, and how the holders come to have it. */
export interface Placing {
  readonly partition: number;
  readonly holders: readonly [TaskId, TaskId];
  /** Who sends its copy to those in `needs`; absent: nobody has one, the leader reads it from the storage. */
  readonly source?: TaskId;
  readonly needs: readonly TaskId[];
}

export type Outcome = 'applied' | 'stale' | 'diverged';

export type AsyncMessage =
  | {
      readonly type: 'holdings';
      readonly generation: number;
      /** The newest generation that we know to have opened. */
      readonly opened: number;
      readonly marks: readonly Mark[];
    }
  | { readonly type: 'held'; readonly generation: number; readonly partition: number }
  /** We have nothing to do. */
  | { readonly type: 'want'; readonly generation: number }
  /** What became of an item; and we have nothing to do. */
  | {
      readonly type: 'outcome';
      readonly generation: number;
      readonly item: number;
      readonly outcome: Outcome;
      readonly sums: Tally;
    }
  | {
      readonly type: 'place';
      readonly generation: number;
      /** The newest generation that any of the gang knows to have opened. */
      readonly opened: number;
      readonly table: readonly Placing[];
    }
  | { readonly type: 'open'; readonly generation: number }
  | { readonly type: 'work'; readonly generation: number; readonly item: number }
  | { readonly type: 'collect'; readonly generation: number; readonly id: number; readonly partition: number }
  | { readonly type: 'pull'; readonly generation: number; readonly item: number; readonly partition: number }
  | {
      readonly type: 'pushed';
      readonly generation: number;
      readonly item: number;
      readonly partition: number;
      readonly outcome: 'applied' | 'stale';
    }
  | {
      readonly type: 'replicated';
      readonly generation: number;
      readonly partition: number;
      readonly version: number;
    }
  | ParcelMessage;

/** Those that carry float32 values. */
export type ParcelMessage =
  | { readonly type: 'state'; readonly generation: number; readonly mark: Mark; readonly payload: Float32Array }
  | {
      readonly type: 'collected';
      readonly generation: number;
      readonly id: number;
      readonly mark: Mark;
      readonly payload: Float32Array;
    }
  | {
      readonly type: 'parameters';
      readonly generation: number;
      readonly item: number;
      readonly partition: number;
      readonly version: number;
      readonly payload: Float32Array;
    }
  | {
      readonly type: 'push';
      readonly generation: number;
      readonly item: number;
      readonly partition: number;
      /** The version of the parameters it was computed on. */
      readonly base: number;
      /** The contribution of the partition's range, then the tail of the whole. */
      readonly payload: Float32Array;
    }
  | {
      readonly type: 'replicate';
      readonly generation: number;
      readonly item: number;
      readonly partition: number;
      /** The version that it makes; the backup has the one before. */
      readonly version: number;
      readonly payload: Float32Array;
    };

export type AsyncType = AsyncMessage['type'];
export type AsyncOf<T extends AsyncType> = Extract<AsyncMessage, { type: T }>;

const parcels: { readonly [T in ParcelMessage['type']]: true } = {
  state: true,
  collected: true,
  parameters: true,
  push: true,
  replicate: true,
};
const others: { readonly [T in Exclude<AsyncType, ParcelMessage['type']>]: true } = {
  holdings: true,
  held: true,
  want: true,
  outcome: true,
  place: true,
  open: true,
  work: true,
  collect: true,
  pull: true,
  pushed: true,
  replicated: true,
};

const parcelTypes: ReadonlySet<string> = new Set(Object.keys(parcels));
const smallTypes: ReadonlySet<string> = new Set(Object.keys(others));

/** Whatever travels between two tasks of a run, in either mode. */
export type WireMessage = Message | AsyncMessage;

export function isAsync(message: WireMessage): message is AsyncMessage {
  return parcelTypes.has(message.type) || smallTypes.has(message.type);
}

export function isParcel(message: WireMessage): message is ParcelMessage {
  return parcelTypes.has(message.type);
}
