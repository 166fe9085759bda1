/**
 * The leader's part in asynchronous mode, once a generation has begun: place the partitions, hand out the items, gather
 * the partitions for evaluations, checkpoints and the end. Who is in the gang is the leader's of ../leader.ts.
 *
 *   asking --> placing --> open
 *     every member says     every holder has     items are handed out
 *     what it holds         its copy, stamped    and reported
 *
 * Invariants
 *  SW1 Nothing is handed out before every partition has two holders with equal copies.
 *  SW2 What is known here follows from what the holders say: losing the leader loses nothing.
 *  SW3 One gathering at a time; an epoch is evaluated when all its items are done, and the run ends when all items are
 *      done and the last epoch is evaluated, or when an evaluation says stop.
 */
import type { GangMember, TaskId } from '../../run.ts';
import { type Gang, membersOf } from '../messages.ts';
import { inAll } from './applied.ts';
import type { AsyncEffect, Refusable } from './effects.ts';
import { Ledger } from './ledger.ts';
import type { AsyncMessage, AsyncOf } from './messages.ts';
import { type Copy, copyLengthOf, type Mark, noTally, type Partitioning, type Tally } from './partition.ts';
import { place } from './placement.ts';

export interface StewardShape {
  readonly partitioning: Partitioning;
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  readonly maxStaleness: number;
  /** Gather for a checkpoint after every so many items, besides the epoch ends; 0: only there and when told. */
  readonly checkpointEvery: number;
}

type Purpose = { readonly kind: 'epoch'; readonly epoch: number } | { readonly kind: 'checkpoint' | 'finish' };

type State =
  | { readonly kind: 'paused' }
  | { readonly kind: 'asking'; readonly reports: Map<TaskId, AsyncOf<'holdings'>> }
  | { readonly kind: 'placing'; readonly marks: Map<number, Mark>; readonly waiting: Set<string> }
  | { readonly kind: 'open'; readonly ledger: Ledger };

export class Steward {
  state: State = { kind: 'paused' };
  /** Sums over the newest items, for the progress row: smoothed, and soft. */
  recent: Tally = noTally;
  private readonly shape: StewardShape;
  private gang: Gang | undefined;
  private primaries: readonly GangMember[] = [];
  private waiting: TaskId[] = [];
  private gathering: { readonly id: number; readonly purpose: Purpose; readonly copies: Map<number, Copy> } | undefined;
  private gatherings = 0;
  private usualMs: number | undefined;
  /** Epochs up to this one are evaluated; -1: not known, whoever led before may have. */
  private evaluated = -1;
  private evaluating = false;
  private isSaveWanted = false;
  private isStopping = false;
  private isFinished = false;
  private savedAt = 0;

  constructor(shape: StewardShape) {
    this.shape = shape;
  }

  /** Items in every partition; undefined while it is being found out. */
  get done(): number | undefined {
    return this.state.kind === 'open' ? this.state.ledger.done : undefined;
  }

  pause(): void {
    if (this.state.kind === 'open') this.usualMs = this.state.ledger.usual;
    this.state = { kind: 'paused' };
    this.gang = undefined;
    this.waiting = [];
    this.gathering = undefined;
  }

  begin(gang: Gang): void {
    this.pause();
    this.gang = gang;
    // An end that another generation overtook is written again.
    this.isFinished = false;
    this.state = { kind: 'asking', reports: new Map() };
  }

  holdings(from: TaskId, message: AsyncOf<'holdings'>): Refusable {
    const { gang, state } = this;
    if (gang === undefined || state.kind !== 'asking') return { refused: 'nobody is asked' };
    state.reports.set(from, message);
    if (membersOf(gang).some((member) => !state.reports.has(member.taskId))) return [];
    const { partitions } = this.shape.partitioning;
    const placement = place(gang, partitions, state.reports);
    // One member alone cannot keep two copies: the next one to come begins a new generation.
    if (placement === undefined) return [{ type: 'news', why: 'partitions wait for a second member' }];
    const { table, opened } = placement;
    const memberOf = (taskId: TaskId) => membersOf(gang).find((member) => member.taskId === taskId) as GangMember;
    this.primaries = table.map(({ holders: [primary] }) => memberOf(primary));
    const waiting = new Set(table.flatMap(({ partition, holders }) => holders.map((to) => `${partition} ${to}`)));
    this.state = { kind: 'placing', marks: new Map(placement.marks), waiting };
    const { generation } = gang;
    const lost = table.filter(({ source }) => source === undefined).map(({ partition }) => partition);
    return [
      ...membersOf(gang).map((to) => send(to, { type: 'place', generation, opened, table })),
      ...(lost.length > 0 ? [{ type: 'restore-copies', generation, partitions: lost } as const] : []),
    ];
  }

  restored(generation: number, copies: readonly Copy[]): AsyncEffect[] {
    const { gang, state } = this;
    if (gang?.generation !== generation || state.kind !== 'placing') return [];
    return copies.flatMap(({ mark, values }) => {
      const waiting = membersOf(gang).filter(({ taskId }) => state.waiting.has(`${mark.partition} ${taskId}`));
      state.marks.set(mark.partition, mark);
      // Each holder gets a vector of its own: one of them may be ourselves.
      return waiting.map((to) => send(to, { type: 'state', generation, mark, payload: values.slice() }));
    });
  }

