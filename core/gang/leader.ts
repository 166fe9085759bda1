/**
 * The leader's part: who is there, who is level, and when a new generation begins. One member at a time runs it, the one
 * that holds the lease; a member that takes the lease over begins with what the others tell it.
 *
 *   gathering --> (restore) --> forming --> open --> forming --> open ...
 *                                  |                    ^
 *                                  +--> holding --------+      fewer workers than min: wait for machines
 *
 * Forming is in two beats: the gang row is committed with the new number, everybody is told to `prepare` and says which
 * step it is at; then `begin` names the step to go on with: the greatest, so no applied step is lost (R2, P3).
 *
 * Invariants
 *  LD1 A generation number is used only after the gang row was committed with it (P5).
 *  LD2 `begin` is sent when every member of the gang has answered `prepare`; who does not answer is dropped, and the
 *      number is spent.
 *  LD3 A worker whose state is behind by more than one step is not counted in: it fetches the state first, beside the others.
 */
import type { GangMember, TaskId } from '../run.ts';
import type { Effect } from './effects.ts';
import { type Gang, type Message, type MessageOf, membersOf } from './messages.ts';

export interface LeaderOptions {
  readonly self: GangMember;
  readonly workersMin: number;
  readonly workersMax: number;
  readonly parameterServers: number;
  /** How long a first gathering waits for the last of them once workersMin are there. */
  readonly gatherMs: number;
  readonly memberTimeoutMs: number;
}

interface Known {
  readonly member: GangMember;
  step: number;
  hasState: boolean;
  /** `ready`: level with the others, to be counted in; `fetching`: copies the state from the donor. */
  standing: 'ready' | 'fetching' | 'new';
  donor?: TaskId;
  heardMs: number;
}

type State =
  | {
      readonly kind: 'gathering';
      readonly expected: ReadonlySet<TaskId>;
      readonly untilMs: number;
      readonly takeover: boolean;
    }
  | { readonly kind: 'restoring' }
  | { readonly kind: 'committing'; readonly gang: Gang; readonly why: string }
  | { readonly kind: 'forming'; readonly gang: Gang; readonly waiting: Set<TaskId>; readonly sinceMs: number }
  | { readonly kind: 'open'; readonly gang: Gang; readonly fromStep: number }
  | { readonly kind: 'holding'; readonly sinceMs: number };

export class Leader {
  state: State;
  private readonly options: LeaderOptions;
  private readonly known = new Map<TaskId, Known>();
  private generation: number;
  private lastWhy = 'first gang';
  /** The membership changed again while the gang row was being written. */
  private stale = false;
  /** Who was dropped; it learns so when it comes back. */
  private readonly dropped = new Set<TaskId>();

  /**
   * `survivors`: members of the last gang that may still be there; empty on a fresh start. `self` says where we stand.
   */
  constructor(
    options: LeaderOptions,
    from: { generation: number; survivors: readonly GangMember[]; hasState: boolean; step: number; nowMs: number },
  ) {
    this.options = options;
    this.generation = from.generation;
    const takeover = from.survivors.length > 0 || from.hasState;
    this.state = {
      kind: 'gathering',
      expected: new Set(from.survivors.map((member) => member.taskId).filter((id) => id !== options.self.taskId)),
      untilMs: from.nowMs + (takeover ? options.memberTimeoutMs : options.gatherMs),
      takeover,
    };
    this.meet(options.self, from.hasState, from.step, from.nowMs);
    if (takeover) this.lastWhy = 'leader replaced';
  }

  hello(message: MessageOf<'hello'>, nowMs: number): Effect[] {
    const { member } = message;
    if (this.dropped.has(member.taskId)) {
      return [{ type: 'send', to: member, message: { type: 'fenced', generation: this.generation } }];
    }
    const before = this.known.get(member.taskId);
    if (before !== undefined) {
      // It found us twice; what it says now counts while we gather, later the generation knows better.
      before.heardMs = nowMs;
      if (this.state.kind === 'gathering') {
        before.step = message.step;
        before.hasState = message.hasState;
      }
      return this.advance(nowMs);
    }
    this.meet(member, message.hasState, message.step, nowMs);
    const effects: Effect[] = [
      { type: 'record', event: 'member.joined', detail: { slot: member.slot, taskId: member.taskId } },
    ];
    if (this.state.kind === 'gathering' || this.state.kind === 'restoring') return [...effects, ...this.advance(nowMs)];
    const fresh = this.known.get(member.taskId) as Known;
    // Nobody has trained yet while every state is the seed's: such a newcomer is level without fetching anything.
    if (member.role === 'worker') fresh.standing = this.topStep() === 0 ? 'ready' : 'new';
    if (member.role === 'worker' && fresh.standing === 'new')
      return [...effects, ...this.sendToFetch(fresh), ...this.advance(nowMs)];
    return [...effects, ...this.reform(`${member.slot} joined`, nowMs)];
  }

