/**
 * Connections between the processes, as container/wire/transport.ts makes them: one a direction, in order, reported when
 * they break after one try to reach the peer. A partition holds back what was sent until it heals, as TCP does; a broken
 * connection loses it.
 *
 * Invariants
 *  NW1 What is sent on one connection arrives in order, once, or from some point on not at all. What comes from several
 *      senders overtakes each other.
 *  NW2 To dial, both directions must be open; what has not come about after `handshakeMs` is given up.
 */
import type { Message } from '../../core/gang/messages.ts';
import type { GangMember } from '../../core/run.ts';
import type { Agenda } from './agenda.ts';
import type { Dials, Mishap } from './dials.ts';
import type { Host } from './host.ts';

export const handshakeMs = 5_000;
const probeMs = 1_000;
const spikeMs = 400;
const repeatMs = 250;

export interface Ears {
  readonly message: (from: string, message: Message) => void;
  readonly heard: (from: string) => void;
  readonly lost: (peer: string, refused: boolean) => void;
}

interface Letter {
  readonly message: Message;
  /** Of all that was ever sent, the how manyth. */
  readonly order: number;
}

interface Lane {
  readonly from: Host;
  readonly to: Host;
  open: boolean;
  closed: boolean;
  lastAtMs: number;
  /** Sent while dialling. */
  waiting: Message[];
  /** What has arrived and cannot be given on yet, by number: of what comes before it something is still missing. */
  readonly arrived: Map<number, Letter>;
  sent: number;
  given: number;
}

export class Network {
  private readonly agenda: Agenda;
  private readonly dials: Dials;
  private readonly hosts = new Map<string, { readonly host: Host; readonly ears: Ears }>();
  private readonly lanes = new Map<string, Lane>();
  private readonly blocked = new Map<string, number>();
  private readonly dropped = new Set<string>();
  private readonly probing = new Set<string>();
  private readonly onSent: (from: Host, message: Message) => void;
  private readonly onDelivered: (from: Host, to: Host, message: Message) => void;
  private readonly mishap: (what: Mishap) => void;
  private order = 0;
  /** The newest letter that each process has had. */
  private readonly newest = new Map<Host, number>();

  constructor(
    agenda: Agenda,
    dials: Dials,
    onSent: Network['onSent'],
    onDelivered: Network['onDelivered'],
    mishap: Network['mishap'],
  ) {
    this.onSent = onSent;
    this.mishap = mishap;
    this.agenda = agenda;
    this.dials = dials;
    this.onDelivered = onDelivered;
  }

  listen(host: Host, ears: Ears): void {
    this.hosts.set(host.taskId, { host, ears });
  }

  send(from: Host, to: GangMember, message: Message): void {
    if (!from.act(`send ${message.type}`)) return;
    this.onSent(from, message);
    const target = this.hosts.get(to.taskId)?.host;
    if (target === undefined) throw new Error(`nobody is called ${to.taskId}`);
    const key = `${from.taskId}>${to.taskId}`;
    let lane = this.lanes.get(key);
    if (lane === undefined) {
      const [open, closed, lastAtMs, sent, given] = [false, false, 0, 0, 0];
      lane = { from, to: target, open, closed, lastAtMs, waiting: [], arrived: new Map(), sent, given };
      this.lanes.set(key, lane);
      this.dial(lane);
    }
    // What is sent is encoded at once; what becomes of the two copies is each end's own business.
    const copy = copyOf(message);
    if (lane.open) this.carry(lane, copy);
    else lane.waiting.push(copy);
  }

  /** Closes what connects the two, without telling the one who does it. */
  drop(host: Host, peer: string): void {
    this.dropped.add(`${host.taskId}|${peer}`);
    this.cut(host.taskId, peer);
  }

  /** A connection breaks by itself. */
  cut(a: string, b: string): void {
    for (const key of [`${a}>${b}`, `${b}>${a}`]) {
      const lane = this.lanes.get(key);
      if (lane !== undefined) this.close(key, lane);
    }
  }

  connected(): readonly (readonly [string, string])[] {
    return [...this.lanes.values()].filter((lane) => lane.open).map((lane) => [lane.from.taskId, lane.to.taskId]);
  }

  /** The process is gone. `silently`: with its machine, so that nobody is told. */
  died(host: Host): void {
    for (const [key, lane] of this.lanes) {
      if (lane.from !== host && lane.to !== host) continue;
      if (host.vanished) continue;
      if (lane.from === host && this.agenda.chance(0.5)) {
        // The system still delivers what was written; then it closes.
        this.agenda.at(Math.max(0, lane.lastAtMs - this.agenda.nowMs) + 0.01, () => this.close(key, lane));
      } else this.close(key, lane);
    }
  }

  /** Nothing gets from `a` to `b` any more, for a while. */
  block(a: Host, b: Host, forMs: number): void {
    const key = `${a.taskId}>${b.taskId}`;
    this.blocked.set(key, Math.max(this.blocked.get(key) ?? 0, this.agenda.nowMs + forMs));
    this.agenda.at(forMs + 0.01, () => {
      for (const lane of [this.lanes.get(key), this.lanes.get(`${b.taskId}>${a.taskId}`)]) {
        if (lane?.open === true) this.give(lane);
      }
    });
  }

