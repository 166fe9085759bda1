/**
 * What the protocol is told and what it asks for. The machines in this folder take an event and return effects, and do
 * nothing else: the training task carries the effects out on sockets, the engine and the table; the simulator does it in
 * virtual time. Effects are carried out in order, and `apply`, `load` and `lend` before the next event is handled.
 */
import type { EventName } from '../events.ts';
import type { Failure } from '../failure.ts';
import type { GangMember, GangRow, LeaderRow, TaskId } from '../run.ts';
import type { Range, TreeNode } from '../shards.ts';
import type { EpochSums, Gang, Message } from './messages.ts';

export interface NodeVector {
  readonly node: TreeNode;
  readonly vector: Float32Array;
}

export type Event =
  | { readonly type: 'message'; readonly from: TaskId; readonly message: Message }
  /** A connection to or from the peer broke or could not be made. `refused`: nothing listens there any more. */
  | { readonly type: 'link-lost'; readonly peer: TaskId; readonly refused: boolean }
  /** Part of something long has come from the peer: it lives. */
  | { readonly type: 'heard'; readonly peer: TaskId }
  /** The gradient of the shards asked for; `parts` is the fewest tree nodes that cover them. */
  | {
      readonly type: 'computed';
      readonly generation: number;
      readonly step: number;
      readonly parts: readonly NodeVector[];
    }
  | { readonly type: 'evaluated'; readonly step: number; readonly stop: boolean }
  /** Answers to `seek-leader`: we hold the lease now, somebody else does, or there is nothing left to lead. */
  | {
      readonly type: 'lease-held';
      readonly row: LeaderRow;
      readonly gang: GangRow | undefined;
      /** Of the newest checkpoint; 0 when there is none. */
      readonly savedStep: number;
    }
  | { readonly type: 'lease-other'; readonly row: LeaderRow }
  | { readonly type: 'training-over' }
  /** Answers to `commit-generation`; refused: the number is taken, the lease is still ours. */
  | { readonly type: 'generation-committed'; readonly generation: number }
  | { readonly type: 'generation-refused'; readonly current: number }
  /** Answer to `restore`: the state at this step is in the engine; 0 is the seed's initial state. */
  | { readonly type: 'restored'; readonly step: number }
  | { readonly type: 'tick' }
  /** SIGTERM: finish the step, hand over, leave. */
  | { readonly type: 'interrupt' };

export type Effect =
  | { readonly type: 'send'; readonly to: GangMember; readonly message: Message }
  | { readonly type: 'compute'; readonly generation: number; readonly step: number; readonly shards: Range }
  /** Optimizer update of `step` with the reduced contribution; the vector may be kept by the protocol as well. */
  | { readonly type: 'apply'; readonly step: number; readonly reduced: Float32Array }
  /** Send our state as it is now, after `step` updates. */
  | { readonly type: 'lend'; readonly to: GangMember; readonly step: number }
  | {
      readonly type: 'load';
      readonly step: number;
      readonly sums: EpochSums;
      readonly lastSums: EpochSums;
      readonly parameterLength: number;
      readonly payload: Float32Array;
    }
  /**
   * Read the lease; take it when it is free, when its holder is `gone`, or when it has not been renewed for its duration.
   * `blank`: we have no state, so those that have one go first.
   */
  | { readonly type: 'seek-leader'; readonly gone?: TaskId; readonly blank: boolean }
  /** Write the gang row on condition that its generation is smaller, and raise the fences of the leader's rows. */
  | { readonly type: 'commit-generation'; readonly gang: Gang; readonly fromStep: number; readonly why: string }
  | { readonly type: 'restore' }
  | { readonly type: 'evaluate'; readonly epoch: number; readonly step: number }
  /** Training is over: last checkpoint, model, outcome, signal; then everybody is dismissed. */
  | { readonly type: 'finish'; readonly step: number; readonly gang: Gang }
  /** A checkpoint of the state after `step` updates, beside training. */
  | { readonly type: 'checkpoint'; readonly step: number; readonly generation: number }
  /** The peer is out: close its links. */
  | { readonly type: 'drop'; readonly peer: GangMember; readonly why: string }
  /** A generation without the peer is committed: free its slot and tell the control plane. */
  | { readonly type: 'release'; readonly peer: GangMember; readonly why: string }
  | { readonly type: 'record'; readonly event: EventName; readonly detail: Readonly<Record<string, unknown>> }
  /** Something for the control plane to look at. */
  | { readonly type: 'news'; readonly why: string }
  /** `save`: the last one out takes a checkpoint first. */
  | {
      readonly type: 'exit';
      readonly why: 'left' | 'fenced' | 'dismissed' | 'failed';
      readonly save: boolean;
      readonly failure?: Failure;
    };
