/**
 * The gang protocol in virtual time: many tasks, one process, seeded faults. The real Member code; a stand-in for the
 * engine whose gradient is a hash of (parameters, step, shard), so that any mistake in who sums what shows in the digest.
 *
 * The same seed gives the same trace. Invariants that are checked after every event: R1 (one generation's commits at a
 * time), R2 (an applied step is never unlike the undisturbed one), and at the end R5 (same bits) and R6 (it ends).
 */
import type { Effect, Event, NodeVector } from '../../core/gang/effects.ts';
import { Member } from '../../core/gang/member.ts';
import type { Message } from '../../core/gang/messages.ts';
import { TreeSum } from '../../core/gang/tree-sum.ts';
import { hash32, uniform } from '../../core/random.ts';
import { type GangMember, type GangRow, type LeaderRow, slotName } from '../../core/run.ts';
import { rootLevel } from '../../core/shards.ts';

export interface SimOptions {
  readonly seed: number;
  readonly workers: number;
  readonly workersMin?: number;
  readonly servers: number;
  readonly shards: number;
  readonly stepsPerEpoch: number;
  readonly epochs: number;
  /** Virtual ms between faults, on average; 0 for none. */
  readonly faultEveryMs: number;
  readonly faults: readonly Fault[];
  readonly limitMs?: number;
}

export type Fault = 'kill' | 'kill-leader' | 'kill-all' | 'pause' | 'interrupt';

export interface SimOutcome {
  readonly digest: string;
  readonly generations: number;
  /** In the last gang. */
  readonly workers: number;
  readonly servers: number;
  readonly kills: number;
  readonly lostSteps: number;
  readonly virtualMs: number;
  readonly trace: readonly string[];
}

const length = 6;
const heartbeatMs = 20;
const memberTimeoutMs = 200;
const leaseMs = 150;
const faultsUntilMs = 5_000;

interface Node {
  readonly self: GangMember;
  readonly member: Member;
  parameters: Float32Array;
  alive: boolean;
  pausedUntil: number;
  readonly inbox: Event[];
  readonly links: Set<string>;
  lease: { fence: number; beat: number; sinceMs: number } | undefined;
}

interface Saved {
  readonly step: number;
  readonly parameters: Float32Array;
}

export function simulate(options: SimOptions): SimOutcome {
  const sim = new Sim(options);
  return sim.run();
}

class Sim {
  private now = 0;
  private readonly agenda: { at: number; order: number; run: () => void }[] = [];
  private order = 0;
  private draws = 0;
  private readonly nodes = new Map<string, Node>();
  private readonly options: SimOptions;
  private leader: LeaderRow | undefined;
  private gang: GangRow | undefined;
  private checkpoint: Saved | undefined;
  private fence = 0;
  private launched = 0;
  private kills = 0;
  private lostSteps = 0;
  private topStep = 0;
  private finished: string | undefined;
  /** What the parameters are after each step, as the first to get there had them: everybody must agree (R2, R5). */
  private readonly history = new Map<number, string>();
  /** Links deliver in order. */
  private readonly lastDelivery = new Map<string, number>();
  private readonly trace: string[] = [];

  constructor(options: SimOptions) {
    this.options = options;
  }

  run(): SimOutcome {
    const { workers, servers, faultEveryMs, limitMs = 20_000 } = this.options;
    for (let i = 0; i < workers; i += 1) this.spawn('worker');
    for (let i = 0; i < servers; i += 1) this.spawn('parameter-server');
    this.at(500, () => this.controlPlane());
    if (faultEveryMs > 0) this.at(this.pick(faultEveryMs * 2) + 50, () => this.fault());
    while (this.finished === undefined) {
      const next = this.next();
      if (next === undefined || next.at > limitMs)
        throw new Error(this.report(`no end after ${Math.round(this.now)} virtual ms`));
      this.now = next.at;
      next.run();
    }
    const { kills, lostSteps, trace } = this;
    const members = this.gang?.members ?? [];
    return {
      workers: members.filter((member) => member.role === 'worker').length,
      servers: members.filter((member) => member.role === 'parameter-server').length,
      digest: this.finished,
      generations: this.gang?.generation ?? 0,
      kills,
      lostSteps,
      virtualMs: this.now,
      trace,
    };
  }

