/**
 * Asynchronous training in virtual time: many tasks, one process, seeded faults. The real AsyncMember code; a stand-in for
 * the engine whose contribution is whole numbers that follow from the item alone, so that the final values are one known
 * sum, whatever the order: an item that is lost or applied twice shows in them.
 *
 * The same seed gives the same trace. Checked on the way: staleness (by a counter that travels in the values themselves,
 * not by what the protocol says of it), no acknowledged item lost; at the end: every value, every epoch's sums, R6.
 */
import { Applied, inAll } from '../../core/gang/async/applied.ts';
import type { AsyncEffect, AsyncEvent } from '../../core/gang/async/effects.ts';
import { AsyncMember } from '../../core/gang/async/member.ts';
import type { WireMessage } from '../../core/gang/async/messages.ts';
import { type Copy, cutOut, type Partitioning, putTogether, rangeOf } from '../../core/gang/async/partition.ts';
import { membersOf } from '../../core/gang/messages.ts';
import { hash32, uniform } from '../../core/random.ts';
import { type GangMember, type GangRow, type LeaderRow, slotName } from '../../core/run.ts';

export type Fault = 'kill' | 'kill-leader' | 'kill-server' | 'kill-all' | 'pause' | 'interrupt';

export interface AsyncSimOptions {
  readonly seed: number;
  readonly workers: number;
  readonly servers: number;
  readonly maxStaleness: number;
  readonly stepsPerEpoch: number;
  readonly epochs: number;
  /** Virtual ms between faults, on average; 0 for none. */
  readonly faultEveryMs: number;
  readonly faults: readonly Fault[];
  /** Strike only while every partition is held twice: then nothing acknowledged may ever be lost. */
  readonly gentle?: boolean;
  /** This worker computes so many times slower. */
  readonly slow?: { readonly worker: number; readonly factor: number };
  readonly limitMs?: number;
}

export interface AsyncSimOutcome {
  readonly generations: number;
  readonly kills: number;
  /** Partitions that had to be read from a checkpoint. */
  readonly restored: number;
  /** Tasks that were told that they are out, or concluded so. */
  readonly fenced: number;
  readonly stale: number;
  readonly greatestStaleness: number;
  /** Items computed by each slot. */
  readonly computed: Readonly<Record<string, number>>;
  readonly virtualMs: number;
  readonly trace: readonly string[];
}

const heartbeatMs = 20;
const memberTimeoutMs = 200;
const leaseMs = 150;
const faultsUntilMs = 4_000;
const trainableLength = 7;
const parameterLength = 10;

interface Node {
  readonly self: GangMember;
  readonly member: AsyncMember;
  alive: boolean;
  pausedUntil: number;
  leaving: boolean;
  readonly links: Set<string>;
  lease: { fence: number; beat: number; sinceMs: number } | undefined;
}

export function simulateAsync(options: AsyncSimOptions): AsyncSimOutcome {
  return new AsyncSim(options).run();
}

class AsyncSim {
  private now = 0;
  private readonly agenda: { at: number; order: number; run: () => void }[] = [];
  private order = 0;
  private draws = 0;
  private readonly nodes = new Map<string, Node>();
  private readonly options: AsyncSimOptions;
  private readonly cut: Partitioning;
  private readonly total: number;
  private leader: LeaderRow | undefined;
  private gang: GangRow | undefined;
  private checkpoint: { step: number; copies: readonly Copy[] } | undefined;
  private fence = 0;
  private launched = 0;
  private kills = 0;
  private restored = 0;
  /** Since the last opening. */
  private wasRestored = false;
  private fenced = 0;
  private stale = 0;
  private greatestStaleness = 0;
  private attempts = 0;
  /** True version of each partition when the attempt pulled it. */
  private readonly bases = new Map<number, readonly number[]>();
  private readonly acknowledged = new Set<number>();
  /** Acknowledged, but of some partition no task that was awake had it any more. */
  private readonly gone = new Set<number>();
  private readonly computed: Record<string, number> = {};
  private finished = false;
  private readonly lastDelivery = new Map<string, number>();
  private readonly trace: string[] = [];

