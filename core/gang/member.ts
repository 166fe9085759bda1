/**
 * One task in the gang: follows a leader, refuses what is old, and leads when it holds the lease. Ties the other machines
 * of this folder together: Follower, Trainer (workers), Reducer (whoever has a partition), Leader (whoever leads).
 *
 * Invariants
 *  MB1 `generation` never goes down; what is older than the one that we are in is refused (P5, R1; passage.ts).
 *  MB2 A broken connection is taken for a lost member by the leader; a member that was dropped and comes back is told
 *      `fenced` and exits. So a zombie changes nothing.
 *  MB3 Who loses the lease, or was not prepared for the generation of its leader, does not go: its state may be the only
 *      one. It says where it stands, and is counted in again or told that it is out.
 *  MB4 Whatever we wait for, somebody is asked again or complained about when it does not come.
 *  MB5 Who leads is what the table says: whoever claims it on the wire only makes us look there. A mere member is not obeyed.
 */
import type { GangMember, TaskId } from '../run.ts';
import type { Effect, Event } from './effects.ts';
import { Follower } from './follower.ts';
import { Leader } from './leader.ts';
import type { MemberOptions } from './member-options.ts';
import { type Gang, type Message, type MessageOf, membersOf } from './messages.ts';
import { Passage } from './passage.ts';
import { Patience } from './patience.ts';
import { Reducer } from './reducer.ts';
import { type Bonds, greetings, signs } from './signs.ts';
import { Trainer } from './trainer.ts';
import { Holdings, plainPool } from './vector-pool.ts';

/** What we do only for the holder of the lease (MB5). */
const leaderTypes: ReadonlySet<string> = new Set(['prepare', 'begin', 'fetch', 'dismiss']);

export class Member {
  generation = 0;
  gang: Gang | undefined;
  readonly trainer: Trainer;
  readonly patience: Patience;
  leading: Leader | undefined;
  private readonly options: MemberOptions;
  private readonly holdings: Holdings;
  private readonly reducer: Reducer;
  private readonly follower: Follower;
  private readonly passage = new Passage();
  private nextBeatMs = 0;
  private readonly lost = new Set<TaskId>();
  private leaving: { step: number; untilMs: number } | undefined;
  private ended = false;

  constructor(options: MemberOptions) {
    this.options = options;
    this.patience = new Patience(options.patience);
    this.holdings = new Holdings(options.pool ?? plainPool);
    this.trainer = new Trainer(options.self, options.shape, this.holdings);
    this.reducer = new Reducer(options.self, options.shape, this.holdings);
    const times = { beatMs: options.heartbeatIntervalMs, joinMs: options.joinMs ?? Number.POSITIVE_INFINITY };
    this.follower = new Follower(options.self, this.patience, times, () => {
      const { hasState, step } = this.trainer;
      return { hasState, step, generation: this.generation };
    });
    // A parameter server computes nothing that could take long.
    if (options.self.role === 'parameter-server') this.patience.prove();
  }

  start(): Effect[] {
    return [this.follower.seek()];
  }

  /** Effects in the order in which they are to be carried out. What we send to ourselves is handled here. */
  handle(event: Event, clockMs: number): Effect[] {
    const out: Effect[] = [];
    this.holdings.settle();
    this.patience.look(clockMs);
    let queue = this.ended ? [] : [...this.react(event), ...this.goOver()];
    while (queue.length > 0 && !this.ended) {
      const later: Effect[] = [];
      for (const effect of queue) {
        if (effect.type === 'send' && effect.to.taskId === this.options.self.taskId) {
          later.push(...this.onMessage(effect.to.taskId, effect.message));
        } else {
          out.push(effect);
          if (effect.type === 'exit') this.ended = true;
        }
      }
      queue = [...later, ...this.goOver()];
    }
    if (!this.ended) out.push(...this.leaveWhenDue());
    return out;
  }

  private react(event: Event): Effect[] {
    switch (event.type) {
      case 'message':
        return this.onMessage(event.from, event.message);
      case 'link-lost':
        return this.onLinkLost(event.peer, event.refused);
      case 'heard':
        this.patience.heard(event.peer);
        this.follower.heard(event.peer);
        return [];
      case 'computed':
        this.patience.prove();
        return this.trainer.computed(event.generation, event.step, event.parts);
      case 'evaluated':
        return this.trainer.evaluatedAt(event.step, event.stop);
      case 'lease-held':
        return this.onLeaseHeld(event);
      case 'lease-other':
        return this.onLeaseOther(event.row);
      case 'training-over':
        return [{ type: 'exit', why: 'dismissed', save: false }];
      case 'generation-committed':
        return this.leading?.committed(event.generation) ?? [];
      case 'generation-refused':
        return this.leading?.refused(event.current) ?? [];
      case 'restored':
        if (this.leading?.state.kind !== 'restoring') return [];
        this.trainer.restored(event.step);
        return this.leading.restored(event.step);
      case 'tick':
        return this.onTick();
      case 'interrupt':
        this.leaving ??= { step: this.trainer.step, untilMs: this.patience.nowMs + this.options.graceMs };
        return [];
    }
  }