  private spawn(role: GangMember['role']): void {
    const count = role === 'worker' ? this.options.workers : this.options.servers;
    const taken = new Set([...this.nodes.values()].filter((node) => node.alive).map((node) => node.self.slot));
    const index = Array.from({ length: count }, (_, i) => i).find((i) => !taken.has(slotName(role, i)));
    if (index === undefined) return;
    this.launched += 1;
    const taskId = `t${this.launched}`;
    const self: GangMember = { taskId, slot: slotName(role, index), role, host: 'sim', port: this.launched };
    const { shards, stepsPerEpoch, epochs, workers, servers, workersMin = 1 } = this.options;
    const member = new Member({
      self,
      shape: { shards, vectorLength: length, stepsPerEpoch, totalSteps: stepsPerEpoch * epochs, checkpointEvery: 3 },
      leader: { workersMin, workersMax: workers, parameterServers: servers, gatherMs: 100 },
      heartbeatIntervalMs: heartbeatMs,
      patience: { floorMs: memberTimeoutMs, firstStepMs: memberTimeoutMs, blinkMs: 20 },
      graceMs: 50,
      report: () => ({ state: 'training', memoryMiB: 0, computeShare: 0, wireShare: 0, waitShare: 0 }),
    });
    const parameters = new Float32Array(length).map((_, i) => hash32(1, i) / 2 ** 32);
    const node: Node = {
      self,
      member,
      parameters,
      alive: true,
      pausedUntil: 0,
      inbox: [],
      links: new Set(),
      lease: undefined,
    };
    this.nodes.set(taskId, node);
    this.note(`${taskId} up as ${self.slot}`);
    this.at(this.pick(30), () => this.perform(node, member.start()));
    const tick = (): void => {
      if (!node.alive) return;
      this.deliver(node, { type: 'tick' });
      this.at(5, tick);
    };
    this.at(5, tick);
  }

  private deliver(node: Node, event: Event): void {
    if (!node.alive || this.finished !== undefined) return;
    if (node.pausedUntil > this.now) {
      // A stopped process takes no events, but the kernel keeps what was sent to it; its timers do not pile up.
      if (event.type !== 'tick') this.at(node.pausedUntil - this.now, () => this.deliver(node, event));
      return;
    }
    this.perform(node, node.member.handle(event, this.now));
  }

