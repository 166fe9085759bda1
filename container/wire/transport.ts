/**
 * Sockets between the tasks of a run. One connection a direction: a task dials whom it has something to tell, and only
 * listens on what others dialled. So there is no question who connects to whom, and a closed connection names its peer.
 *
 * Before any frame both ends prove that they know the run's secret (HMAC-SHA256 over fresh nonces); with `secure` the
 * stream is TLS with the same secret as pre-shared key, which is the default on AWS.
 *
 * Invariants
 *  TX1 No frame is handled before the peer has proved the secret; who does not within `handshakeMs` is cut off.
 *  TX2 A broken connection is reported once (`lost`), after one try to reach the peer tells whether it still listens.
 *  TX3 Queues are bounded: a peer that does not take its frames is lost.
 *  TX4 Payloads are written from where they are: each is held until the system has taken all of it, or never will.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import net from 'node:net';
import tls from 'node:tls';
import type { WireMessage } from '../../core/gang/async/messages.ts';
import type { VectorPool } from '../../core/gang/vector-pool.ts';
import type { GangMember, TaskId } from '../../core/run.ts';
import { Decoder, encode, type Fed, type FrameLimits, isVector, type PlaceFor, pack } from './frame.ts';
import { readInto } from './inlet.ts';

export interface TransportOptions {
  readonly taskId: TaskId;
  readonly runId: string;
  /** Hex. */
  readonly secret: string;
  /** Address to listen on. */
  readonly bind: string;
  readonly secure: boolean;
  readonly limits: FrameLimits;
  /** Vectors that were rounded to bfloat16 are sent in two bytes a value. */
  readonly packed: boolean;
  readonly pool: VectorPool;
  /** The payload is the receiver's as long as this runs: who keeps it holds it. */
  readonly onMessage: (from: TaskId, message: WireMessage) => void;
  /** Where a total is received; without it, in a vector of its own. */
  readonly placeFor?: (from: TaskId, ...what: Parameters<PlaceFor>) => Float32Array | undefined;
  /** Part of a long message has come: a sign of life before the whole is there. */
  readonly onHeard: (peer: TaskId) => void;
  readonly onLost: (peer: TaskId, refused: boolean) => void;
  readonly onRefused: (why: string, from: string) => void;
}

const handshakeMs = 5_000;
const probeMs = 1_000;
const nonceBytes = 16;
const proofBytes = 32;
/** Enough for the snapshot and the updates that a newcomer has not taken yet. */
const queueFactor = 64;

interface Outgoing {
  readonly socket: net.Socket;
  readonly peer: GangMember;
  ready: boolean;
  /** Said before the handshake was done; the payloads are held. */
  readonly waiting: WireMessage[];
}

export class Transport {
  private readonly options: TransportOptions;
  private readonly key: Buffer;
  private readonly server: net.Server;
  private readonly outgoing = new Map<TaskId, Outgoing>();
  private readonly incoming = new Map<TaskId, Set<net.Socket>>();
  /** How to reach whoever has dialled us, for the one try of TX2. */
  private readonly addresses = new Map<TaskId, GangMember>();
  private readonly probing = new Set<TaskId>();
  private readonly dropped = new Set<TaskId>();
  private closed = false;

  constructor(options: TransportOptions) {
    this.options = options;
    this.key = Buffer.from(options.secret, 'hex');
    const accept = (socket: net.Socket): void => this.accept(socket);
    this.server = options.secure
      ? tls.createServer(this.tlsOptions(), accept)
      : net.createServer({ noDelay: true, pauseOnConnect: true }, accept);
    this.server.on('tlsClientError', (error) => options.onRefused(error.message, 'tls'));
  }

