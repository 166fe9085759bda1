/**
 * The leader's part: who is there, who is level, and when a new generation begins. One member at a time runs it, the one
 * that holds the lease; a member that takes the lease over begins with what the others tell it.
 *
 *   gathering --> (restoring) --> committing --> forming --> open
 *                                   ^    ^          |          |
 *                                   |    '----------+----------'     somebody came or went
 *                                   '--- holding <--'                too few that are level, or we are not: wait
 *
 * A generation comes into force in three beats: the gang row is committed with the new number; everybody is told to
 * `prepare` and says which step it is at; `begin` names the step to go on with. When somebody was lost everybody stops to
 * prepare, and that is the greatest step, so no applied one is lost (R2, P3). When somebody only comes nobody stops, and it
 * is one that all have yet to reach (decision 12).
 *
 * Invariants
 *  LD1 A generation number is used only after the gang row was committed with it (P5).
 *  LD2 `begin` is sent when all of the gang have answered `prepare`; when they have stopped for it, who does not is dropped.
 *  LD3 A worker whose state is behind by more than one step is not counted in: it fetches the state first, beside the others.
 *  LD4 The leader is a worker of its own gang: no epoch ends, and no step after it, without its being there.
 *  LD5 The slot of a lost member is released only after a generation without it is committed, so only by a leader that
 *      still leads; unless nobody trains anyway.
 *  LD6 All workers compute with the engine of the leader; who has another is turned away (P2).
 */
import type { GangMember, TaskId } from '../run.ts';
import { admission } from './admission.ts';
import { Course } from './course.ts';
import { Departed, type Loss } from './departed.ts';
import { Doubts } from './doubts.ts';
import type { Effect } from './effects.ts';
import type { Inheritance, LeaderOptions, LeaderState, Turn } from './leader-state.ts';
import { type Gang, type Message, type MessageOf, membersOf } from './messages.ts';
import type { Patience } from './patience.ts';
import { alignment, type Known, Roster, startAfresh } from './roster.ts';

export class Leader {
  state: LeaderState;
  private readonly options: LeaderOptions;
  private readonly patience: Patience;
  private readonly roster = new Roster();
  private readonly doubts: Doubts;
  private generation: number;
  private savedStep: number;
  private why: string;
  /** In the newest gang row. */
  private committedGang: ReadonlySet<TaskId>;
  private readonly departed = new Departed();
  private readonly course: Course;

  constructor(
    options: LeaderOptions,
    patience: Patience,
    from: Inheritance,
    turn: () => Turn | undefined = () => undefined,
  ) {
    this.options = options;
    this.course = new Course(this.roster, turn);
    this.patience = patience;
    this.doubts = new Doubts(options.self.taskId);
    this.generation = from.generation;
    this.savedStep = from.savedStep;
    this.committedGang = new Set(from.lastGang.map((member) => member.taskId));
    const takeover = from.lastGang.length > 0 || from.hasState;
    this.why = takeover ? 'leader replaced' : 'first gang';
    this.state = {
      kind: 'gathering',
      lastGang: from.lastGang,
      awaited: new Set(from.awaited.map((member) => member.taskId)),
      untilMs: patience.nowMs + (takeover ? patience.ownLimitMs : options.gatherMs),
      takeover,
    };
    this.roster.meet(options.self, from.hasState, from.step);
  }

  hello(message: MessageOf<'hello'>): Effect[] {
    const { member, hasState, step } = message;
    const welcome: Effect = { type: 'send', to: member, message: { type: 'welcome', generation: this.generation } };
    const again = this.roster.get(member.taskId);
    if (again !== undefined) {
      // It found us twice; what it says now counts until a generation knows better.
      if (this.state.kind !== 'open' && again.standing === 'new') Object.assign(again, { hasState, step });
      return [welcome, ...this.advance()];
    }
    const holder = this.roster.all().find((other) => other.member.slot === member.slot)?.member;
    // Our own slot: who led before us gave it away, so we are to be stopped. It is for who leads after us to take it in.
    if (holder === this.options.self) return [];
    const { generation, committedGang: members, departed } = this;
    const admitted = admission(message, { generation, members, departed, holder, engine: this.options.self.engine });
    return admitted.kind === 'welcome'
      ? [welcome, ...this.takeIn(message, holder)]
      : departed.turnAway(member, generation, admitted.kind === 'other-engine' ? admitted.why : undefined);
  }