  private onMessage(from: TaskId, message: Message): Effect[] {
    this.lost.delete(from);
    this.patience.heard(from, message.type === 'beat' ? message.slowestMs : undefined);
    if (message.type !== 'beat' || message.leads) this.follower.heard(from);
    if (leaderTypes.has(message.type) && !this.follower.follows(from))
      return [this.refusal(from, message.type, 'the sender does not lead us')];
    switch (message.type) {
      case 'lead':
        return [this.follower.seek()];
      case 'hello':
        return this.leading?.hello(message) ?? this.follower.pointTo(message.member);
      case 'welcome':
        this.follower.welcomed(from);
        return [];
      case 'prepare':
        return this.onPrepare(from, message);
      case 'prepared':
        return this.leading?.prepared(from, message) ?? [];
      case 'begin':
        return this.onBegin(from, message);
      case 'fetch':
        return this.onFetch(from, message);
      case 'want-snapshot':
        return this.trainer.hasState ? this.trainer.lend(message.member) : [];
      case 'snapshot':
        return this.onSnapshot(from, message);
      case 'replay':
        return this.orRefuse(from, message, this.trainer.replay(from, message));
      case 'caught-up':
        return this.leading?.caughtUp(from, message) ?? [];
      case 'contribution':
        return this.onContribution(from, message);
      case 'reduced':
        return this.orRefuse(from, message, this.trainer.reduced(from, message));
      case 'beat':
        return this.onBeat(from, message);
      case 'suspect':
        return this.leading?.suspected(from, message) ?? [];
      case 'leaving':
        return this.leading?.lost([from], 'left') ?? [];
      case 'dismiss':
        return [{ type: 'exit', why: 'dismissed', save: false }];
      case 'fenced':
        // It may come before we know of the leader that says so; to stop is never wrong.
        return message.generation > this.generation || this.follower.follows(from)
          ? this.fencedBy(message.generation)
          : [];
    }
  }

  private onPrepare(from: TaskId, message: MessageOf<'prepare'>): Effect[] {
    if (message.generation <= this.generation)
      return [this.refusal(from, 'prepare', `generation ${message.generation}`)];
    this.generation = message.generation;
    if (message.level === undefined) this.pause();
    this.passage.prepare(this.options.self.role === 'worker' ? (message.level ?? 0) : 0);
    return [];
  }

  private pause(): void {
    this.gang = undefined;
    this.passage.forget();
    this.trainer.prepare();
    this.reducer.pause();
  }

  private onBegin(from: TaskId, message: MessageOf<'begin'>): Effect[] {
    const { generation } = message.gang;
    if (generation !== this.generation || generation === this.passage.newest(this.gang))
      return [this.refusal(from, 'begin', `generation ${generation}`)];
    const known = this.bonds().partners;
    this.passage.add(message);
    this.trainer.goOnTo(this.passage.until);
    return greetings(this.bonds(), known);
  }

  /** Where we are: says that we are prepared, or goes into the next generation, when it is time. */
  private goOver(): Effect[] {
    const { trainer, passage, generation } = this;
    // A parameter server has done a step when it has given the total away.
    const place = this.options.self.role === 'worker' ? trainer.step : this.reducer.openStep;
    if (passage.answers(place, this.gang)) {
      const { step, hasState, lends } = trainer;
      return this.follower.tell({ type: 'prepared', generation, step, hasState, lends });
    }
    const next = passage.next(place, this.gang);
    return next === undefined ? [] : this.begin(next);
  }

  private begin(message: MessageOf<'begin'>): Effect[] {
    const { gang } = message;
    this.gang = gang;
    const early = this.reducer.begin(gang, message.fromStep);
    for (const partner of this.bonds().partners) this.patience.heard(partner.taskId);
    this.trainer.goOnTo(this.passage.until);
    const effects = this.options.self.role === 'worker' ? this.trainer.begin(message) : [];
    return [...effects, ...early.flatMap((one) => this.onContribution(one.from, one.message))];
  }

  private onFetch(from: TaskId, { donor }: MessageOf<'fetch'>): Effect[] {
    if (this.gang !== undefined) return [this.refusal(from, 'fetch', 'in step with the gang')];
    this.trainer.fetch(donor.taskId);
    this.patience.heard(donor.taskId);
    return [{ type: 'send', to: donor, message: { type: 'want-snapshot', member: this.options.self } }];
  }

  private onSnapshot(from: TaskId, message: MessageOf<'snapshot'>): Effect[] {
    const loaded = this.trainer.load(from, message);
    if (!Array.isArray(loaded)) return this.orRefuse(from, message, loaded);
    return [...loaded, ...this.follower.tell({ type: 'caught-up', step: message.step, donor: from })];
  }

  private onContribution(from: TaskId, message: MessageOf<'contribution'>): Effect[] {
    const { generation } = message;
    // The others may begin a moment before us.
    const early = generation <= this.generation && generation > (this.gang?.generation ?? this.generation - 1);
    if (early && this.reducer.keep(from, message)) return [];
    return this.orRefuse(from, message, this.reducer.take(from, message));
  }

