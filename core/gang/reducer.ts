/**
 * A reducer finishes the tree for each of its partitions of the vector and sends the total to every worker. A parameter
 * server is nothing but this; with no parameter servers every worker has one too. It keeps no state between steps, so
 * losing one loses nothing (P3). Of two workers each is the reducer of everything, for itself.
 *
 * Invariants
 *  RD1 Exactly one step is open at a time: a worker sends step t+1 only after it has the totals of t, all of them.
 *  RD2 A contribution is taken only from a worker of the gang, for a tree node of that worker's own cover, once a partition.
 */
import type { GangMember, TaskId } from '../run.ts';
import { cover, ownership } from '../shards.ts';
import type { Effect } from './effects.ts';
import { type Gang, isExchange, type MessageOf } from './messages.ts';
import { Partitions, type VectorShape } from './partitions.ts';
import { type Room, TreeSum } from './tree-sum.ts';
import { Holdings, plainPool } from './vector-pool.ts';

/** Contributions that may wait for `begin`: far more than any gang sends in one step. */
const mostEarly = 4096;

interface Early {
  readonly from: TaskId;
  readonly message: MessageOf<'contribution'>;
}

export class Reducer {
  private readonly me: GangMember;
  private readonly shape: VectorShape;
  private readonly holdings: Holdings;
  private gang: Gang | undefined;
  private partitions: Partitions | undefined;
  private step = 0;
  /** One for each of our partitions whose total has not been sent. */
  private readonly trees = new Map<number, TreeSum>();
  private seen = new Set<string>();
  private early: Early[] = [];

  constructor(me: GangMember, shape: VectorShape, holdings = new Holdings(plainPool)) {
    this.me = me;
    this.shape = shape;
    this.holdings = holdings;
  }

  /** The step whose contributions are being taken. */
  get openStep(): number {
    return this.step;
  }

  /** For a generation that we have yet to begin; false when there is no room. */
  keep(from: TaskId, message: MessageOf<'contribution'>): boolean {
    if (this.early.length >= mostEarly) return false;
    this.holdings.hold(message.payload);
    this.early.push({ from, message });
    return true;
  }

  /** Answers what was kept: it can be taken now. */
  begin(gang: Gang, fromStep: number): readonly Early[] {
    this.gang = gang;
    this.partitions = new Partitions(gang, this.me.taskId, this.shape);
    this.open(fromStep);
    return this.dropEarly();
  }

  /** Forget the open step: the generation is over. */
  pause(): void {
    this.gang = undefined;
    this.partitions = undefined;
    this.open(0);
    this.dropEarly();
  }

  private dropEarly(): readonly Early[] {
    const { early } = this;
    this.early = [];
    this.holdings.letGo(...early.map(({ message }) => message.payload));
    return early;
  }

  /** Effects, or the reason for which the message was refused. */
  take(from: TaskId, message: MessageOf<'contribution'>): Effect[] | { readonly refused: string } {
    const { gang, partitions } = this;
    if (gang === undefined || partitions === undefined || message.generation !== gang.generation)
      return { refused: 'not in this generation' };
    const { partition } = message;
    if (partitions.ownerOf(partition) !== this.me.taskId) return { refused: `partition ${partition} is not ours` };
    if (message.step !== this.step) return { refused: `step ${message.step} is not open (${this.step} is)` };
    const rank = gang.workers.findIndex((worker) => worker.taskId === from);
    if (rank < 0) return { refused: 'sender is not a worker of the gang' };
    const nodes = cover(ownership(this.shape.shards, gang.workers.length, rank));
    const { level, index } = message;
    if (!nodes.some((node) => node.level === level && node.index === index)) {
      return { refused: `tree node ${level}/${index} is not the sender's` };
    }
    const { from: begin, to: end } = partitions.rangeOf(partition);
    if (message.payload.length !== end - begin) return { refused: `${message.payload.length} values` };
    const key = `${partition}/${level}/${index}`;
    if (this.seen.has(key)) return { refused: 'sent twice' };
    this.seen.add(key);

    this.holdings.hold(message.payload);
    const total = this.trees.get(partition)?.add({ level, index }, message.payload, this.roomIn(gang, from));
    if (total === undefined) return [];
    this.holdings.letGo(total);
    this.trees.delete(partition);
    const { step } = this;
    if (this.trees.size === 0) this.open(step + 1);
    const { generation } = gang;
    const receivers = isExchange(gang) ? [this.me] : gang.workers;
    return receivers.map((to) => ({
      type: 'send',
      to,
      message: { type: 'reduced', generation, step, partition, payload: total },
    }));
  }

  /** In an exchange what we have computed is on its way to the other one too; else the total is wanted in its place. */
  private roomIn(gang: Gang, from: TaskId): Room {
    if (from !== this.me.taskId) return 'if need be';
    return isExchange(gang) ? 'never' : 'gladly';
  }

  private open(step: number): void {
    this.step = step;
    for (const tree of this.trees.values()) this.holdings.letGo(...tree.rest().map(({ vector }) => vector));
    this.trees.clear();
    this.seen = new Set();
    const { partitions } = this;
    if (partitions === undefined) return;
    const { shards, roundedLength } = this.shape;
    for (const partition of partitions.ownedBy(this.me.taskId)) {
      const { from, to } = partitions.rangeOf(partition);
      const rounded = Math.min(Math.max(roundedLength - from, 0), to - from);
      this.trees.set(partition, new TreeSum(shards, this.holdings.pool, rounded));
    }
  }
}
