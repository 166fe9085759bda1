/**
 * One task in a gang that trains asynchronously. Membership - lease, leader, generations, fencing - is the synchronous
 * member's (../member.ts), which is run over a training of no steps: everybody is level at step 0, so nobody fetches a
 * state and nothing is computed; what it asks for besides membership is answered here. On top of it, in each generation:
 * Keeper (the copies we hold), AsyncWorker (our items), Steward (when we lead).
 *
 * Invariants
 *  AM1 What carries another generation than ours is refused; what is early in ours waits until its time (P5).
 *  AM2 Only members of the gang are heard.
 */
import type { TaskId } from '../../run.ts';
import type { Effect, Event } from '../effects.ts';
import { Member } from '../member.ts';
import type { MemberOptions } from '../member-options.ts';
import { type Gang, type Message, membersOf, noSums } from '../messages.ts';
import { partitionLength } from '../partitions.ts';
import type { AsyncEffect, AsyncEvent, Refusable } from './effects.ts';
import { Keeper, type Update } from './keeper.ts';
import { type AsyncMessage, type AsyncOf, isAsync } from './messages.ts';
import { Steward, type StewardShape } from './steward.ts';
import { AsyncWorker } from './worker.ts';

export interface AsyncMemberOptions extends Omit<MemberOptions, 'shape'> {
  readonly training: StewardShape;
  readonly update: Update;
}

/** Messages that may wait for the generation to begin or to open: more than any gang sends in that time. */
const earlyLimit = 4096;

export class AsyncMember {
  readonly membership: Member;
  readonly keeper: Keeper;
  readonly worker: AsyncWorker;
  steward: Steward;
  private readonly options: AsyncMemberOptions;
  private gang: Gang | undefined;
  private early: { readonly from: TaskId; readonly message: AsyncMessage }[] = [];
  private leavingUntilMs: number | undefined;
  private hasLeft = false;

  constructor(options: AsyncMemberOptions) {
    this.options = options;
    const { self, training, update } = options;
    this.membership = new Member({
      ...options,
      shape: {
        shards: 1,
        vectorLength: 0,
        partitionLength,
        roundedLength: 0,
        stepsPerEpoch: 1,
        totalSteps: 0,
        checkpointEvery: 0,
      },
    });
    this.keeper = new Keeper(self, training, update);
    this.worker = new AsyncWorker(self, training.partitioning);
    this.steward = new Steward(training);
  }

  get generation(): number {
    return this.membership.generation;
  }

  start(): AsyncEffect[] {
    return this.translate(this.membership.start(), 0);
  }