  private onBeat(from: TaskId, message: MessageOf<'beat'>): Effect[] {
    if (this.leading !== undefined) {
      this.leading.beat(from, message.step);
      return this.leading.answerToDropped(from);
    }
    // Ours is over, and nobody has prepared us for theirs: we are out, or the leader was lost before it got to us.
    const isOver = this.follower.follows(from) && this.gang !== undefined && message.generation > this.generation;
    if (!isOver) return [];
    this.pause();
    return this.follower.introduce();
  }

  private onLinkLost(peer: TaskId, refused: boolean): Effect[] {
    this.trainer.forget(peer);
    this.lost.add(peer);
    if (this.leading !== undefined) return this.leading.lost([peer], 'lost');
    if (this.follower.follows(peer)) return this.follower.leaderLost(peer, refused);
    const partner = this.gang !== undefined && membersOf(this.gang).some((member) => member.taskId === peer);
    const needed = partner || peer === this.trainer.fetchingFrom;
    return needed ? this.suspect(peer, refused ? 'refused' : 'broken') : [];
  }

  private onLeaseHeld({ row, gang, savedStep }: Extract<Event, { type: 'lease-held' }>): Effect[] {
    const { self } = this.options;
    this.follower.lead(row.fence);
    const lastGang = gang?.members ?? [];
    const others = lastGang.filter((member) => member.taskId !== self.taskId && !this.lost.has(member.taskId));
    const { step, hasState } = this.trainer;
    // The leader before us is gone or hangs. With a state of our own we do not wait for it, but it may come (MB3).
    const awaited = others.filter((member) => !hasState || member.taskId !== gang?.leader);
    const generation = Math.max(this.generation, gang?.generation ?? 0);
    const options = { ...this.options.leader, self };
    const from = { generation, lastGang, awaited, hasState, step, savedStep };
    this.leading = new Leader(options, this.patience, from, () => this.trainer.turn);
    return [
      { type: 'record', event: 'lease.taken', detail: { slot: self.slot, fence: row.fence } },
      ...others.map((to): Effect => ({ type: 'send', to, message: { type: 'lead', member: self, fence: row.fence } })),
      ...this.leading.tick(),
    ];
  }

  private onLeaseOther(row: Extract<Event, { type: 'lease-other' }>['row']): Effect[] {
    const { taskId, slot, host, port, fence } = row;
    const leader: GangMember = { taskId, slot, host, port, role: 'worker' };
    if (this.leading === undefined) return this.follower.follow(leader, fence);
    // Somebody took the lease from us: we were too slow. What we led is over; he will begin anew.
    this.leading = undefined;
    this.pause();
    this.follower.stepDown();
    return [{ type: 'record', event: 'lease.lost', detail: { to: slot } }, ...this.follower.follow(leader, fence)];
  }

  private onTick(): Effect[] {
    const { nowMs } = this.patience;
    const effects: Effect[] = [];
    if (nowMs >= this.nextBeatMs) {
      this.nextBeatMs = nowMs + this.options.heartbeatIntervalMs;
      effects.push(...signs(this.bonds()));
    }
    if (this.leading === undefined) return [...effects, ...this.follower.tick()];
    this.leading.beat(this.options.self.taskId, this.trainer.step);
    return [...effects, ...this.leading.tick()];
  }

  private bonds(): Bonds {
    const { generation, patience, trainer, follower, leading } = this;
    const { self, report } = this.options;
    const partners = this.passage.partners(self, this.gang);
    return { self: self.taskId, generation, follower, leading, trainer, patience, partners, report };
  }

  /** SIGTERM: once the step in flight is applied, or the end is written, or when that takes too long. */
  private leaveWhenDue(): Effect[] {
    if (this.leaving === undefined) return [];
    const { phase, step, hasState } = this.trainer;
    const finishes = phase === 'ended' && this.leading !== undefined;
    const busy = finishes || ((phase === 'computing' || phase === 'waiting') && step === this.leaving.step);
    if (busy && this.patience.nowMs < this.leaving.untilMs) return [];
    this.ended = true;
    const alone = this.gang !== undefined && this.gang.workers.length <= 1;
    const save = hasState && (this.leading !== undefined || alone);
    return [
      ...(this.leading === undefined ? this.follower.tell({ type: 'leaving' }) : []),
      { type: 'exit', why: 'left', save },
    ];
  }

  private suspect(peer: TaskId, why: MessageOf<'suspect'>['why']): Effect[] {
    return this.follower.tell({ type: 'suspect', peer, why, generation: this.generation });
  }

  private orRefuse(from: TaskId, message: Message, outcome: Effect[] | { readonly refused: string }): Effect[] {
    if (Array.isArray(outcome)) return outcome;
    return [this.refusal(from, message.type, outcome.refused), ...(this.leading?.answerToDropped(from) ?? [])];
  }

  private refusal(from: TaskId, what: string, why: string): Effect {
    return { type: 'record', event: 'frame.refused', detail: { from, what, why, generation: this.generation } };
  }

  private fencedBy(current: number): Effect[] {
    return [
      { type: 'record', event: 'member.fenced', detail: { mine: this.generation, current } },
      { type: 'exit', why: 'fenced', save: false },
    ];
  }
}
