/**
 * One task in the gang: finds the leader, follows it, refuses what is old, and leads when it holds the lease. Ties the
 * other machines of this folder together: Trainer (workers), Reducer (whoever has a partition), Leader (whoever leads).
 *
 * Invariants
 *  MB1 `generation` never goes down, and what carries a smaller one is refused (P5, R1).
 *  MB2 A broken connection is taken for a lost member by the leader; a member that was dropped and comes back is told
 *      `fenced` and exits. So a zombie changes nothing.
 *  MB3 A member that loses its leader and still has its state tries for the lease at once; a blank one waits until the
 *      lease runs out, so that survivors go first.
 */
import type { GangMember, TaskId } from '../run.ts';
import type { Effect, Event } from './effects.ts';
import { Leader, type LeaderOptions } from './leader.ts';
import { type BeatReport, type Gang, type Message, type MessageOf, membersOf } from './messages.ts';
import { Reducer } from './reducer.ts';
import { Trainer, type TrainingShape } from './trainer.ts';

export interface MemberOptions {
  readonly self: GangMember;
  readonly shape: TrainingShape;
  readonly leader: Omit<LeaderOptions, 'self'>;
  readonly heartbeatIntervalMs: number;
  readonly memberTimeoutMs: number;
  /** How long a step may still take after SIGTERM. */
  readonly graceMs: number;
  /** What the heartbeat says; asked for with every beat. */
  readonly report: () => BeatReport;
}

/** Contributions that may be waiting for `begin`: far more than any gang sends in one step. */
const bufferLimit = 4096;

export class Member {
  generation = 0;
  gang: Gang | undefined;
  readonly trainer: Trainer;
  leading: Leader | undefined;
  private readonly options: MemberOptions;
  private readonly reducer: Reducer;
  private following: GangMember | undefined;
  private fence = 0;
  private leaderHeardMs = 0;
  private leaderGone = false;
  private nextSeekMs = 0;
  private nextBeatMs = 0;
  private readonly lost = new Set<TaskId>();
  private buffered: { from: TaskId; message: MessageOf<'contribution'> }[] = [];
  private leaving: { step: number; untilMs: number } | undefined;
  private ended = false;

  constructor(options: MemberOptions) {
    this.options = options;
    this.trainer = new Trainer(options.self, options.shape);
    this.reducer = new Reducer(options.self, options.shape.shards, options.shape.vectorLength);
  }

  get leader(): GangMember | undefined {
    return this.following;
  }

  start(): Effect[] {
    return [{ type: 'seek-leader' }];
  }

  /** Effects in the order in which they are to be carried out. What we send to ourselves is handled here. */
  handle(event: Event, nowMs: number): Effect[] {
    const out: Effect[] = [];
    let queue = this.react(event, nowMs);
    while (queue.length > 0 && !this.ended) {
      const later: Effect[] = [];
      for (const effect of queue) {
        if (effect.type === 'send' && effect.to.taskId === this.options.self.taskId) {
          later.push(...this.onMessage(effect.to.taskId, effect.message, nowMs));
        } else {
          out.push(effect);
          if (effect.type === 'exit') this.ended = true;
        }
      }
      queue = later;
    }
    if (!this.ended) out.push(...this.leaveWhenDue(nowMs));
    return out;
  }

  private react(event: Event, nowMs: number): Effect[] {
    switch (event.type) {
      case 'message':
        return this.onMessage(event.from, event.message, nowMs);
      case 'link-lost':
        return this.onLinkLost(event.peer, event.refused, nowMs);
      case 'computed':
        return this.trainer.computed(event.generation, event.step, event.parts);
      case 'evaluated':
        return this.trainer.evaluatedAt(event.step, event.stop);
      case 'lease-held':
        return this.onLeaseHeld(event.row.fence, event.gang, nowMs);
      case 'lease-other':
        return this.onLeaseOther(event.row, nowMs);
      case 'generation-committed':
        return this.leading?.committed(event.generation, nowMs) ?? [];
      case 'generation-refused':
        return [this.fencedBy(event.current), { type: 'exit', why: 'fenced', save: false }];
      case 'restored':
        this.trainer.restored(event.step);
        return this.leading?.restored(event.step, nowMs) ?? [];
      case 'tick':
        return this.onTick(nowMs);
      case 'interrupt':
        this.leaving ??= { step: this.trainer.step, untilMs: nowMs + this.options.graceMs };
        return [];
    }
  }