  beat(from: TaskId, step: number, nowMs: number): void {
    const known = this.known.get(from);
    if (known === undefined) return;
    known.heardMs = nowMs;
    known.step = Math.max(known.step, step);
  }

  /** Anything a member says shows that it lives. */
  heard(from: TaskId, nowMs: number): void {
    const known = this.known.get(from);
    if (known !== undefined) known.heardMs = nowMs;
  }

  caughtUp(from: TaskId, step: number, nowMs: number): Effect[] {
    const known = this.known.get(from);
    if (known === undefined || known.standing !== 'fetching') return [];
    known.standing = 'ready';
    known.hasState = true;
    known.step = step;
    return [
      { type: 'record', event: 'member.caught-up', detail: { slot: known.member.slot, step } },
      ...this.reform(`${known.member.slot} caught up`, nowMs),
    ];
  }

  lost(peer: TaskId, why: string, nowMs: number): Effect[] {
    const known = this.known.get(peer);
    if (this.state.kind === 'gathering' && this.state.expected.has(peer)) {
      const expected = new Set(this.state.expected);
      expected.delete(peer);
      this.state = { ...this.state, expected };
    }
    if (known === undefined) return this.advance(nowMs);
    this.known.delete(peer);
    this.dropped.add(peer);
    const effects: Effect[] = [
      {
        type: 'record',
        event: why === 'silent' ? 'member.silent' : why === 'left' ? 'member.left' : 'member.lost',
        detail: { slot: known.member.slot, taskId: peer, why },
      },
      { type: 'drop', peer: known.member, why },
      { type: 'news', why: `${known.member.slot} ${why}` },
    ];
    for (const other of this.known.values()) {
      if (other.donor !== peer) continue;
      delete other.donor;
      if (other.standing === 'fetching') effects.push(...this.sendToFetch(other));
    }
    const inGang = this.gangNow()?.some((member) => member.taskId === peer) ?? false;
    return inGang
      ? [...effects, ...this.reform(`${known.member.slot} ${why}`, nowMs)]
      : [...effects, ...this.advance(nowMs)];
  }

  committed(generation: number, nowMs: number): Effect[] {
    if (this.state.kind !== 'committing' || this.state.gang.generation !== generation) return [];
    const { gang, why } = this.state;
    const members = membersOf(gang);
    const { stale } = this;
    this.stale = false;
    this.state = { kind: 'forming', gang, waiting: new Set(members.map((member) => member.taskId)), sinceMs: nowMs };
    // Somebody came or went meanwhile: the number is spent, form the next one.
    if (stale) return this.reform(this.lastWhy, nowMs);
    return [
      {
        type: 'record',
        event: 'generation.formed',
        detail: { generation, why, workers: gang.workers.map((m) => m.slot), servers: gang.servers.map((m) => m.slot) },
      },
      ...members.map(
        (to): Effect => ({
          type: 'send',
          to,
          message: { type: 'prepare', generation, leader: this.options.self.taskId },
        }),
      ),
    ];
  }

  prepared(from: TaskId, message: MessageOf<'prepared'>, nowMs: number): Effect[] {
    const known = this.known.get(from);
    if (known === undefined || this.state.kind !== 'forming' || message.generation !== this.state.gang.generation)
      return [];
    known.heardMs = nowMs;
    known.step = message.step;
    known.hasState = message.hasState;
    this.state.waiting.delete(from);
    if (this.state.waiting.size > 0) return [];
    return this.open(this.state.gang, nowMs);
  }

  restored(step: number, nowMs: number): Effect[] {
    if (this.state.kind !== 'restoring') return [];
    const self = this.known.get(this.options.self.taskId) as Known;
    self.step = step;
    self.hasState = true;
    return this.settle(step, 'training starts', nowMs);
  }

  tick(nowMs: number): Effect[] {
    const silent = [...this.known.values()].filter(
      (known) =>
        known.member.taskId !== this.options.self.taskId && nowMs - known.heardMs > this.options.memberTimeoutMs,
    );
    return [...silent.flatMap((known) => this.lost(known.member.taskId, 'silent', nowMs)), ...this.advance(nowMs)];
  }

  isMember(taskId: TaskId): boolean {
    return this.known.has(taskId);
  }

  members(): readonly GangMember[] {
    return [...this.known.values()].map((known) => known.member);
  }

  private meet(member: GangMember, hasState: boolean, step: number, nowMs: number): void {
    this.known.set(member.taskId, { member, hasState, step, standing: 'new', heardMs: nowMs });
  }

  /** What time and arrivals allow in a waiting state. */
  private advance(nowMs: number): Effect[] {
    const { state, options } = this;
    if (state.kind === 'holding')
      return this.workers().length >= options.workersMin ? this.reform('enough workers again', nowMs) : [];
    if (state.kind !== 'gathering') return [];
    const all = [...this.known.values()];
    const workers = all.filter((known) => known.member.role === 'worker');
    const servers = all.length - workers.length;
    const here = [...state.expected].every((id) => this.known.has(id));
    const full = state.takeover
      ? here
      : here && workers.length >= options.workersMax && servers >= options.parameterServers;
    if (!full && nowMs < state.untilMs) return [];
    if (workers.length < options.workersMin) return [];
    const states = workers.filter((known) => known.hasState);
    if (states.length === 0) {
      this.state = { kind: 'restoring' };
      return [{ type: 'restore' }];
    }
    return this.settle(Math.max(...states.map((known) => known.step)), this.lastWhy, nowMs);
  }

