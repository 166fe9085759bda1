/**
 * A worker's items: ask for one, pull the parameters of every partition, compute, push, tell the leader.
 *
 * Invariants
 *  AW1 One item at a time. With the generation everything in flight is over: the item is handed out again.
 *  AW2 An item is reported `applied` only when every partition has acknowledged it.
 */
import type { GangMember } from '../../run.ts';
import type { Gang } from '../messages.ts';
import type { AsyncEffect, Refusable } from './effects.ts';
import type { AsyncMessage, AsyncOf, Outcome } from './messages.ts';
import { addTail, noTally, type Partitioning, rangeOf, type Tally } from './partition.ts';

type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'waiting' }
  | {
      readonly kind: 'pulling';
      readonly item: number;
      readonly parameters: Float32Array;
      readonly bases: Map<number, number>;
    }
  | { readonly kind: 'computing'; readonly item: number; readonly bases: ReadonlyMap<number, number> }
  | {
      readonly kind: 'pushing';
      readonly item: number;
      readonly sums: Tally;
      readonly missing: Set<number>;
      isStale: boolean;
    };

export class AsyncWorker {
  private readonly me: GangMember;
  private readonly cut: Partitioning;
  private gang: Gang | undefined;
  private primaries: readonly GangMember[] = [];
  private state: State = { kind: 'idle' };
  private leaving = false;

  constructor(me: GangMember, cut: Partitioning) {
    this.me = me;
    this.cut = cut;
  }

  get isBusy(): boolean {
    return this.state.kind !== 'idle' && this.state.kind !== 'waiting';
  }

  /** The item in work. */
  get item(): number | undefined {
    return 'item' in this.state ? this.state.item : undefined;
  }

  pause(): void {
    this.gang = undefined;
    this.state = { kind: 'idle' };
  }

  open(gang: Gang, primaries: readonly GangMember[]): AsyncEffect[] {
    if (!gang.workers.some((worker) => worker.taskId === this.me.taskId)) return [];
    this.gang = gang;
    this.primaries = primaries;
    if (this.leaving) return [];
    this.state = { kind: 'waiting' };
    return this.tell(gang, { type: 'want', generation: gang.generation });
  }

  /** Finish the item in work and take no other. */
  leave(): void {
    this.leaving = true;
  }

  work({ generation, item }: AsyncOf<'work'>): Refusable {
    if (this.gang === undefined || this.state.kind !== 'waiting') return { refused: `we are ${this.state.kind}` };
    const parameters = new Float32Array(this.cut.parameterLength);
    this.state = { kind: 'pulling', item, parameters, bases: new Map() };
    return this.primaries.map((to, partition) => ({
      type: 'send',
      to,
      message: { type: 'pull', generation, item, partition },
    }));
  }

  parameters({ generation, item, partition, version, payload }: AsyncOf<'parameters'>): Refusable {
    const { state } = this;
    if (state.kind !== 'pulling' || state.item !== item) return { refused: `item ${item} is not being pulled` };
    const { from, to } = rangeOf(this.cut, partition);
    if (state.bases.has(partition) || partition >= this.cut.partitions || payload.length !== to - from) {
      return { refused: `${payload.length} values for partition ${partition}` };
    }
    state.parameters.set(payload, from);
    state.bases.set(partition, version);
    if (state.bases.size < this.cut.partitions) return [];
    this.state = { kind: 'computing', item, bases: state.bases };
    return [{ type: 'compute-item', generation, item, parameters: state.parameters }];
  }

  computed(generation: number, item: number, contribution: Float32Array): AsyncEffect[] {
    const { state, gang } = this;
    if (state.kind !== 'computing' || state.item !== item || gang?.generation !== generation) return [];
    const tail = contribution.subarray(this.cut.parameterLength);
    const sums = addTail(noTally, tail);
    if (!Number.isFinite(sums[1])) return this.report(gang, item, 'diverged', noTally);
    const missing = new Set(this.primaries.keys());
    this.state = { kind: 'pushing', item, sums, missing, isStale: false };
    return this.primaries.map((to, partition) => {
      const { from, to: end } = rangeOf(this.cut, partition);
      const payload = new Float32Array(end - from + tail.length);
      payload.set(contribution.subarray(from, end));
      payload.set(tail, end - from);
      const base = state.bases.get(partition) ?? -1;
      return { type: 'send', to, message: { type: 'push', generation, item, partition, base, payload } };
    });
  }

  pushed({ item, partition, outcome }: AsyncOf<'pushed'>): Refusable {
    const { state, gang } = this;
    if (gang === undefined || state.kind !== 'pushing' || state.item !== item || !state.missing.delete(partition)) {
      return { refused: `item ${item} is not being pushed to partition ${partition}` };
    }
    if (outcome === 'stale') state.isStale = true;
    if (state.missing.size > 0) return [];
    return this.report(gang, item, state.isStale ? 'stale' : 'applied', state.sums);
  }

  private report(gang: Gang, item: number, outcome: Outcome, sums: Tally): AsyncEffect[] {
    this.state = this.leaving ? { kind: 'idle' } : { kind: 'waiting' };
    return this.tell(gang, { type: 'outcome', generation: gang.generation, item, outcome, sums });
  }

  private tell(gang: Gang, message: AsyncMessage): AsyncEffect[] {
    const to = gang.workers.find((worker) => worker.taskId === gang.leader);
    return to === undefined ? [] : [{ type: 'send', to, message }];
  }
}