  private onMessage(from: TaskId, message: Message, nowMs: number): Effect[] {
    this.lost.delete(from);
    this.leading?.heard(from, nowMs);
    if (from === this.following?.taskId) this.leaderHeardMs = nowMs;
    switch (message.type) {
      case 'lead':
        return message.fence > this.fence ? this.follow(message.member, message.fence, nowMs) : [];
      case 'hello':
        return this.leading?.hello(message, nowMs) ?? [];
      case 'prepare':
        return this.onPrepare(from, message);
      case 'prepared':
        return this.leading?.prepared(from, message, nowMs) ?? [];
      case 'begin':
        return this.onBegin(from, message);
      case 'fetch':
        return [{ type: 'send', to: message.donor, message: { type: 'want-snapshot', member: this.options.self } }];
      case 'want-snapshot':
        return this.trainer.hasState ? this.trainer.lend(message.member) : [];
      case 'snapshot':
        return [...this.trainer.load(message), ...this.tellLeader({ type: 'caught-up', step: message.step })];
      case 'replay':
        return this.trainer.replay(message);
      case 'caught-up':
        return this.leading?.caughtUp(from, message.step, nowMs) ?? [];
      case 'contribution':
        return this.onContribution(from, message);
      case 'reduced':
        return this.orRefuse(from, message, this.trainer.reduced(from, message));
      case 'beat':
        return this.onBeat(from, message, nowMs);
      case 'suspect':
        return this.leading?.lost(message.peer, 'unreachable', nowMs) ?? [];
      case 'leaving':
        return this.leading?.lost(from, 'left', nowMs) ?? [];
      case 'dismiss':
        return from === this.following?.taskId ? [{ type: 'exit', why: 'dismissed', save: false }] : [];
      case 'fenced':
        return message.generation > this.generation || from === this.following?.taskId
          ? [this.fencedBy(message.generation), { type: 'exit', why: 'fenced', save: false }]
          : [];
    }
  }

  private onPrepare(from: TaskId, message: MessageOf<'prepare'>): Effect[] {
    if (message.generation <= this.generation)
      return [this.refusal(from, 'prepare', `generation ${message.generation}`)];
    this.generation = message.generation;
    this.gang = undefined;
    this.buffered = [];
    this.trainer.prepare();
    this.reducer.pause();
    const { step, hasState } = this.trainer;
    return this.tellLeader({ type: 'prepared', generation: message.generation, step, hasState });
  }

  private onBegin(from: TaskId, message: MessageOf<'begin'>): Effect[] {
    const { gang } = message;
    if (gang.generation !== this.generation) return [this.refusal(from, 'begin', `generation ${gang.generation}`)];
    this.gang = gang;
    this.reducer.begin(gang, message.fromStep);
    const isWorker = gang.workers.some((worker) => worker.taskId === this.options.self.taskId);
    const effects = isWorker ? this.trainer.begin(message) : [];
    const waiting = this.buffered;
    this.buffered = [];
    return [...effects, ...waiting.flatMap((early) => this.onContribution(early.from, early.message))];
  }

  private onContribution(from: TaskId, message: MessageOf<'contribution'>): Effect[] {
    // The others may begin a moment before us.
    if (message.generation === this.generation && this.gang === undefined && this.buffered.length < bufferLimit) {
      this.buffered.push({ from, message });
      return [];
    }
    return this.orRefuse(from, message, this.reducer.take(from, message));
  }

  private onBeat(from: TaskId, message: MessageOf<'beat'>, nowMs: number): Effect[] {
    if (this.leading !== undefined) {
      this.leading.beat(from, message.step, nowMs);
      return [];
    }
    // The leader prepares its members before it beats with a new generation: it has gone on without us.
    const droppedUs =
      from === this.following?.taskId && this.gang !== undefined && message.generation > this.generation;
    return droppedUs ? [this.fencedBy(message.generation), { type: 'exit', why: 'fenced', save: false }] : [];
  }

  private onLinkLost(peer: TaskId, refused: boolean, nowMs: number): Effect[] {
    this.trainer.forget(peer);
    this.lost.add(peer);
    if (this.leading !== undefined) return this.leading.lost(peer, 'lost', nowMs);
    if (peer !== this.following?.taskId) {
      const inGang = this.gang !== undefined && membersOf(this.gang).some((member) => member.taskId === peer);
      return inGang ? this.tellLeader({ type: 'suspect', peer }) : [];
    }
    if (refused && this.trainer.hasState) {
      this.following = undefined;
      this.nextSeekMs = nowMs + this.options.heartbeatIntervalMs;
      return [{ type: 'seek-leader', gone: peer }];
    }
    // Still there: it has dropped us and will say so. Not there and we are blank: survivors go first (MB3).
    if (!refused) return this.tellLeader(this.hello());
    this.leaderGone = true;
    return [];
  }