  /** Effects in the order in which they are to be carried out. What we send to ourselves is handled here. */
  handle(event: AsyncEvent, nowMs: number): AsyncEffect[] {
    const out: AsyncEffect[] = [];
    const queue = this.react(event, nowMs);
    queue.push(...this.leaveWhenDue(nowMs));
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      if (next.type === 'send' && next.to.taskId === this.options.self.taskId && isAsync(next.message)) {
        queue.push(...this.receive(next.to.taskId, next.message, nowMs));
      } else out.push(next);
    }
    return out;
  }

  private react(event: AsyncEvent, nowMs: number): AsyncEffect[] {
    switch (event.type) {
      case 'message': {
        const { from, message } = event;
        if (!isAsync(message)) return this.ask({ type: 'message', from, message }, nowMs);
        return [...this.ask({ type: 'heard', peer: from }, nowMs), ...this.receive(from, message, nowMs)];
      }
      case 'item-computed': {
        const { generation, item, contribution } = event;
        // That a step takes so long is what the membership's patience learns from.
        const step = this.ask({ type: 'computed', generation, step: item, parts: [] }, nowMs);
        return [...step, ...this.worker.computed(generation, item, contribution)];
      }
      case 'copies-restored':
        return this.steward.restored(event.generation, event.copies);
      case 'checkpoint-due':
        return this.steward.save();
      case 'epoch-evaluated':
        return this.steward.evaluatedUpTo(event.epoch, event.stop);
      case 'interrupt':
        this.leavingUntilMs ??= nowMs + this.options.graceMs;
        this.worker.leave();
        return [];
      // What is saved is the steward's business: to the membership nobody is behind.
      case 'lease-held':
        return this.ask({ ...event, savedStep: 0 }, nowMs);
      case 'tick':
        return [...this.ask(event, nowMs), ...this.steward.tick(nowMs)];
      default:
        return this.ask(event, nowMs);
    }
  }

  /** Asks the membership, and follows it into a new generation. */
  private ask(event: Event, nowMs: number): AsyncEffect[] {
    const effects = this.translate(this.membership.handle(event, nowMs), nowMs);
    const { gang } = this.membership;
    if (gang === this.gang) return effects;
    this.gang = gang;
    this.worker.pause();
    this.steward.pause();
    if (gang === undefined) {
      this.keeper.pause();
      return effects;
    }
    if (gang.leader === this.options.self.taskId) this.steward.begin(gang);
    // Who leads again later begins with what the others know by then.
    else this.steward = new Steward(this.options.training);
    const leader = membersOf(gang).find((member) => member.taskId === gang.leader);
    const holdings = this.keeper.begin(gang);
    if (leader !== undefined) effects.push({ type: 'send', to: leader, message: holdings });
    return [...effects, ...this.receiveEarly(nowMs)];
  }

  private translate(effects: readonly Effect[], nowMs: number): AsyncEffect[] {
    return effects.flatMap((effect): AsyncEffect[] => {
      switch (effect.type) {
        // Nobody has a state yet, says the membership: where the partitions come from is the steward's.
        case 'restore':
          return this.translate(this.membership.handle({ type: 'restored', step: 0 }, nowMs), nowMs);
        // A newcomer is to be brought up to the state of the others, which is nothing at step 0.
        case 'lend':
          return [{ type: 'send', to: effect.to, message: noState }];
        case 'compute':
        case 'apply':
        case 'load':
        case 'evaluate':
        case 'checkpoint':
        case 'finish':
          return [];
        default:
          return [effect];
      }
    });
  }

  private receive(from: TaskId, message: AsyncMessage, nowMs: number): AsyncEffect[] {
    const { generation, gang } = this.membership;
    if (message.generation !== generation) return [this.refusal(from, message, `generation ${message.generation}`)];
    if (!this.isTimeFor(message)) {
      if (this.early.length < earlyLimit) this.early.push({ from, message });
      return [];
    }
    if (gang === undefined || !membersOf(gang).some((member) => member.taskId === from)) {
      return [this.refusal(from, message, 'the sender is not in the gang')];
    }
    const outcome = this.take(from, message, nowMs);
    return Array.isArray(outcome) ? outcome : [this.refusal(from, message, outcome.refused)];
  }

  /** The others may be a moment ahead of us in the same generation. */
  private isTimeFor({ type }: AsyncMessage): boolean {
    if (this.membership.gang === undefined || this.gang !== this.membership.gang) return false;
    if (type === 'state') return this.keeper.isPlaced;
    const needsOpen = type === 'pull' || type === 'push' || type === 'replicate' || type === 'collect';
    return !needsOpen || this.keeper.isOpen;
  }

  private take(from: TaskId, message: AsyncMessage, nowMs: number): Refusable {
    const { keeper, worker, steward } = this;
    const isLeader = from === this.gang?.leader;
    switch (message.type) {
      case 'holdings':
        return steward.holdings(from, message);
      case 'held':
        return steward.held(from, message);
      case 'want':
        return steward.want(from, nowMs);
      case 'outcome':
        return steward.outcome(from, message, nowMs);
      case 'collected':
        return steward.collected(from, message);
      case 'place':
        return isLeader ? [...keeper.place(message), ...this.receiveEarly(nowMs)] : notTheLeader;
      case 'open':
        return isLeader ? this.open(message, nowMs) : notTheLeader;
      case 'work':
        return isLeader ? worker.work(message) : notTheLeader;
      case 'state':
        return keeper.state(message);
      case 'pull':
        return keeper.pull(from, message);
      case 'push':
        return keeper.push(from, message);
      case 'replicate':
        return keeper.replicate(from, message);
      case 'replicated':
        return keeper.replicated(from, message);
      case 'collect':
        return isLeader ? keeper.collect(from, message) : notTheLeader;
      case 'parameters':
        return worker.parameters(message);
      case 'pushed':
        return worker.pushed(message);
    }
  }

  private open({ generation }: AsyncOf<'open'>, nowMs: number): AsyncEffect[] {
    this.keeper.open(generation);
    return [...this.worker.open(this.gang as Gang, this.keeper.primaries()), ...this.receiveEarly(nowMs)];
  }

  private receiveEarly(nowMs: number): AsyncEffect[] {
    const waiting = this.early;
    this.early = [];
    return waiting
      .filter(({ message }) => message.generation === this.generation)
      .flatMap(({ from, message }) => this.receive(from, message, nowMs));
  }

  /** SIGTERM: once the item in work is done, or when it takes too long. What we hold, somebody else holds too. */
  private leaveWhenDue(nowMs: number): AsyncEffect[] {
    if (this.leavingUntilMs === undefined || this.hasLeft) return [];
    if (this.worker.isBusy && nowMs < this.leavingUntilMs) return [];
    this.hasLeft = true;
    return this.ask({ type: 'interrupt' }, nowMs);
  }

  private refusal(from: TaskId, { type }: AsyncMessage, why: string): AsyncEffect {
    return { type: 'record', event: 'frame.refused', detail: { from, what: type, why, generation: this.generation } };
  }
}

const noState: Message = {
  type: 'snapshot',
  step: 0,
  sums: noSums,
  lastSums: noSums,
  parameterLength: 0,
  payload: new Float32Array(0),
};
const notTheLeader = { refused: 'only the leader says so' } as const;