  private perform(node: Node, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (!node.alive) return;
      this.carryOut(node, effect);
    }
  }

  private carryOut(node: Node, effect: Effect): void {
    const { member, self } = node;
    const later = (ms: number, event: () => Event | undefined): void =>
      this.at(1 + this.pick(ms), () => {
        const made = node.alive ? event() : undefined;
        if (made !== undefined) this.deliver(node, made);
      });
    switch (effect.type) {
      case 'send':
        this.send(node, effect.to, effect.message);
        return;
      case 'compute':
        later(10, () => {
          if (member.generation !== effect.generation) return undefined;
          const parts = this.contribution(node, effect.step, effect.shards);
          return { type: 'computed', generation: effect.generation, step: effect.step, parts };
        });
        return;
      case 'apply':
        node.parameters = node.parameters.map((value, i) =>
          Math.fround(value + Math.fround(0.1 * (effect.reduced[i] as number))),
        );
        this.applied(node, effect.step + 1);
        return;
      case 'lend': {
        const payload = node.parameters.slice();
        const message: Message = {
          type: 'snapshot',
          step: effect.step,
          sums: [0, 0, 0],
          lastSums: [0, 0, 0],
          parameterLength: length,
          payload,
        };
        this.send(node, effect.to, message);
        return;
      }
      case 'load':
        node.parameters = effect.payload.slice();
        this.agree(node, effect.step);
        return;
      case 'seek-leader':
        later(3, () => this.seek(node, effect.gone));
        return;
      case 'commit-generation':
        later(5, () => {
          const { gang } = effect;
          if (this.leader?.taskId !== self.taskId) {
            return this.leader === undefined ? undefined : { type: 'lease-other', row: this.leader };
          }
          if (this.gang !== undefined && this.gang.generation >= gang.generation) {
            return { type: 'generation-refused', current: this.gang.generation };
          }
          const members = [...gang.workers, ...gang.servers];
          this.gang = {
            generation: gang.generation,
            leader: self.taskId,
            members,
            fromStep: effect.fromStep,
            atMs: this.now,
            why: effect.why,
          };
          this.fence = gang.generation;
          this.note(`generation ${gang.generation} by ${self.taskId}: ${members.map((m) => m.taskId)} (${effect.why})`);
          return { type: 'generation-committed', generation: gang.generation };
        });
        return;
      case 'restore':
        later(10, () => {
          const saved = this.checkpoint;
          this.lostSteps += Math.max(0, this.topStep - (saved?.step ?? 0));
          if (saved !== undefined) node.parameters = saved.parameters.slice();
          return { type: 'restored', step: saved?.step ?? 0 };
        });
        return;
      case 'evaluate':
        later(8, () => ({ type: 'evaluated', step: effect.step, stop: false }));
        return;
      case 'checkpoint': {
        const saved = { step: effect.step, parameters: node.parameters.slice() };
        this.at(5 + this.pick(10), () => this.save(node, effect.generation, saved));
        return;
      }
      case 'finish':
        this.note(`finished by ${self.taskId} at ${effect.step}`);
        if (this.fence === member.generation) this.finished = digest(node.parameters);
        return;
      case 'drop':
        node.links.delete(effect.peer.taskId);
        this.cut(effect.peer.taskId, self.taskId, false);
        return;
      case 'record':
        if (effect.event !== 'frame.refused')
          this.note(`${self.taskId} ${effect.event} ${JSON.stringify(effect.detail)}`);
        return;
      case 'news':
        return;
      case 'exit':
        if (effect.save)
          this.save(node, member.generation, { step: member.trainer.step, parameters: node.parameters.slice() });
        this.note(`${self.taskId} exits: ${effect.why}`);
        this.die(node);
    }
  }

  private save(node: Node, generation: number, saved: Saved): void {
    if (!node.alive || generation < this.fence || (this.checkpoint?.step ?? -1) >= saved.step) return;
    this.checkpoint = saved;
  }

  private seek(node: Node, gone: string | undefined): Event | undefined {
    const row = this.leader;
    if (row?.taskId === node.self.taskId) return undefined;
    if (row !== undefined && (row.fence !== node.lease?.fence || row.beat !== node.lease.beat)) {
      node.lease = { fence: row.fence, beat: row.beat, sinceMs: this.now };
    }
    const stale = node.lease !== undefined && this.now - node.lease.sinceMs > leaseMs;
    if (row !== undefined && row.taskId !== gone && !stale) return { type: 'lease-other', row };
    if (node.self.role !== 'worker') return row === undefined ? undefined : { type: 'lease-other', row };
    const { taskId, slot, host, port } = node.self;
    this.leader = { taskId, slot, host, port, fence: (row?.fence ?? 0) + 1, beat: 0 };
    const renew = (): void => {
      if (!node.alive) return;
      if (node.pausedUntil <= this.now) {
        if (this.leader?.taskId !== taskId) {
          if (this.leader !== undefined) this.deliver(node, { type: 'lease-other', row: this.leader });
          return;
        }
        this.leader = { ...this.leader, beat: this.leader.beat + 1 };
      }
      this.at(leaseMs / 3, renew);
    };
    this.at(leaseMs / 3, renew);
    return { type: 'lease-held', row: this.leader, gang: this.gang, savedStep: this.checkpoint?.step ?? 0 };
  }

  private send(from: Node, to: GangMember, message: Message): void {
    const target = this.nodes.get(to.taskId);
    if (target === undefined || !target.alive) {
      this.at(1 + this.pick(3), () => this.deliver(from, { type: 'link-lost', peer: to.taskId, refused: true }));
      return;
    }
    from.links.add(to.taskId);
    target.links.add(from.self.taskId);
    const key = `${from.self.taskId}>${to.taskId}`;
    const at = Math.max(this.now + 0.2 + this.draw() * 4, (this.lastDelivery.get(key) ?? 0) + 0.001);
    this.lastDelivery.set(key, at);
    const copy = structuredClone(message);
    this.at(at - this.now, () => {
      // A connection that was closed in between loses what was on the way.
      if (target.links.has(from.self.taskId))
        this.deliver(target, { type: 'message', from: from.self.taskId, message: copy });
    });
  }

  private die(node: Node): void {
    node.alive = false;
    for (const peer of node.links) this.cut(peer, node.self.taskId, true);
  }

  private cut(atTask: string, peer: string, refused: boolean): void {
    const node = this.nodes.get(atTask);
    if (node === undefined) return;
    this.at(0.5 + this.pick(3), () => {
      node.links.delete(peer);
      this.deliver(node, { type: 'link-lost', peer, refused });
    });
  }

  /** The workflow in one line: what is missing is launched, after a while. */
  private controlPlane(): void {
    for (const role of ['worker', 'parameter-server'] as const) {
      const wanted = role === 'worker' ? this.options.workers : this.options.servers;
      const here = [...this.nodes.values()].filter((node) => node.alive && node.self.role === role).length;
      for (let i = here; i < wanted; i += 1) this.at(this.pick(60), () => this.spawn(role));
    }
    this.at(40, () => this.controlPlane());
  }

  private fault(): void {
    // A liveness phase follows the safety phase: with no more faults everything must come to its end.
    if (this.now > faultsUntilMs) return;
    const { faults, faultEveryMs } = this.options;
    const alive = [...this.nodes.values()].filter((node) => node.alive);
    const kind = faults[Math.floor(this.draw() * faults.length)] as Fault;
    const victim =
      kind === 'kill-leader'
        ? this.nodes.get(this.leader?.taskId ?? '')
        : alive[Math.floor(this.draw() * alive.length)];
    this.note(`fault ${kind} ${victim?.self.taskId}`);
    if (kind === 'kill-all') for (const node of alive) this.kill(node);
    else if (victim?.alive) {
      if (kind === 'pause') victim.pausedUntil = this.now + 100 + this.pick(600);
      else if (kind === 'interrupt') this.deliver(victim, { type: 'interrupt' });
      else this.kill(victim);
    }
    this.at(this.pick(faultEveryMs * 2), () => this.fault());
  }

  private kill(node: Node): void {
    this.kills += 1;
    this.die(node);
  }

  private contribution(node: Node, step: number, shards: { from: number; to: number }): NodeVector[] {
    const tree = new TreeSum(this.options.shards);
    const state = hash32(0, ...new Uint32Array(node.parameters.slice().buffer));
    let whole: Float32Array | undefined;
    for (let shard = shards.from; shard < shards.to; shard += 1) {
      const vector = new Float32Array(length).map((_, i) => uniform(state, step, shard, i) - 0.5);
      whole = tree.add({ level: 0, index: shard }, vector);
    }
    return whole === undefined
      ? tree.rest()
      : [{ node: { level: rootLevel(this.options.shards), index: 0 }, vector: whole }];
  }

  private applied(node: Node, step: number): void {
    this.topStep = Math.max(this.topStep, step);
    this.agree(node, step);
  }

  private agree(node: Node, step: number): void {
    const mine = digest(node.parameters);
    const known = this.history.get(step);
    if (known === undefined) this.history.set(step, mine);
    else if (known !== mine)
      throw new Error(this.report(`${node.self.taskId} has other parameters after step ${step}`));
  }

  private note(line: string): void {
    this.trace.push(`${this.now.toFixed(1)} ${line}`);
  }

  private report(what: string): string {
    return `seed ${this.options.seed}: ${what}\n${this.trace.slice(-60).join('\n')}\nsteps ${JSON.stringify(
      [...this.nodes.values()]
        .filter((n) => n.alive)
        .map((n) => [
          n.self.taskId,
          n.self.slot,
          n.member.generation,
          n.member.trainer.step,
          n.member.trainer.phase,
          n.member.leading?.state.kind,
        ]),
    )}`;
  }

  private at(inMs: number, run: () => void): void {
    this.order += 1;
    push(this.agenda, { at: this.now + inMs, order: this.order, run });
  }

  private next() {
    return pop(this.agenda);
  }

  private draw(): number {
    this.draws += 1;
    return uniform(this.options.seed, this.draws);
  }

  private pick(below: number): number {
    return this.draw() * below;
  }
}

export function digest(values: Float32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('hex');
}

interface Due {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

const before = (a: Due, b: Due): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** A binary heap. */
function push(heap: Due[], item: Due): void {
  heap.push(item);
  for (let i = heap.length - 1; i > 0; ) {
    const parent = (i - 1) >> 1;
    if (!before(heap[i] as Due, heap[parent] as Due)) return;
    [heap[i], heap[parent]] = [heap[parent] as Due, heap[i] as Due];
    i = parent;
  }
}

function pop(heap: Due[]): Due | undefined {
  const top = heap[0];
  const last = heap.pop();
  if (top === undefined || last === undefined || heap.length === 0) return top;
  heap[0] = last;
  for (let i = 0; ; ) {
    const left = 2 * i + 1;
    let least = i;
    if (left < heap.length && before(heap[left] as Due, heap[least] as Due)) least = left;
    if (left + 1 < heap.length && before(heap[left + 1] as Due, heap[least] as Due)) least = left + 1;
    if (least === i) return top;
    [heap[i], heap[least]] = [heap[least] as Due, heap[i] as Due];
    i = least;
  }
}