  private isBlocked({ from, to }: Lane): boolean {
    return (this.blocked.get(`${from.taskId}>${to.taskId}`) ?? 0) > this.agenda.nowMs;
  }

  private unreachable({ from, to }: Lane): boolean {
    if (to.vanished) return true;
    const { nowMs } = this.agenda;
    const until = (a: Host, b: Host): number => this.blocked.get(`${a.taskId}>${b.taskId}`) ?? 0;
    return until(from, to) > nowMs || until(to, from) > nowMs;
  }

  private latency(): number {
    const { netMs, netSpike } = this.dials;
    const late = netSpike > 0 && this.agenda.chance(netSpike);
    if (late) this.mishap('message delayed');
    const spike = late ? this.agenda.pick(spikeMs) : 0;
    return netMs * this.agenda.between(0.5, 1.5) + spike;
  }

  private dial(lane: Lane): void {
    const key = `${lane.from.taskId}>${lane.to.taskId}`;
    const attempt = (): void => {
      if (lane.closed || lane.open) return;
      if (this.unreachable(lane)) {
        this.agenda.at(50, attempt);
        return;
      }
      if (!lane.to.alive) {
        this.close(key, lane);
        return;
      }
      // The proof of the secret takes the other process.
      lane.to.enter(() => {
        if (lane.closed) return;
        lane.open = true;
        for (const message of lane.waiting.splice(0)) this.carry(lane, message);
      });
    };
    this.agenda.at(2 * this.latency(), attempt);
    this.agenda.at(handshakeMs, () => {
      if (!lane.open) this.close(key, lane);
    });
  }

  private carry(lane: Lane, message: Message): void {
    const { nowMs } = this.agenda;
    const number = lane.sent;
    lane.sent += 1;
    this.order += 1;
    const letter = { message, order: this.order };
    const transferMs = message.type === 'snapshot' ? this.dials.snapshotMs : 0;
    for (let ms = 50; ms < transferMs; ms += 50) this.agenda.at(ms, () => this.arrive(lane, undefined));
    lane.lastAtMs = Math.max(nowMs + this.latency() + transferMs, lane.lastAtMs + 0.001);
    if (lane.to.vanished) return;
    // TCP does not repeat anything; a sender that does must do no harm. A complaint that is repeated is one more (DB1).
    const { netTwice } = this.dials;
    if (netTwice > 0 && message.type !== 'suspect' && this.agenda.chance(netTwice)) {
      this.mishap('message repeated');
      const again = copyOf(message);
      this.agenda.at(lane.lastAtMs - nowMs + this.agenda.pick(repeatMs), () => this.arrive(lane, again));
    }
    this.agenda.at(lane.lastAtMs - nowMs, () => {
      lane.arrived.set(number, letter);
      this.give(lane);
    });
  }

  /** In order, and not through a partition: what came into it is sent again after it. */
  private give(lane: Lane): void {
    for (;;) {
      const letter = lane.arrived.get(lane.given);
      if (letter === undefined || lane.closed || this.isBlocked(lane)) return;
      lane.arrived.delete(lane.given);
      lane.given += 1;
      const { message, order } = letter;
      const newest = this.newest.get(lane.to) ?? 0;
      if (order < newest) this.mishap('message overtaken');
      else this.newest.set(lane.to, order);
      this.onDelivered(lane.from, lane.to, message);
      this.arrive(lane, message);
    }
  }

  private arrive(lane: Lane, message: Message | undefined): void {
    const { from, to } = lane;
    const target = this.hosts.get(to.taskId);
    if (lane.closed || target === undefined || this.isBlocked(lane)) return;
    to.enter(() =>
      message === undefined ? target.ears.heard(from.taskId) : target.ears.message(from.taskId, message),
    );
  }

  private close(key: string, lane: Lane): void {
    if (lane.closed) return;
    lane.closed = true;
    if (this.lanes.get(key) === lane) this.lanes.delete(key);
    this.report(lane.from, lane.to, lane);
    // A connection that never came about was nobody else's.
    if (lane.open) this.report(lane.to, lane.from, lane);
  }

  /** One try to reach the peer tells whether somebody still listens there. */
  private report(at: Host, peer: Host, lane: Lane): void {
    const pair = `${at.taskId}|${peer.taskId}`;
    if (!at.alive || this.dropped.has(pair) || this.probing.has(pair)) return;
    this.probing.add(pair);
    const cut = this.unreachable(lane);
    this.agenda.at(cut ? probeMs : 2 * this.latency(), () => {
      this.probing.delete(pair);
      const refused = !cut && !peer.alive && !peer.vanished;
      const tell = (): void => at.enter(() => this.hosts.get(at.taskId)?.ears.lost(peer.taskId, refused));
      tell();
      // The other direction may be found broken later.
      if (this.agenda.chance(0.2)) this.agenda.at(this.agenda.pick(300), tell);
    });
  }
}

function copyOf(message: Message): Message {
  return 'payload' in message ? { ...message, payload: message.payload.slice() } : message;
}
