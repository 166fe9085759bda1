/**
 * A worker's steps: compute the shards we own, send the subtree sums to the reducers, take the totals, update, go on.
 * Also lends our state to newcomers. Who is in the gang is the leader's business (leader.ts); finding a leader and
 * refusing old generations is the member's (member.ts).
 *
 * Invariants
 *  TR1 `step` counts updates applied; it never goes back, but by `load` of a snapshot from the donor we were told to ask.
 *  TR2 An update is applied only from a total over all shards of that step, so the state after `step` updates is the same
 *      bits on every worker, whoever computed what (P2).
 *  TR3 The reduced vector of the last applied step is kept until the next: a member one step behind is brought up with it.
 *  TR4 Workers of a gang are never more than one step apart.
 *  TR5 A reducer's total is put where our contribution to it was: who sends the one has received the other, whole.
 *  TR6 Who was told to stop stays at the step that it says it is at, until a generation begins, with it or without.
 */
import type { GangMember, TaskId } from '../run.ts';
import { ownership } from '../shards.ts';
import type { Effect, NodeVector } from './effects.ts';
import type { Turn } from './leader-state.ts';
import type { Gang, MessageOf } from './messages.ts';
import { Partitions, type VectorShape } from './partitions.ts';
import { Holdings, isAt, plainPool } from './vector-pool.ts';

export interface TrainingShape extends VectorShape {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  /** Checkpoint after every so many steps, besides the epoch ends; 0 for no checkpoints at all. */
  readonly checkpointEvery: number;
}

/** Senders of updates that may be kept: a lender, a source, and one or two from before. */
const mostEarly = 4;

type Phase = 'idle' | 'prepared' | 'aligning' | 'computing' | 'waiting' | 'evaluating' | 'ended';

export class Trainer {
  step = 0;
  /** False until we have begun a generation or loaded a state: a fresh task has only the seed's. */
  hasState = false;
  phase: Phase = 'idle';
  private readonly me: GangMember;
  private readonly shape: TrainingShape;
  private readonly holdings: Holdings;
  private gang: Gang | undefined;
  private partitions: Partitions | undefined;
  private fromStep = 0;
  /** What we have computed of the step in flight. What comes of its total takes the place of the first (TR5). */
  private parts: readonly NodeVector[] = [];
  private missing = new Set<number>();
  private lastReduced: { step: number; vector: Float32Array } | undefined;
  private readonly borrowers = new Map<TaskId, GangMember>();
  /** Whose snapshot we wait for; then, who sends us the updates after it. */
  private donor: TaskId | undefined;
  private source: TaskId | undefined;
  /** Who brings those up that are one step behind. */
  private lender: TaskId | undefined;
  /** The newest update of each sender that does not fit yet: the lender's may come before `begin`, or before the source's. */
  private readonly early = new Map<TaskId, { readonly step: number; readonly vector: Float32Array }>();
  /** Where the generation that we are in ends for us. */
  private until = Number.POSITIVE_INFINITY;
  private evaluated = -1;
  private evaluating = -1;
  private stopAt: number;

  constructor(me: GangMember, shape: TrainingShape, holdings = new Holdings(plainPool)) {
    this.me = me;
    this.shape = shape;
    this.holdings = holdings;
    this.stopAt = shape.totalSteps;
  }

  /** Whether `lastReduced` is what led to our step. */
  get lends(): boolean {
    return this.lastReduced !== undefined && this.lastReduced.step === this.step - 1;
  }

  /** Whom we wait for to send its state, or the updates after it. */
  get fetchingFrom(): TaskId | undefined {
    return this.donor ?? this.source;
  }

  fetch(donor: TaskId): void {
    this.donor = donor;
  }

  /** Who gets every update of ours. */
  get lentTo(): readonly GangMember[] {
    return [...this.borrowers.values()];
  }

  /**
   * Where all that train with us can go over to another generation: none of them is past it, because they had nothing of
   * ours for it yet. A step ahead, so that they hear of it in time; no end of an epoch lies between. Undefined when we do
   * not train.
   */
  get turn(): Turn | undefined {
    const { step, phase, until } = this;
    if (this.gang === undefined || Number.isFinite(until)) return undefined;
    if (phase === 'evaluating') return { step, fromStep: step };
    if (phase !== 'computing' && phase !== 'waiting') return undefined;
    const { stepsPerEpoch } = this.shape;
    return { step, fromStep: Math.min(step + 2, (Math.floor(step / stepsPerEpoch) + 1) * stepsPerEpoch) };
  }

  /** Train no further than this in the generation that we are in, or that begins. */
  goOnTo(step: number): void {
    this.until = step;
  }

  /** A new generation is being formed: drop the step in flight. What it had computed is computed again, to the same bits. */
  prepare(): void {
    this.gang = undefined;
    this.until = this.step;
    if (this.phase !== 'idle') this.phase = 'prepared';
    this.letPartsGo();
  }

