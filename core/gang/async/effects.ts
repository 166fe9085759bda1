/**
 * What the asynchronous protocol is told and what it asks for; the membership's events and effects are those of
 * ../effects.ts. Effects are carried out in order.
 */
import type { GangMember, TaskId } from '../../run.ts';
import type { Effect, Event } from '../effects.ts';
import type { Gang } from '../messages.ts';
import type { AsyncMessage, WireMessage } from './messages.ts';
import type { Copy } from './partition.ts';

export type AsyncEvent =
  | Exclude<Event, { type: 'message' }>
  | { readonly type: 'message'; readonly from: TaskId; readonly message: WireMessage }
  /** The contribution of a whole item: gradient, change of the moving statistics, loss sum, correct, samples. */
  | {
      readonly type: 'item-computed';
      readonly generation: number;
      readonly item: number;
      readonly contribution: Float32Array;
    }
  /** Answer to `restore-copies`: those partitions as the newest checkpoint has them, or as the seed makes them. */
  | { readonly type: 'copies-restored'; readonly generation: number; readonly copies: readonly Copy[] }
  /** The time has come for a checkpoint. */
  | { readonly type: 'checkpoint-due' }
  | { readonly type: 'epoch-evaluated'; readonly epoch: number; readonly stop: boolean };

type MembershipEffect = Exclude<
  Effect,
  { type: 'compute' | 'apply' | 'lend' | 'load' | 'restore' | 'evaluate' | 'finish' | 'checkpoint' }
>;

export type AsyncEffect =
  | MembershipEffect
  | { readonly type: 'send'; readonly to: GangMember; readonly message: AsyncMessage }
  | {
      readonly type: 'compute-item';
      readonly generation: number;
      readonly item: number;
      readonly parameters: Float32Array;
    }
  | { readonly type: 'restore-copies'; readonly generation: number; readonly partitions: readonly number[] }
  /** Work can begin: so many items are in every partition. */
  | { readonly type: 'opened'; readonly generation: number; readonly done: number }
  /** All items of the epochs up to this one are acknowledged; the copies have them, and maybe some of the next. */
  | {
      readonly type: 'evaluate-epoch';
      readonly epoch: number;
      readonly gang: Gang;
      readonly copies: readonly Copy[];
    }
  | { readonly type: 'save-copies'; readonly generation: number; readonly copies: readonly Copy[] }
  | { readonly type: 'finish-run'; readonly gang: Gang; readonly copies: readonly Copy[] }
  | { readonly type: 'diverged'; readonly item: number };

export type Refusable = AsyncEffect[] | { readonly refused: string };