  /** Who is level with `top` is ready; the others fetch. */
  private settle(top: number, why: string, nowMs: number): Effect[] {
    const fetching: Known[] = [];
    for (const known of this.workers('any')) {
      const level = known.hasState ? known.step >= top - 1 : top === 0;
      known.standing = level ? 'ready' : 'new';
      if (!level) fetching.push(known);
    }
    return [...this.reform(why, nowMs), ...fetching.flatMap((known) => this.sendToFetch(known))];
  }

  /** Begin a new generation with all that are ready; below min, hold. */
  private reform(why: string, nowMs: number): Effect[] {
    this.lastWhy = why;
    if (this.state.kind === 'gathering' || this.state.kind === 'restoring') {
      if (this.workers().length === 0) return [];
    }
    // The row of the generation before is still being written: its answer comes back here.
    if (this.state.kind === 'committing') {
      this.stale = true;
      return [];
    }
    const workers = this.workers();
    if (workers.length < this.options.workersMin) {
      // Blank newcomers count towards min only once they can be level; with nobody level they would wait for ever.
      if (this.state.kind === 'holding') return [];
      this.state = { kind: 'holding', sinceMs: nowMs };
      return [{ type: 'news', why: `${workers.length} workers are left, ${this.options.workersMin} are needed` }];
    }
    const bySlot = (a: Known, b: Known): number => slotIndex(a.member) - slotIndex(b.member);
    const servers = [...this.known.values()].filter((known) => known.member.role === 'parameter-server');
    this.generation += 1;
    const gang: Gang = {
      generation: this.generation,
      leader: this.options.self.taskId,
      workers: workers
        .sort(bySlot)
        .slice(0, this.options.workersMax)
        .map((known) => known.member),
      servers: servers.sort(bySlot).map((known) => known.member),
    };
    this.state = { kind: 'committing', gang, why };
    return [{ type: 'commit-generation', gang, fromStep: this.topStep(), why }];
  }

  private open(gang: Gang, nowMs: number): Effect[] {
    const standing = gang.workers.map((member) => this.known.get(member.taskId)).filter((known) => known !== undefined);
    const top = Math.max(...standing.map((known) => known.step));
    // More than one step behind is only possible for one whose donor went: it has to fetch again (LD3).
    const late = standing.filter((known) => known.step < top - 1 && known.donor === undefined);
    if (late.length > 0) {
      for (const known of late) known.standing = 'new';
      return [...late.flatMap((known) => this.sendToFetch(known)), ...this.reform(this.lastWhy, nowMs)];
    }
    const lender = (standing.find((known) => known.step === top) as Known).member.taskId;
    const behind = standing.filter((known) => known.step < top).map((known) => known.member.taskId);
    for (const known of standing) delete known.donor;
    this.state = { kind: 'open', gang, fromStep: top };
    const message: Message = { type: 'begin', gang, fromStep: top, behind, lender };
    const waiting = this.workers('any').filter((known) => known.standing === 'new');
    return [
      ...membersOf(gang).map((to): Effect => ({ type: 'send', to, message })),
      ...waiting.flatMap((known) => this.sendToFetch(known)),
    ];
  }

  private sendToFetch(known: Known): Effect[] {
    const donors = this.workers('any').filter(
      (other) => other.standing === 'ready' && other.hasState && other !== known,
    );
    const top = Math.max(...donors.map((donor) => donor.step));
    const donor = donors.find((candidate) => candidate.step >= top - 1);
    known.standing = donor === undefined ? 'new' : 'fetching';
    if (donor === undefined) return [];
    known.donor = donor.member.taskId;
    return [
      { type: 'send', to: known.member, message: { type: 'fetch', generation: this.generation, donor: donor.member } },
    ];
  }

  private workers(which: 'ready' | 'any' = 'ready'): Known[] {
    return [...this.known.values()].filter(
      (known) => known.member.role === 'worker' && (which === 'any' || known.standing === 'ready'),
    );
  }

  private topStep(): number {
    return Math.max(
      0,
      ...this.workers('any')
        .filter((known) => known.hasState)
        .map((known) => known.step),
    );
  }

  private gangNow(): readonly GangMember[] | undefined {
    const { state } = this;
    return state.kind === 'open' || state.kind === 'forming' || state.kind === 'committing'
      ? membersOf(state.gang)
      : undefined;
  }
}

function slotIndex(member: GangMember): number {
  return Number(member.slot.slice(member.slot.lastIndexOf('/') + 1));
}
