/**
 * How the flat vector of a step is cut among those that reduce it, and in which pieces it travels: a pure rule of the gang
 * and of the vector, so that everybody cuts alike. It changes no bit, for every value is added up by itself (S3).
 *
 * A parameter server gets many partitions: it sends the total of one while the next still comes in, and a network carries
 * both ways at once. Workers that reduce for themselves send and receive at any time anyhow: one partition each.
 *
 * Invariants
 *  VP1 The partitions cover the vector once, in order.
 *  VP2 Partition p belongs to reducer p mod the number of reducers: all have something to do from the first on.
 */
import type { GangMember, TaskId } from '../run.ts';
import { type Range, shardRange } from '../shards.ts';
import { type Gang, isExchange, reducersOf } from './messages.ts';

/** What a vector of a step is, before anything is known of who trains. */
export interface VectorShape {
  readonly shards: number;
  readonly vectorLength: number;
  /** The most values that a parameter server adds up at once, where it does not get too many partitions. */
  readonly partitionLength: number;
  /** Leading values that are rounded to bfloat16 at every node of the tree; 0 without compression. */
  readonly roundedLength: number;
}

/** 1 MB: large enough that a frame more costs little. */
export const partitionLength = 2 ** 18;
/** Partitions of one server. */
const most = 64;

export class Partitions {
  readonly gang: Gang;
  readonly count: number;
  private readonly reducers: readonly GangMember[];
  private readonly vectorLength: number;

  /** As this member sees it: in an exchange each reduces for itself. */
  constructor(gang: Gang, self: TaskId, shape: Pick<VectorShape, 'vectorLength' | 'partitionLength'>) {
    this.gang = gang;
    this.reducers = reducersOf(gang, self);
    this.vectorLength = shape.vectorLength;
    const each = Math.ceil(shape.vectorLength / (this.reducers.length * shape.partitionLength));
    this.count = this.reducers.length * (gang.servers.length === 0 ? 1 : Math.min(Math.max(1, each), most));
  }

  rangeOf(partition: number): Range {
    return shardRange(this.vectorLength, this.count, partition);
  }

  /** Undefined when there is no such partition. */
  ownerOf(partition: number): TaskId | undefined {
    return partition < this.count ? this.reducers[partition % this.reducers.length]?.taskId : undefined;
  }

  ownedBy(member: TaskId): readonly number[] {
    return this.all().filter((partition) => this.ownerOf(partition) === member);
  }

  /** Who is to have what is computed of it. */
  receiversOf(partition: number): readonly GangMember[] {
    if (isExchange(this.gang)) return this.gang.workers;
    return this.reducers.filter(({ taskId }) => taskId === this.ownerOf(partition));
  }

  all(): readonly number[] {
    return Array.from({ length: this.count }, (_, partition) => partition);
  }
}