  held(from: TaskId, { partition }: AsyncOf<'held'>): Refusable {
    const { gang, state, shape } = this;
    if (gang === undefined || state.kind !== 'placing') return { refused: 'nothing is being placed' };
    state.waiting.delete(`${partition} ${from}`);
    if (state.waiting.size > 0) return [];
    const applied = inAll([...state.marks.values()].map((mark) => mark.applied));
    const ledger = new Ledger(shape.totalSteps, shape.maxStaleness, applied, this.usualMs);
    this.state = { kind: 'open', ledger };
    this.savedAt = ledger.done;
    // What ended longer ago than the epoch before was evaluated by whoever led then.
    if (this.evaluated < 0) this.evaluated = Math.max(0, this.epochsDone(ledger) - 1);
    const { generation } = gang;
    return [
      { type: 'opened', generation, done: ledger.done },
      ...membersOf(gang).map((to) => send(to, { type: 'open', generation })),
      ...this.gather(),
    ];
  }

  want(from: TaskId, nowMs: number): Refusable {
    if (!this.waiting.includes(from)) this.waiting.push(from);
    return this.handOut(nowMs);
  }

  outcome(from: TaskId, { item, outcome, sums }: AsyncOf<'outcome'>, nowMs: number): Refusable {
    const { state } = this;
    if (state.kind !== 'open') return { refused: 'no items are out' };
    if (outcome === 'diverged') return this.isFinished ? [] : [{ type: 'diverged', item }];
    state.ledger.settle(from, item, outcome === 'applied', nowMs);
    if (outcome === 'applied') this.recent = fade(this.recent, sums, this.shape.stepsPerEpoch);
    this.waiting.push(from);
    return [...this.handOut(nowMs), ...this.gather()];
  }

  collected(_from: TaskId, { id, mark, payload }: AsyncOf<'collected'>): Refusable {
    const { gathering, gang } = this;
    const { partitioning } = this.shape;
    if (gang === undefined || gathering?.id !== id) return { refused: `gathering ${id} is over` };
    if (mark.partition >= partitioning.partitions || payload.length !== copyLengthOf(partitioning, mark.partition)) {
      return { refused: `${payload.length} values for partition ${mark.partition}` };
    }
    gathering.copies.set(mark.partition, { mark, values: payload });
    if (gathering.copies.size < partitioning.partitions) return [];
    this.gathering = undefined;
    const copies = [...gathering.copies.values()].sort((a, b) => a.mark.partition - b.mark.partition);
    const { generation } = gang;
    switch (gathering.purpose.kind) {
      case 'finish':
        this.isFinished = true;
        return [{ type: 'finish-run', gang, copies }];
      case 'checkpoint':
        return [{ type: 'save-copies', generation, copies }, ...this.gather()];
      case 'epoch':
        this.evaluating = true;
        return [
          { type: 'evaluate-epoch', epoch: gathering.purpose.epoch, gang, copies },
          { type: 'save-copies', generation, copies },
        ];
    }
  }

  evaluatedUpTo(epoch: number, stop: boolean): AsyncEffect[] {
    this.evaluating = false;
    this.evaluated = Math.max(this.evaluated, epoch);
    if (stop) this.isStopping = true;
    return this.gather();
  }

  /** A checkpoint is wanted now. */
  save(): AsyncEffect[] {
    this.isSaveWanted = this.gathering === undefined;
    return this.gather();
  }

  tick(nowMs: number): AsyncEffect[] {
    return [...this.handOut(nowMs), ...this.gather()];
  }

  private handOut(nowMs: number): AsyncEffect[] {
    const { gang, state } = this;
    if (gang === undefined || state.kind !== 'open' || this.isStopping || this.isFinished) return [];
    const effects: AsyncEffect[] = [];
    const { generation } = gang;
    while (this.waiting.length > 0) {
      const taskId = this.waiting[0] as TaskId;
      const item = state.ledger.next(taskId, nowMs);
      if (item === undefined) break;
      this.waiting.shift();
      const to = gang.workers.find((worker) => worker.taskId === taskId);
      if (to !== undefined) effects.push(send(to, { type: 'work', generation, item }));
    }
    return effects;
  }

  /** What is due: the end of an epoch, the end of the run, a checkpoint. */
  private gather(): AsyncEffect[] {
    const { gang, state } = this;
    if (gang === undefined || state.kind !== 'open' || this.gathering !== undefined || this.isFinished) return [];
    const purpose = this.due(state.ledger);
    if (purpose === undefined) return [];
    this.isSaveWanted = false;
    this.savedAt = state.ledger.done;
    this.gatherings += 1;
    const id = this.gatherings;
    this.gathering = { id, purpose, copies: new Map() };
    const { generation } = gang;
    return this.primaries.map((to, partition) => send(to, { type: 'collect', generation, id, partition }));
  }

  private due(ledger: Ledger): Purpose | undefined {
    const { totalSteps, checkpointEvery } = this.shape;
    if (this.isStopping) return { kind: 'finish' };
    const epoch = this.epochsDone(ledger);
    if (epoch > this.evaluated) return this.evaluating ? undefined : { kind: 'epoch', epoch };
    if (ledger.done >= totalSteps) return this.evaluating ? undefined : { kind: 'finish' };
    const isDue =
      checkpointEvery > 0 && Math.floor(ledger.done / checkpointEvery) > Math.floor(this.savedAt / checkpointEvery);
    return isDue || this.isSaveWanted ? { kind: 'checkpoint' } : undefined;
  }

  private epochsDone(ledger: Ledger): number {
    return Math.floor(ledger.firstMissing / this.shape.stepsPerEpoch);
  }
}

function send(to: GangMember, message: AsyncMessage): AsyncEffect {
  return { type: 'send', to, message };
}

/** Old items count less and less, so that the sums stay about as large as those of an epoch. */
function fade([n, loss, right]: Tally, [samples, lossSum, correct]: Tally, window: number): Tally {
  const keep = 1 - 1 / Math.max(1, window);
  return [n * keep + samples, loss * keep + lossSum, right * keep + correct];
}