  private takeIn({ member, hasState, step }: MessageOf<'hello'>, holder: GangMember | undefined): Effect[] {
    const { slot, taskId } = member;
    // Slots are given by the table: who had this one before is known there to be gone.
    const effects = holder === undefined ? [] : this.dropOut(holder, 'lost');
    const known = this.roster.meet(member, hasState, step);
    effects.push({ type: 'record', event: 'member.joined', detail: { slot, taskId } });
    if (this.state.kind === 'gathering' || this.state.kind === 'restoring') return [...effects, ...this.advance()];
    // A survivor may be level; and so is a newcomer while nobody has trained and every state is the seed's.
    const top = this.roster.readyStep();
    if (hasState ? step >= top - 1 : top === 0 && this.state.kind !== 'open') known.standing = 'ready';
    effects.push(...this.sendToFetch());
    const isBehind = member.role === 'worker' && known.standing !== 'ready';
    if (isBehind && (holder === undefined || !this.needs(holder))) return effects;
    return [...effects, ...this.reform(`${slot} joined`)];
  }

  /** A sign of life of somebody that is out: it is told so. */
  answerToDropped(from: TaskId): Effect[] {
    return this.departed.answer(from, this.generation);
  }

  beat(from: TaskId, step: number): void {
    const known = this.roster.get(from);
    if (known !== undefined) known.step = Math.max(known.step, step);
  }

  caughtUp(from: TaskId, { step, donor }: MessageOf<'caught-up'>): Effect[] {
    const known = this.roster.get(from);
    if (known === undefined || known.standing !== 'fetching' || known.donor !== donor) return [];
    Object.assign(known, { standing: 'ready', hasState: true, step });
    const { slot } = known.member;
    return [{ type: 'record', event: 'member.caught-up', detail: { slot, step } }, ...this.reform(`${slot} caught up`)];
  }

  suspected(from: TaskId, { peer, why, generation }: MessageOf<'suspect'>): Effect[] {
    const by = this.roster.get(from);
    if (by === undefined) return [];
    const ofLeader = peer === this.options.self.taskId;
    if (!ofLeader && by.standing === 'fetching') return by.donor === peer ? this.donorFailed(by) : [];
    // What its donor still sent is lost: it has what it says it has, and no more.
    if (by.donor === peer) delete by.donor;
    if (!this.roster.has(peer)) return [];
    if (!ofLeader && why === 'refused') return this.lost([peer], 'lost');
    if (ofLeader || this.course.concerns(generation)) this.doubts.add(from, peer, why === 'broken');
    return [];
  }

  /** One decision for all that are lost at once. */
  lost(peers: readonly TaskId[], why: Loss): Effect[] {
    const { state } = this;
    if (state.kind === 'gathering') for (const peer of peers) state.awaited.delete(peer);
    const members = peers.map((peer) => this.roster.get(peer)?.member).filter((member) => member !== undefined);
    if (members.length === 0) return this.advance();
    const effects = members.flatMap((member) => this.dropOut(member, why));
    if (state.kind === 'gathering' || state.kind === 'restoring') return [...effects, ...this.advance()];
    effects.push(...this.sendToFetch());
    if (members.some((member) => this.needs(member))) {
      return [...effects, ...this.reform(`${members.map(({ slot }) => slot).join(', ')} ${why}`)];
    }
    // None that we train with; who is in the newest row is free when the one that is being written is there.
    const isSure = (taskId: TaskId): boolean => peers.includes(taskId) && !this.committedGang.has(taskId);
    return [...effects, ...this.departed.release(isSure)];
  }

  /** What we do now cannot go on without it. */
  private needs(member: GangMember): boolean {
    return !('gang' in this.state) || membersOf(this.state.gang).some((one) => one.taskId === member.taskId);
  }