  begin(message: MessageOf<'begin'>): Effect[] {
    const { gang, fromStep } = message;
    this.letPartsGo();
    this.gang = gang;
    this.fromStep = fromStep;
    this.hasState = true;
    this.donor = undefined;
    this.lender = message.lender;
    const effects: Effect[] = [];
    if (message.lender === this.me.taskId && this.lastReduced !== undefined && this.lends) {
      const { step, vector } = this.lastReduced;
      for (const to of gang.workers.filter((worker) => message.behind.includes(worker.taskId))) {
        // A borrower has had every update already, in order, on the same link.
        if (this.borrowers.has(to.taskId)) continue;
        effects.push({ type: 'send', to, message: { type: 'replay', step, payload: vector } });
      }
    }
    for (const worker of gang.workers) this.borrowers.delete(worker.taskId);
    this.phase = 'aligning';
    effects.push(...this.catchUp(), ...this.align());
    return effects;
  }

  /** A newcomer asks for our state; from now on it gets every update as well. */
  lend(to: GangMember): Effect[] {
    this.borrowers.set(to.taskId, to);
    return [{ type: 'lend', to, step: this.step }];
  }

  forget(peer: TaskId): void {
    this.borrowers.delete(peer);
  }

  /** Effects, or the reason for which the snapshot was refused. */
  load(from: TaskId, message: MessageOf<'snapshot'>): Effect[] | { readonly refused: string } {
    if (this.donor !== from) return { refused: 'a snapshot that was not asked for' };
    const { step, sums, lastSums, parameterLength, payload } = message;
    // What came after it has been made already, and would be missing.
    if (from === this.source && step < this.step)
      return { refused: `step ${step}, after an update of step ${this.step - 1}` };
    this.donor = undefined;
    this.source = from;
    this.step = step;
    this.until = Number.POSITIVE_INFINITY;
    this.hasState = true;
    if (this.lastReduced !== undefined) this.holdings.letGo(this.lastReduced.vector);
    this.lastReduced = undefined;
    return [{ type: 'load', step, sums, lastSums, parameterLength, payload }, ...this.align()];
  }

  /** The state at this step was restored from a checkpoint (or is the seed's, at step 0). */
  restored(step: number): void {
    this.step = step;
    this.hasState = true;
  }

  /** An update that the others have made already: from our source in order, from the lender the one before the first. */
  replay(from: TaskId, { step, payload }: MessageOf<'replay'>): Effect[] | { readonly refused: string } {
    if (payload.length !== this.shape.vectorLength) return { refused: `${payload.length} values` };
    if (!this.behind) return { refused: 'in step with the gang' };
    const asked = from === this.source || from === this.lender || this.gang === undefined;
    if (!asked || (this.early.size >= mostEarly && !this.early.has(from))) return { refused: 'not asked for' };
    // The step after the one that we are at: the others have begun, and without us (TR6).
    const goesOn = from === this.source && this.gang === undefined && step > this.step;
    if (goesOn) this.until = Number.POSITIVE_INFINITY;
    const made = goesOn ? this.catchUp() : [];
    this.holdings.hold(payload);
    this.dropEarly(from);
    this.early.set(from, { step, vector: payload });
    // Who the lender is we know from `begin`, which comes from somebody else and may be later.
    return from === this.source || this.gang !== undefined ? [...made, ...this.catchUp(), ...this.align()] : [];
  }

  computed(generation: number, step: number, parts: readonly NodeVector[]): Effect[] {
    const { gang } = this;
    if (gang === undefined || gang.generation !== generation || this.phase !== 'computing' || step !== this.step) {
      this.holdings.letGo(...parts.map(({ vector }) => vector));
      return [];
    }
    this.phase = 'waiting';
    this.parts = parts;
    const partitions = this.partitionsOf(gang);
    return partitions.all().flatMap((partition) => {
      const { from, to: end } = partitions.rangeOf(partition);
      return partitions.receiversOf(partition).flatMap((to) =>
        parts.map(({ node: { level, index }, vector }): Effect => {
          // Our own reducer adds into what it is given: nobody else gets that part of the vector.
          const payload = vector.subarray(from, end);
          return {
            type: 'send',
            to,
            message: { type: 'contribution', generation, step, partition, level, index, payload },
          };
        }),
      );
    });
  }

  /** Effects, or the reason for which the total was refused. */
  reduced(from: TaskId, message: MessageOf<'reduced'>): Effect[] | { readonly refused: string } {
    const why = this.refuses(from, message, message.payload.length);
    const { gang } = this;
    if (why !== undefined || gang === undefined) return { refused: why ?? 'no gang' };
    const { payload, partition } = message;
    const { from: at } = this.partitionsOf(gang).rangeOf(partition);
    const place = this.parts[0]?.vector;
    const whole = payload.length === this.shape.vectorLength;
    this.missing.delete(partition);
    if (!whole && place !== undefined && !isAt(payload, place, at)) place.set(payload, at);
    if (this.missing.size > 0) return [];
    const total = whole || place === undefined ? payload : place;
    this.holdings.hold(total);
    this.letPartsGo();
    return [...this.apply(total), ...this.next()];
  }