  private onLeaseHeld(fence: number, gang: MessageGang | undefined, nowMs: number): Effect[] {
    this.fence = fence;
    this.leaderGone = false;
    const { self } = this.options;
    this.following = self;
    const survivors = (gang?.members ?? []).filter(
      (member) => member.taskId !== self.taskId && member.taskId !== gang?.leader && !this.lost.has(member.taskId),
    );
    const { step, hasState } = this.trainer;
    const generation = Math.max(this.generation, gang?.generation ?? 0);
    this.leading = new Leader({ ...this.options.leader, self }, { generation, survivors, hasState, step, nowMs });
    return [
      { type: 'record', event: 'lease.taken', detail: { slot: self.slot, fence } },
      ...survivors.map((to): Effect => ({ type: 'send', to, message: { type: 'lead', member: self, fence } })),
      ...this.leading.tick(nowMs),
    ];
  }

  private onLeaseOther(row: GangMemberRow, nowMs: number): Effect[] {
    if (this.leading !== undefined) {
      // Somebody took the lease from us: we were too slow, and the others go on without us.
      return [
        { type: 'record', event: 'lease.lost', detail: { to: row.slot } },
        { type: 'exit', why: 'fenced', save: false },
      ];
    }
    const { taskId, slot, host, port, fence } = row;
    return this.follow({ taskId, slot, host, port, role: 'worker' }, fence, nowMs);
  }

  private follow(leader: GangMember, fence: number, nowMs: number): Effect[] {
    if (this.leading !== undefined) return [{ type: 'seek-leader' }];
    this.fence = Math.max(this.fence, fence);
    this.following = leader;
    this.leaderHeardMs = nowMs;
    this.leaderGone = false;
    return this.tellLeader(this.hello());
  }

  private onTick(nowMs: number): Effect[] {
    const effects: Effect[] = [];
    if (nowMs >= this.nextBeatMs) {
      this.nextBeatMs = nowMs + this.options.heartbeatIntervalMs;
      effects.push(...this.beats());
    }
    if (this.leading !== undefined) return [...effects, ...this.leading.tick(nowMs)];
    const silent = this.following !== undefined && nowMs - this.leaderHeardMs > this.options.memberTimeoutMs;
    // Without a leader, or with one that is gone or silent, look again with every beat.
    if ((silent || this.following === undefined || this.leaderGone) && nowMs >= this.nextSeekMs) {
      this.nextSeekMs = nowMs + this.options.heartbeatIntervalMs;
      effects.push({ type: 'seek-leader' });
    }
    return effects;
  }

  private beats(): Effect[] {
    const { self, report } = this.options;
    const message: Message = { type: 'beat', generation: this.generation, step: this.trainer.step, report: report() };
    const followed = this.following === undefined || this.leaderGone ? [] : [this.following];
    const to = this.leading?.members() ?? followed;
    return to
      .filter((member) => member.taskId !== self.taskId)
      .map((member) => ({ type: 'send', to: member, message }));
  }

  /** SIGTERM: once the step in flight is applied, or when it takes too long. */
  private leaveWhenDue(nowMs: number): Effect[] {
    if (this.leaving === undefined) return [];
    const { phase, step } = this.trainer;
    const busy = (phase === 'computing' || phase === 'waiting') && step === this.leaving.step;
    if (busy && nowMs < this.leaving.untilMs) return [];
    this.ended = true;
    const alone = (this.gang?.workers.length ?? 1) <= 1;
    const save = this.trainer.hasState && (this.leading !== undefined || alone);
    return [
      ...(this.leading === undefined ? this.tellLeader({ type: 'leaving' }) : []),
      { type: 'exit', why: 'left', save },
    ];
  }

  private hello(): Message {
    const { step, hasState } = this.trainer;
    return { type: 'hello', member: this.options.self, hasState, step };
  }

  private tellLeader(message: Message): Effect[] {
    return this.following === undefined ? [] : [{ type: 'send', to: this.following, message }];
  }

  private orRefuse(from: TaskId, message: Message, outcome: Effect[] | { readonly refused: string }): Effect[] {
    if (Array.isArray(outcome)) return outcome;
    const effects: Effect[] = [this.refusal(from, message.type, outcome.refused)];
    const gang = this.gang;
    const known = gang === undefined || membersOf(gang).some((member) => member.taskId === from);
    const sender = known ? undefined : this.leading?.members().find((member) => member.taskId === from);
    if (sender !== undefined)
      effects.push({ type: 'send', to: sender, message: { type: 'fenced', generation: this.generation } });
    return effects;
  }

  private refusal(from: TaskId, what: string, why: string): Effect {
    return { type: 'record', event: 'frame.refused', detail: { from, what, why, generation: this.generation } };
  }

  private fencedBy(current: number): Effect {
    return { type: 'record', event: 'member.fenced', detail: { mine: this.generation, current } };
  }
}

type MessageGang = NonNullable<Extract<Event, { type: 'lease-held' }>['gang']>;
type GangMemberRow = Extract<Event, { type: 'lease-other' }>['row'];