  constructor(options: AsyncSimOptions) {
    this.options = options;
    this.cut = { partitions: Math.max(1, options.servers), parameterLength, trainableLength, slots: 1, tailLength: 3 };
    this.total = options.stepsPerEpoch * options.epochs;
  }

  run(): AsyncSimOutcome {
    const { workers, servers, faultEveryMs, limitMs = 20_000 } = this.options;
    for (let i = 0; i < workers; i += 1) this.spawn('worker');
    for (let i = 0; i < servers; i += 1) this.spawn('parameter-server');
    this.at(500, () => this.controlPlane());
    if (faultEveryMs > 0) this.at(this.pick(faultEveryMs * 2) + 50, () => this.fault());
    while (!this.finished) {
      const next = this.next();
      if (next === undefined || next.at > limitMs) throw this.wrong(`no end after ${Math.round(this.now)} virtual ms`);
      this.now = next.at;
      next.run();
    }
    const { kills, restored, fenced, stale, greatestStaleness, computed, trace } = this;
    const generations = this.gang?.generation ?? 0;
    return { generations, kills, restored, fenced, stale, greatestStaleness, computed, virtualMs: this.now, trace };
  }

  private spawn(role: GangMember['role']): void {
    const { workers, servers, maxStaleness, stepsPerEpoch } = this.options;
    const count = role === 'worker' ? workers : servers;
    const taken = new Set([...this.nodes.values()].filter((node) => node.alive).map((node) => node.self.slot));
    const index = Array.from({ length: count }, (_, i) => i).find((i) => !taken.has(slotName(role, i)));
    if (index === undefined) return;
    this.launched += 1;
    const taskId = `t${this.launched}`;
    const self: GangMember = { taskId, slot: slotName(role, index), role, host: 'sim', port: this.launched };
    const member = new AsyncMember({
      self,
      training: { partitioning: this.cut, stepsPerEpoch, totalSteps: this.total, maxStaleness, checkpointEvery: 3 },
      leader: { workersMin: 1, workersMax: workers, parameterServers: servers, gatherMs: 100 },
      heartbeatIntervalMs: heartbeatMs,
      patience: { floorMs: memberTimeoutMs, firstStepMs: memberTimeoutMs, blinkMs: 20 },
      graceMs: 50,
      report: () => ({ state: 'training', memoryMiB: 0, computeShare: 0, wireShare: 0, waitShare: 0 }),
      update: (partition, values, payload) => this.update(partition, values, payload),
    });
    const node: Node = {
      self,
      member,
      alive: true,
      pausedUntil: 0,
      leaving: false,
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

  /** The first value of a partition counts its updates: that is the true version. */
  private update(partition: number, values: Float32Array, payload: Float32Array): void {
    const attempt = payload[payload.length - 2] as number;
    const base = this.bases.get(attempt)?.[partition] ?? Number.NaN;
    const staleness = (values[0] as number) - base;
    if (!(staleness >= 0 && staleness <= this.options.maxStaleness)) {
      throw this.wrong(`partition ${partition} takes an update ${staleness} versions old`);
    }
    this.greatestStaleness = Math.max(this.greatestStaleness, staleness);
    for (let i = 0; i < payload.length - 3; i += 1) values[i] = (values[i] as number) + (payload[i] as number);
    for (let i = payload.length - 3; i < values.length; i += 1) values[i] = (values[i] as number) + 1;
  }

  private contribution(item: number, parameters: Float32Array): Float32Array {
    this.attempts += 1;
    const starts = Array.from({ length: this.cut.partitions }, (_, p) => rangeOf(this.cut, p).from);
    this.bases.set(
      this.attempts,
      starts.map((from) => parameters[from] as number),
    );
    return Float32Array.from([...this.expectedOf(item), item, this.attempts, 1]);
  }

  private expectedOf(item: number): number[] {
    const starts = new Set(Array.from({ length: this.cut.partitions }, (_, p) => rangeOf(this.cut, p).from));
    return Array.from({ length: parameterLength }, (_, i) => (starts.has(i) ? 1 : hash32(7, item, i) % 1000));
  }

  private deliver(node: Node, event: AsyncEvent): void {
    if (!node.alive || this.finished) return;
    if (node.pausedUntil > this.now) {
      if (event.type !== 'tick') this.at(node.pausedUntil - this.now, () => this.deliver(node, event));
      return;
    }
    this.perform(node, node.member.handle(event, this.now));
    const { state } = node.member.steward;
    if (state.kind === 'open' && this.leader?.taskId === node.self.taskId && this.fence === node.member.generation) {
      for (let item = 0; item < this.total; item += 1) if (state.ledger.has(item)) this.acknowledged.add(item);
    }
  }

  private perform(node: Node, effects: readonly AsyncEffect[]): void {
    for (const effect of effects) {
      if (!node.alive) return;
      this.carryOut(node, effect);
    }
  }

  private carryOut(node: Node, effect: AsyncEffect): void {
    const { member, self } = node;
    const later = (ms: number, event: () => AsyncEvent | undefined): void =>
      this.at(1 + this.pick(ms), () => {
        const made = node.alive ? event() : undefined;
        if (made !== undefined) this.deliver(node, made);
      });
    switch (effect.type) {
      case 'send':
        if (effect.message.type === 'pushed' && effect.message.outcome === 'stale') this.stale += 1;
        this.send(node, effect.to, effect.message);
        return;
      case 'compute-item': {
        const { slow } = this.options;
        const factor = slow !== undefined && self.slot === slotName('worker', slow.worker) ? slow.factor : 1;
        this.at(factor * (5 + this.pick(5)), () => {
          const { generation, item } = effect;
          this.computed[self.slot] = (this.computed[self.slot] ?? 0) + 1;
          this.deliver(node, {
            type: 'item-computed',
            generation,
            item,
            contribution: this.contribution(item, effect.parameters),
          });
        });
        return;
      }
      case 'restore-copies':
        this.wasRestored = true;
        this.note(`${self.taskId} restores partitions ${effect.partitions} in generation ${effect.generation}`);
        later(10, () => {
          const copies = effect.partitions.map((partition) => this.stored(partition));
          if (effect.generation > 1) this.restored += copies.length;
          return { type: 'copies-restored', generation: effect.generation, copies };
        });
        return;
      case 'opened': {
        const { state } = member.steward;
        if (state.kind !== 'open') return;
        const { ledger } = state;
        const lost = [...this.acknowledged].filter((item) => !ledger.has(item));
        this.note(`generation ${effect.generation} opens with ${effect.done} done, ${lost.length} lost`);
        if (effect.generation !== this.fence) return;
        const survived = lost.filter((item) => !this.gone.has(item));
        if (survived.length > 0 && !this.wasRestored) {
          throw this.wrong(`items ${survived} were acknowledged and are lost`);
        }
        for (const item of lost) {
          this.acknowledged.delete(item);
          this.gone.delete(item);
        }
        this.wasRestored = false;
        return;
      }
      case 'evaluate-epoch':
        this.checkEpoch(effect.epoch, effect.copies);
        later(8, () => ({ type: 'epoch-evaluated', epoch: effect.epoch, stop: false }));
        return;
      case 'save-copies': {
        const copies = structuredClone(effect.copies) as readonly Copy[];
        this.at(5 + this.pick(10), () => {
          const step = inAll(copies.map(({ mark }) => mark.applied)).count;
          if (!node.alive || effect.generation < this.fence || (this.checkpoint?.step ?? -1) >= step) return;
          this.checkpoint = { step, copies };
        });
        return;
      }
      case 'finish-run':
        this.note(`finished by ${self.taskId}`);
        if (this.fence !== effect.gang.generation) return;
        this.checkEnd(effect.copies);
        this.finished = true;
        return;
      case 'diverged':
        throw this.wrong('a loss that is not finite');
      case 'exit':
        this.note(`${self.taskId} exits: ${effect.why}`);
        if (effect.why === 'fenced') this.fenced += 1;
        this.die(node);
        return;
      case 'record':
        if (effect.event !== 'frame.refused')
          this.note(`${self.taskId} ${effect.event} ${JSON.stringify(effect.detail)}`);
        return;
      case 'seek-leader':
        later(3, () => this.seek(node, effect.gone));
        return;
      case 'commit-generation':
        later(5, () => {
          const { gang, why, fromStep } = effect;
          const row = this.leader;
          if (row?.taskId !== self.taskId) return row === undefined ? undefined : { type: 'lease-other', row };
          const { generation } = gang;
          if ((this.gang?.generation ?? 0) >= generation) {
            return { type: 'generation-refused', current: this.gang?.generation ?? 0 };
          }
          const members = membersOf(gang);
          this.gang = { generation, leader: self.taskId, members, fromStep, atMs: this.now, why };
          this.fence = generation;
          this.note(`generation ${generation} by ${self.taskId}: ${members.map((m) => m.taskId)} (${why})`);
          return { type: 'generation-committed', generation };
        });
        return;
      case 'drop':
        node.links.delete(effect.peer.taskId);
        this.cutLink(effect.peer.taskId, self.taskId, false);
    }
  }

  /** From the newest checkpoint, or as the seed has it: zeros here. */
  private stored(partition: number): Copy {
    const saved = this.checkpoint?.copies.find(({ mark }) => mark.partition === partition);
    if (saved !== undefined) return structuredClone(saved) as Copy;
    const zeros = { parameters: new Float32Array(parameterLength), slots: new Float32Array(trainableLength) };
    return {
      mark: { partition, generation: 0, applied: { below: 0, beyond: [] }, sums: [] },
      values: cutOut(this.cut, partition, zeros.parameters, zeros.slots),
    };
  }

  private checkEpoch(epoch: number, copies: readonly Copy[]): void {
    const { stepsPerEpoch } = this.options;
    if (inAll(copies.map(({ mark }) => mark.applied)).firstMissing < epoch * stepsPerEpoch) {
      throw this.wrong(`epoch ${epoch} is evaluated without all of its items`);
    }
    for (const { mark } of copies) {
      const [n, sum] = mark.sums.find((tally) => tally.epoch === epoch - 1)?.sums ?? [0, 0];
      const first = (epoch - 1) * stepsPerEpoch;
      const wanted = stepsPerEpoch * first + (stepsPerEpoch * (stepsPerEpoch - 1)) / 2;
      if (n !== stepsPerEpoch || sum !== wanted) throw this.wrong(`epoch ${epoch}: ${n} samples, sum ${sum}`);
    }
  }

  private checkEnd(copies: readonly Copy[]): void {
    const { parameters, slots } = putTogether(this.cut, copies);
    for (let i = 0; i < parameterLength; i += 1) {
      let sum = 0;
      for (let item = 0; item < this.total; item += 1) sum += this.expectedOf(item)[i] as number;
      if (parameters[i] !== sum) throw this.wrong(`value ${i} is ${parameters[i]}, not ${sum}`);
    }
    for (const count of slots) if (count !== this.total) throw this.wrong(`a slot was updated ${count} times`);
    for (const { mark } of copies) {
      if (mark.applied.below !== this.total) throw this.wrong(`partition ${mark.partition} has not every item`);
    }
  }

  private seek(node: Node, gone: string | undefined): AsyncEvent | undefined {
    const row = this.leader;
    const { taskId, slot, role, host, port } = node.self;
    if (row?.taskId === taskId) return undefined;
    if (row !== undefined && (row.fence !== node.lease?.fence || row.beat !== node.lease.beat)) {
      node.lease = { fence: row.fence, beat: row.beat, sinceMs: this.now };
    }
    const isStale = node.lease !== undefined && this.now - node.lease.sinceMs > leaseMs;
    if (row !== undefined && row.taskId !== gone && !isStale) return { type: 'lease-other', row };
    if (role !== 'worker') return row === undefined ? undefined : { type: 'lease-other', row };
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

  private send(from: Node, to: GangMember, message: WireMessage): void {
    const target = this.nodes.get(to.taskId);
    if (target === undefined || !target.alive) {
      this.at(1 + this.pick(3), () => this.deliver(from, { type: 'link-lost', peer: to.taskId, refused: true }));
      return;
    }
    from.links.add(to.taskId);
    target.links.add(from.self.taskId);
    const key = `${from.self.taskId}>${to.taskId}`;
    // What is large takes its time.
    const sizeMs = message.type === 'state' ? this.pick(25) : 0;
    const at = Math.max(this.now + 0.2 + sizeMs + this.draw() * 2, (this.lastDelivery.get(key) ?? 0) + 0.001);
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
    this.lookForLosses();
    for (const peer of node.links) this.cutLink(peer, node.self.taskId, true);
  }

  private cutLink(atTask: string, peer: string, refused: boolean): void {
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
      const here = this.alive().filter((node) => node.self.role === role).length;
      for (let i = here; i < wanted; i += 1) this.at(this.pick(60), () => this.spawn(role));
    }
    this.at(40, () => this.controlPlane());
  }

  private fault(): void {
    // A liveness phase follows the safety phase: with no more faults everything must come to its end.
    if (this.now > faultsUntilMs) return;
    const { faults, faultEveryMs, gentle } = this.options;
    if (gentle && !this.isHeldTwice()) {
      this.at(2, () => this.fault());
      return;
    }
    const alive = this.alive();
    const kind = faults[Math.floor(this.draw() * faults.length)] as Fault;
    const servers = alive.filter((node) => node.self.role === 'parameter-server');
    const from = kind === 'kill-server' ? servers : alive;
    const victim =
      kind === 'kill-leader' ? this.nodes.get(this.leader?.taskId ?? '') : from[Math.floor(this.draw() * from.length)];
    this.note(`fault ${kind} ${victim?.self.taskId}`);
    if (kind === 'kill-all') for (const node of alive) this.kill(node);
    else if (victim?.alive) {
      if (kind === 'pause') {
        victim.pausedUntil = this.now + 50 + this.pick(400);
        this.lookForLosses();
      } else if (kind === 'interrupt') {
        victim.leaving = true;
        this.deliver(victim, { type: 'interrupt' });
      } else this.kill(victim);
    }
    this.at(this.pick(faultEveryMs * 2), () => this.fault());
  }

  /** Every acknowledged item of every partition is on two tasks that are there. */
  private isHeldTwice(): boolean {
    const keepers = this.alive()
      .filter(
        (node) =>
          node.pausedUntil <= this.now &&
          !node.leaving &&
          node.member.generation === this.fence &&
          node.member.keeper.isOpen,
      )
      .map((node) => node.member.keeper);
    return Array.from({ length: this.cut.partitions }, (_, p) => p).every(
      (p) => keepers.filter((keeper) => keeper.marks().some((mark) => mark.partition === p)).length >= 2,
    );
  }

  private lookForLosses(): void {
    const marks = this.alive()
      .filter((node) => node.pausedUntil <= this.now)
      .flatMap((node) => node.member.keeper.marks());
    for (let p = 0; p < this.cut.partitions; p += 1) {
      const here = marks.filter((mark) => mark.partition === p).map((mark) => new Applied(mark.applied));
      for (const item of this.acknowledged) if (!here.some((applied) => applied.has(item))) this.gone.add(item);
    }
  }

  private kill(node: Node): void {
    this.kills += 1;
    this.die(node);
  }

  private alive(): Node[] {
    return [...this.nodes.values()].filter((node) => node.alive);
  }

  private note(line: string): void {
    this.trace.push(`${this.now.toFixed(1)} ${line}`);
  }

  private wrong(what: string): Error {
    const { seed } = this.options;
    const states = this.alive().map(({ self, member }) => [
      self.taskId,
      self.slot,
      member.generation,
      member.keeper.marks().map((mark) => [mark.partition, mark.generation, mark.applied.below]),
      member.worker.item,
      member.steward.state.kind,
      member.membership.leading?.state.kind,
    ]);
    return new Error(`seed ${seed}: ${what}\n${this.trace.slice(-60).join('\n')}\n${JSON.stringify(states)}`);
  }

  private at(inMs: number, run: () => void): void {
    this.order += 1;
    push(this.agenda, { at: this.now + inMs, order: this.order, run });
  }

  private next(): Due | undefined {
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