  /** Where a total that is about to come may be received at once; undefined when it would be refused. */
  placeFor(from: TaskId, message: Omit<MessageOf<'reduced'>, 'payload'>, length: number): Float32Array | undefined {
    const { gang } = this;
    if (gang === undefined || this.refuses(from, message, length) !== undefined) return undefined;
    const range = this.partitionsOf(gang).rangeOf(message.partition);
    return this.parts[0]?.vector.subarray(range.from, range.to);
  }

  private refuses(from: TaskId, message: Omit<MessageOf<'reduced'>, 'payload'>, length: number): string | undefined {
    const { gang } = this;
    if (gang === undefined || message.generation !== gang.generation) return 'not in this generation';
    const { partition, step } = message;
    const partitions = this.partitionsOf(gang);
    if (partitions.ownerOf(partition) !== from) return `partition ${partition} is not the sender's`;
    if (this.phase !== 'waiting' || step !== this.step) return `step ${step} is not open`;
    if (!this.missing.has(partition)) return 'sent twice';
    const { from: begin, to: end } = partitions.rangeOf(partition);
    return length === end - begin ? undefined : `${length} values`;
  }

  /** Asked for with every message, and the same as long as the gang is. */
  private partitionsOf(gang: Gang): Partitions {
    if (this.partitions?.gang !== gang) this.partitions = new Partitions(gang, this.me.taskId, this.shape);
    return this.partitions;
  }

  private letPartsGo(): void {
    this.holdings.letGo(...this.parts.map(({ vector }) => vector));
    this.parts = [];
  }

  evaluatedAt(step: number, stop: boolean): Effect[] {
    if (step !== this.evaluating) return [];
    this.evaluating = -1;
    this.evaluated = step;
    if (stop) this.stopAt = Math.min(this.stopAt, step);
    return this.phase === 'evaluating' && this.gang !== undefined ? this.next() : [];
  }

  /** Takes the vector over. */
  private apply(vector: Float32Array): Effect[] {
    const { step } = this;
    const effects: Effect[] = [{ type: 'apply', step, reduced: vector }];
    if (this.lastReduced !== undefined) this.holdings.letGo(this.lastReduced.vector);
    this.lastReduced = { step, vector };
    for (const to of this.borrowers.values()) {
      effects.push({ type: 'send', to, message: { type: 'replay', step, payload: vector } });
    }
    this.step = step + 1;
    return effects;
  }

  /** In step with the gang, updates come from its reducers alone. */
  private get behind(): boolean {
    return this.phase === 'idle' || this.phase === 'prepared' || this.phase === 'aligning';
  }

  /** Makes the updates that fit. Two may have sent the same one: the second no longer does. */
  private catchUp(): Effect[] {
    const effects: Effect[] = [];
    for (;;) {
      for (const [from, { step }] of this.early) if (step < this.step) this.dropEarly(from);
      const next = [...this.early.values()].find(({ step }) => step === this.step);
      const limit = this.gang === undefined ? this.until : this.fromStep;
      if (next === undefined || !this.hasState || this.step >= limit) return effects;
      this.holdings.hold(next.vector);
      effects.push(...this.apply(next.vector));
    }
  }

  private dropEarly(from: TaskId): void {
    const known = this.early.get(from);
    if (known !== undefined) this.holdings.letGo(known.vector);
    this.early.delete(from);
  }

  /** At the step the generation begins with we are level with the others. */
  private align(): Effect[] {
    if (this.phase !== 'aligning' || this.gang === undefined || this.step < this.fromStep) return [];
    for (const from of [...this.early.keys()]) this.dropEarly(from);
    this.source = undefined;
    return this.next();
  }

  /** What to do with the state after `step` updates: evaluate it, end, or compute the next step. */
  private next(): Effect[] {
    const gang = this.gang;
    if (gang === undefined) return [];
    const { step, shape } = this;
    const leads = gang.leader === this.me.taskId;
    if (step >= this.until) {
      this.phase = 'prepared';
      return [];
    }
    const effects: Effect[] = [];
    const boundary = step > 0 && step % shape.stepsPerEpoch === 0;
    if (leads && boundary && this.evaluated !== step) {
      this.phase = 'evaluating';
      if (this.evaluating === step) return [];
      this.evaluating = step;
      return [{ type: 'evaluate', epoch: step / shape.stepsPerEpoch, step }];
    }
    if (step >= this.stopAt) {
      this.phase = 'ended';
      return leads ? [{ type: 'finish', step, gang }] : [];
    }
    if (leads && step > 0 && shape.checkpointEvery > 0 && (boundary || step % shape.checkpointEvery === 0)) {
      effects.push({ type: 'checkpoint', step, generation: gang.generation });
    }
    this.phase = 'computing';
    this.missing = new Set(this.partitionsOf(gang).all());
    const rank = gang.workers.findIndex((worker) => worker.taskId === this.me.taskId);
    const shards = ownership(shape.shards, gang.workers.length, rank);
    effects.push({ type: 'compute', generation: gang.generation, step, shards });
    return effects;
  }
}