  /** The port that was asked for; 0 lets the system choose, so that two tasks on one machine never clash. */
  async listen(port = 0): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, this.options.bind, resolve);
    });
    return (this.server.address() as net.AddressInfo).port;
  }

  send(to: GangMember, message: WireMessage): void {
    if (this.closed) return;
    let out = this.outgoing.get(to.taskId);
    if (out === undefined) out = this.dial(to);
    if ('payload' in message) this.options.pool.hold(message.payload);
    if (out.ready) this.write(out, message);
    else out.waiting.push(message);
  }

  /** Close what connects us to the peer, without reporting a loss. */
  drop(peer: TaskId): void {
    this.dropped.add(peer);
    this.outgoing.get(peer)?.socket.destroy();
    for (const socket of this.incoming.get(peer) ?? []) socket.destroy();
    this.outgoing.delete(peer);
    this.incoming.delete(peer);
  }

  /** Sends what is queued, then closes everything. */
  async close(flushMs: number): Promise<void> {
    this.closed = true;
    this.server.close();
    const flushed = [...this.outgoing.values()].map(
      ({ socket }) => new Promise<void>((resolve) => (socket.destroyed ? resolve() : socket.end(() => resolve()))),
    );
    await Promise.race([Promise.all(flushed), new Promise((resolve) => setTimeout(resolve, flushMs).unref())]);
    for (const { socket } of this.outgoing.values()) socket.destroy();
    for (const sockets of this.incoming.values()) for (const socket of sockets) socket.destroy();
  }

  private dial(peer: GangMember): Outgoing {
    const { host, port } = peer;
    const socket: net.Socket = this.options.secure
      ? tls.connect({ host, port, ...this.tlsOptions(), checkServerIdentity: () => undefined })
      : net.connect({ host, port, noDelay: true });
    socket.setNoDelay(true);
    const out: Outgoing = { socket, peer, ready: false, waiting: [] };
    this.outgoing.set(peer.taskId, out);
    this.addresses.set(peer.taskId, peer);
    this.greet(out);
    const gone = (): void => {
      for (const message of out.waiting.splice(0)) this.letGo(message);
      if (this.outgoing.get(peer.taskId) !== out) return;
      this.outgoing.delete(peer.taskId);
      this.report(peer.taskId);
    };
    socket.on('error', () => socket.destroy());
    socket.on('close', gone);
    return out;
  }

  /** Our half of the handshake: server nonce in; our nonce, our id and our proof out; the server's proof in. */
  private greet(out: Outgoing): void {
    const { socket } = out;
    const timer = setTimeout(() => socket.destroy(), handshakeMs);
    const ours = randomBytes(nonceBytes);
    let got = Buffer.alloc(0);
    let asked = false;
    const onData = (chunk: Buffer): void => {
      got = Buffer.concat([got, chunk]);
      if (!asked && got.length >= nonceBytes) {
        asked = true;
        const nonce = got.subarray(0, nonceBytes);
        got = got.subarray(nonceBytes);
        const id = Buffer.from(this.options.taskId);
        socket.write(
          Buffer.concat([Buffer.from([id.length]), id, ours, this.proof('client', nonce, this.options.taskId)]),
        );
      }
      if (asked && got.length >= proofBytes) {
        clearTimeout(timer);
        socket.off('data', onData);
        if (!timingSafeEqual(got.subarray(0, proofBytes), this.proof('server', ours, out.peer.taskId))) {
          this.options.onRefused('the peer does not know the secret of this run', `${out.peer.host}:${out.peer.port}`);
          socket.destroy();
          return;
        }
        socket.resume();
        out.ready = true;
        for (const message of out.waiting.splice(0)) this.write(out, message);
      }
    };
    socket.on('data', onData);
    socket.on('close', () => clearTimeout(timer));
  }

  /** The other half: our nonce out; id, nonce and proof in; our proof out; then frames. */
  private accept(accepted: net.Socket): void {
    const where = `${accepted.remoteAddress}:${accepted.remotePort}`;
    const { limits, pool, onRefused } = this.options;
    let peer: TaskId | undefined;
    const decoder = new Decoder(limits, pool, (head, length) =>
      peer === undefined ? undefined : this.options.placeFor?.(peer, head, length),
    );
    const nonce = randomBytes(nonceBytes);
    let got = Buffer.alloc(0);
    const refuse = (why: string): void => {
      onRefused(why, where);
      socket.destroy();
    };
    const onFed = (from: TaskId, fed: Fed): void => {
      if (fed.kind === 'refused') refuse(fed.why);
      else this.take(from, fed.messages);
    };
    const onGreeting = (chunk: Uint8Array): void => {
      got = Buffer.concat([got, chunk]);
      const idLength = got[0] ?? 0;
      const need = 1 + idLength + nonceBytes + proofBytes;
      if (got.length < need) return;
      clearTimeout(timer);
      const id = got.subarray(1, 1 + idLength).toString();
      const theirs = got.subarray(1 + idLength, 1 + idLength + nonceBytes);
      if (!timingSafeEqual(got.subarray(need - proofBytes, need), this.proof('client', nonce, id))) {
        refuse('wrong proof of the secret');
        return;
      }
      peer = id;
      this.admit(id, socket);
      socket.write(this.proof('server', theirs, this.options.taskId));
      onFed(id, decoder.feed(got.subarray(need)));
    };
    const socket = readInto(accepted, {
      get space() {
        return decoder.space;
      },
      took(bytes) {
        if (socket.destroyed) return;
        if (peer === undefined) onGreeting(decoder.space.subarray(0, bytes));
        else onFed(peer, decoder.took(bytes));
      },
    });
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    const timer = setTimeout(() => refuse('no proof of the secret in time'), handshakeMs);
    socket.on('close', () => {
      clearTimeout(timer);
      decoder.close();
    });
    socket.write(nonce);
  }

  private admit(peer: TaskId, socket: net.Socket): void {
    const sockets = this.incoming.get(peer) ?? new Set();
    sockets.add(socket);
    this.incoming.set(peer, sockets);
    socket.on('close', () => {
      if (!this.incoming.get(peer)?.delete(socket)) return;
      this.report(peer);
    });
  }

  private take(peer: TaskId, messages: readonly WireMessage[]): void {
    if (messages.length === 0) this.options.onHeard(peer);
    for (const message of messages) {
      if (message.type === 'hello') this.addresses.set(peer, message.member);
      this.options.onMessage(peer, message);
      this.letGo(message);
    }
  }

  private letGo(message: WireMessage): void {
    if ('payload' in message) this.options.pool.release(message.payload);
  }

  /** The payload is held; what becomes of it, the socket says in any case (TX4). */
  private write(out: Outgoing, message: WireMessage): void {
    const { socket, peer } = out;
    const { pool, limits } = this.options;
    const packed = this.options.packed && isVector(message) ? pack(message, pool) : undefined;
    const pieces = encode(message, packed);
    // What is corked goes out in one packet; TLS would first copy all of it into one place.
    if (!this.options.secure) socket.cork();
    for (const piece of pieces.slice(0, -1)) socket.write(piece);
    socket.write(pieces.at(-1) as Uint8Array, () => {
      this.letGo(message);
      if (packed !== undefined) pool.release(packed.room);
    });
    if (!this.options.secure) socket.uncork();
    const { vectorLength, stateLength } = limits;
    if (socket.writableLength > queueFactor * 4 * (vectorLength + stateLength) + 1_048_576) {
      this.options.onRefused(`${socket.writableLength} bytes are waiting for it`, peer.slot);
      socket.destroy();
    }
  }

  /** TX2. A peer that we dropped ourselves, or that is reported already, is no news. */
  private report(peer: TaskId): void {
    if (this.closed || this.dropped.has(peer) || this.probing.has(peer)) return;
    const address = this.addresses.get(peer);
    if (address === undefined) {
      this.options.onLost(peer, false);
      return;
    }
    this.probing.add(peer);
    const probe = net.connect({ host: address.host, port: address.port });
    const done = (refused: boolean): void => {
      probe.destroy();
      if (!this.probing.delete(peer) || this.closed) return;
      this.options.onLost(peer, refused);
    };
    probe.setTimeout(probeMs, () => done(false));
    probe.once('connect', () => done(false));
    probe.once('error', (error: NodeJS.ErrnoException) => done(error.code === 'ECONNREFUSED'));
  }

  private proof(side: 'client' | 'server', nonce: Uint8Array, taskId: TaskId): Buffer {
    return createHmac('sha256', this.key).update(`${side} ${this.options.runId} ${taskId} `).update(nonce).digest();
  }

  private tlsOptions(): tls.TlsOptions & tls.ConnectionOptions {
    const psk = this.key;
    const identity = this.options.runId;
    return {
      // TLS 1.3 exchanges fresh keys beside the pre-shared one; processors have instructions for this suite.
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256',
      pskCallback: ((...args: unknown[]) =>
        args.length === 2 ? (args[1] === identity ? psk : null) : { psk, identity }) as never,
    };
  }
}