  committed(generation: number): Effect[] {
    const { state } = this;
    if (state.kind !== 'committing' || state.gang.generation !== generation) return [];
    const { gang } = state;
    const members = membersOf(gang);
    this.committedGang = new Set(members.map((member) => member.taskId));
    const released = this.departed.release((taskId) => !this.committedGang.has(taskId));
    if (state.again) {
      this.state = { kind: 'holding' };
      return [...released, ...this.reform(this.why)];
    }
    const turn = this.course.turnInto(gang);
    if (turn === undefined) this.stop();
    const untilMs = this.patience.nowMs + this.patience.limitForAll(this.committedGang);
    this.state = { kind: 'forming', gang, waiting: new Set(this.committedGang), untilMs };
    const [workers, servers] = [gang.workers, gang.servers].map((some) => some.map((member) => member.slot));
    const level = turn === undefined ? {} : { level: turn.step };
    const prepare: Message = { type: 'prepare', generation, leader: gang.leader, ...level };
    return [
      ...released,
      { type: 'record', event: 'generation.formed', detail: { generation, why: this.why, workers, servers } },
      ...members.map((to): Effect => ({ type: 'send', to, message: prepare })),
    ];
  }

  /** Another leader took the number, and we hold the lease: take the next one. */
  refused(current: number): Effect[] {
    if (this.state.kind !== 'committing') return [];
    this.generation = Math.max(this.generation, current);
    this.state = { kind: 'holding' };
    return this.reform(this.why);
  }

  prepared(from: TaskId, { generation, step, hasState, lends }: MessageOf<'prepared'>): Effect[] {
    const { state } = this;
    const known = this.roster.get(from);
    if (known === undefined || state.kind !== 'forming' || generation !== state.gang.generation) return [];
    Object.assign(known, { step, hasState, lends });
    state.waiting.delete(from);
    return state.waiting.size > 0 ? [] : this.open(state.gang);
  }

  restored(step: number): Effect[] {
    if (this.state.kind !== 'restoring') return [];
    Object.assign(this.self, { step, hasState: true });
    this.savedStep = step;
    this.why = 'training starts';
    return this.settle();
  }

  tick(): Effect[] {
    const { patience, options } = this;
    const ids = this.roster.all().map((known) => known.member.taskId);
    const silent = ids.filter((id) => id !== options.self.taskId && patience.isSilent(id));
    const effects = silent.length === 0 ? [] : this.lost(silent, 'silent');
    const doubted = this.doubts.verdict(ids, (id) => patience.isQuiet(id));
    if (doubted !== undefined) effects.push(...this.lost([doubted], 'unreachable'));
    const { state } = this;
    if (state.kind === 'forming' && patience.nowMs > state.untilMs) {
      // Nobody is given up for being slow to come in while the others train: all stop, and who does not answer then is gone.
      effects.push(...(this.course.isStopped ? this.lost([...state.waiting], 'silent') : this.startOver()));
    }
    return [...effects, ...this.advance()];
  }

  /** Whom to tell that we live. */
  beatTo(): readonly GangMember[] {
    this.doubts.beat();
    return this.members();
  }

  members(): readonly GangMember[] {
    return this.roster.all().map((known) => known.member);
  }

  private get self(): Known {
    return this.roster.get(this.options.self.taskId) as Known;
  }

  /** What time and arrivals allow in a waiting state. */
  private advance(): Effect[] {
    const { state, options } = this;
    if (state.kind === 'holding') return this.canForm() ? this.reform('enough workers again') : [];
    if (state.kind !== 'gathering') return [];
    const workers = this.roster.workers().length;
    const here = [...state.awaited].every((id) => this.roster.has(id));
    const full = workers >= options.workersMax && this.roster.servers().length >= options.parameterServers;
    const due = this.patience.nowMs >= state.untilMs;
    if (!due && !(here && (state.takeover || full))) return [];
    // With too few and no state there is nothing to begin with; with a state, others can be brought up to it.
    if (workers < options.workersMin && this.roster.bestStep() === undefined && !state.takeover) return [];
    const absent = state.lastGang.filter((member) => !this.roster.has(member.taskId));
    return [...absent.flatMap((member) => this.dropOut(member, 'silent')), ...this.settle()];
  }

  /** Begin with the best state there is, or with the newest checkpoint when nobody has one that is as good. */
  private settle(): Effect[] {
    const top = this.roster.bestStep();
    if (top === undefined || top + 1 < this.savedStep) {
      this.state = { kind: 'restoring' };
      return [{ type: 'restore' }];
    }
    this.roster.level(top);
    this.state = { kind: 'holding' };
    return [...this.sendToFetch(), ...this.reform(this.why)];
  }

  private canForm(): boolean {
    return this.self.standing === 'ready' && this.roster.ready().length >= this.options.workersMin;
  }

  /** Begin a new generation with all that are level; hold while that is not possible. */
  private reform(why: string): Effect[] {
    this.why = why;
    const { state, options, roster } = this;
    if (state.kind === 'gathering' || state.kind === 'restoring') return [];
    if (state.kind === 'committing') {
      // The row of the generation before is still being written: its answer comes back here.
      state.again = true;
      return [];
    }
    if (roster.ready().length === 0) return this.settle();
    if (!this.canForm()) {
      this.state = { kind: 'holding' };
      const news = `${roster.ready().length} workers are level, ${options.workersMin} are needed`;
      return [...this.departed.release(), ...(state.kind === 'holding' ? [] : [{ type: 'news', why: news } as const])];
    }
    this.generation += 1;
    const gang = roster.gang(this.generation, this.self, options.workersMax);
    if (!this.course.mayGoOn(gang)) this.stop();
    this.state = { kind: 'committing', gang, again: false };
    return [{ type: 'commit-generation', gang, fromStep: roster.readyStep(), why }];
  }

  private stop(): void {
    this.course.stop(this.generation);
    this.doubts.newGeneration();
  }

  private startOver(): Effect[] {
    this.stop();
    return this.reform(this.why);
  }

  private open(gang: Gang): Effect[] {
    if (!this.course.isStopped) {
      const turn = this.course.turnInto(gang);
      return turn === undefined ? this.startOver() : this.begin(gang, { fromStep: turn.fromStep, behind: [] });
    }
    const { top, lender, late, behind } = alignment(this.roster.among(gang.workers));
    if (late.length > 0) {
      for (const known of late) startAfresh(known);
      return [...this.sendToFetch(), ...this.reform(this.why)];
    }
    const lends = lender === undefined ? {} : { lender: lender.member.taskId };
    return this.begin(gang, { fromStep: top, behind, ...lends });
  }

  private begin(gang: Gang, how: Omit<MessageOf<'begin'>, 'type' | 'gang'>): Effect[] {
    for (const known of this.roster.among(gang.workers)) delete known.donor;
    this.state = { kind: 'open', gang };
    this.course.began(gang);
    const message: Message = { type: 'begin', gang, ...how };
    return [...membersOf(gang).map((to): Effect => ({ type: 'send', to, message })), ...this.sendToFetch()];
  }

  /** Everybody that is behind is told whose state to copy; while we gather or restore there is none to be given. */
  private sendToFetch(): Effect[] {
    if (this.state.kind === 'gathering' || this.state.kind === 'restoring') return [];
    return this.roster.assignDonors(this.generation);
  }

  private donorFailed(known: Known): Effect[] {
    const others = this.roster.failDonor(known);
    if (others) return this.sendToFetch();
    if (known !== this.self) return this.lost([known.member.taskId], 'unreachable');
    known.failedDonors.clear();
    return this.sendToFetch();
  }

  /** It is not one of us any more. Its slot is not free before that is committed (LD5). */
  private dropOut(member: GangMember, why: Loss): Effect[] {
    const { taskId } = member;
    if (this.state.kind === 'gathering') this.state.awaited.delete(taskId);
    this.roster.delete(taskId);
    this.doubts.forget(taskId);
    return this.departed.add(member, why);
  }
}
