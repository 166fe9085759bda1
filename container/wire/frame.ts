/**
 * The wire format: length-prefixed frames over a byte stream. Pure; sockets are transport.ts.
 *
 *   offset  size  field (little endian)
 *        0     4  magic "CTL1"
 *        4     4  payload length in bytes
 *        8     1  kind: 1 JSON, 2 contribution, 3 reduced, 4 snapshot, 5 replay, 6 parcel
 *        9     1  tree level
 *       10     2  partition
 *       12     4  generation
 *       16     4  step
 *       20     4  tree index; for a snapshot the number of parameters, for a parcel the length of its text
 *       24     4  of a contribution, reduced or replay: how many leading values are packed; else 0
 *       28     -  payload: JSON text, or float32 values, the packed ones before them in two bytes each (bfloat16); a snapshot has the float64 epoch sums before them, twice 11, a
 *                 parcel (asynchronous mode) JSON text filled up with spaces to whole values
 *
 * Invariants
 *  FR1 A length is checked against the limit of its kind before anything is allocated.
 *  FR2 What does not parse is a refusal, never a throw: the caller closes that connection and nothing else happens.
 *  FR3 A payload is received in a buffer of its own, or where the receiver said. That of a contribution, reduced or replay
 *      is held for the time in which its message is handled: who keeps it longer holds it too.
 */
import { isParcel, type ParcelMessage, type WireMessage } from '../../core/gang/async/messages.ts';
import { type EpochSums, epochSumsLength, type MessageOf } from '../../core/gang/messages.ts';
import { plainPool, type VectorPool } from '../../core/gang/vector-pool.ts';
import { isParcelHead, isSmallMessage } from '../../core/gang/well-formed.ts';

export const headerBytes = 28;
const magic = 0x314c5443;
const sumsBytes = 2 * epochSumsLength * 8;

const kinds = { json: 1, contribution: 2, reduced: 3, snapshot: 4, replay: 5, parcel: 6 } as const;

export interface FrameLimits {
  /** Values in a contribution vector and in parameters plus optimizer slots. */
  readonly vectorLength: number;
  readonly stateLength: number;
}

/** Room for a gang of 256 workers and as many parameter servers. */
const jsonLimitBytes = 256 * 1024;

/** The first `count` values of a payload in two bytes each, in `room`, which is a vector of the pool. */
export interface Packed {
  readonly count: number;
  readonly room: Float32Array;
}

export function pack({ payload }: VectorMessage, pool: Pick<VectorPool, 'take' | 'pack'>): Packed {
  const room = pool.take(Math.ceil(payload.length / 2));
  return { count: pool.pack(payload, room), room };
}

/**
 * Header and payload, to be written one after the other. The payload is not copied, but for what is packed: leave it alone
 * until it is sent.
 */
export function encode(message: WireMessage, packed?: Packed): readonly Uint8Array[] {
  if (isParcel(message)) return encodeParcel(message);
  switch (message.type) {
    case 'contribution':
      return encodeVector(kinds.contribution, message, message.index, packed);
    case 'reduced':
    case 'replay':
      return encodeVector(kinds[message.type], message, 0, packed);
    case 'snapshot': {
      const sums = new Float64Array(2 * epochSumsLength);
      sums.set(message.sums);
      sums.set(message.lastSums, epochSumsLength);
      const length = sums.byteLength + message.payload.byteLength;
      return [
        header(kinds.snapshot, length, message, message.parameterLength),
        bytesOf(sums),
        bytesOf(message.payload),
      ];
    }
    default: {
      const text = new TextEncoder().encode(JSON.stringify(message));
      return [header(kinds.json, text.byteLength, {}, 0), text];
    }
  }
}

function encodeVector(kind: number, message: VectorMessage, index: number, packed?: Packed): readonly Uint8Array[] {
  const count = packed?.count ?? 0;
  const halves = packed === undefined ? [] : [bytesOf(packed.room).subarray(0, 2 * count)];
  const rest = bytesOf(message.payload.subarray(count));
  const head = header(kind, 2 * count + rest.length, message, index, count);
  return [head, ...halves, rest].filter(({ length }) => length > 0);
}

function encodeParcel({ payload, ...rest }: ParcelMessage): readonly Uint8Array[] {
  const json = JSON.stringify(rest);
  const text = new TextEncoder().encode(json + ' '.repeat((4 - (json.length % 4)) % 4));
  const length = text.byteLength + payload.byteLength;
  return [header(kinds.parcel, length, rest, text.byteLength), text, bytesOf(payload)];
}

interface HeaderFields {
  readonly level?: number;
  readonly partition?: number;
  readonly generation?: number;
  readonly step?: number;
}

function header(kind: number, length: number, fields: HeaderFields, index: number, packed = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(headerBytes));
  view.setUint32(0, magic, true);
  view.setUint32(4, length, true);
  view.setUint8(8, kind);
  view.setUint8(9, fields.level ?? 0);
  view.setUint16(10, fields.partition ?? 0, true);
  view.setUint32(12, fields.generation ?? 0, true);
  view.setUint32(16, fields.step ?? 0, true);
  view.setUint32(20, index, true);
  view.setUint32(24, packed, true);
  return new Uint8Array(view.buffer);
}

function bytesOf(values: Float32Array | Float64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

type VectorMessage = MessageOf<'contribution' | 'reduced' | 'replay'>;

/** Whose values may be packed. */
export function isVector(message: WireMessage): message is VectorMessage {
  return message.type === 'contribution' || message.type === 'reduced' || message.type === 'replay';
}

export type Fed =
  | { readonly kind: 'messages'; readonly messages: WireMessage[] }
  | { readonly kind: 'refused'; readonly why: string };

/** Where a total may be received at once, which is then held; undefined for a vector of its own. */
export type PlaceFor = (head: ReducedHead, length: number) => Float32Array | undefined;
export type ReducedHead = Omit<MessageOf<'reduced'>, 'payload'>;

/** What comes before a payload is known, and what is left over from it, goes here first. */
const stagingBytes = 8 * 1024;

/**
 * Takes the bytes of one connection in pieces of any size and gives whole messages: `feed` with bytes that are somewhere,
 * or `took` with those that were put in `space`.
 */
export class Decoder {
  private readonly limits: FrameLimits;
  private readonly pool: VectorPool;
  private readonly placeFor: PlaceFor;
  private readonly staging = new Uint8Array(stagingBytes);
  private readonly head = new DataView(new ArrayBuffer(headerBytes));
  private readonly headBytes = new Uint8Array(this.head.buffer);
  private headFilled = 0;
  private body: Uint8Array | undefined;
  private bodyFilled = 0;

  constructor(limits: FrameLimits, pool: VectorPool = plainPool, placeFor: PlaceFor = () => undefined) {
    this.limits = limits;
    this.pool = pool;
    this.placeFor = placeFor;
  }

  /** Where the next bytes may be put. */
  get space(): Uint8Array {
    return this.body === undefined ? this.staging : this.body.subarray(this.bodyFilled);
  }

  took(bytes: number): Fed {
    if (this.body === undefined) return this.feed(this.staging.subarray(0, bytes));
    const messages: WireMessage[] = [];
    this.bodyFilled += bytes;
    const why = this.complete(messages);
    return why === undefined ? { kind: 'messages', messages } : { kind: 'refused', why };
  }

  feed(chunk: Uint8Array): Fed {
    const messages: WireMessage[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.body === undefined) {
        const take = Math.min(headerBytes - this.headFilled, chunk.length - at);
        this.headBytes.set(chunk.subarray(at, at + take), this.headFilled);
        this.headFilled += take;
        at += take;
        if (this.headFilled < headerBytes) break;
        const length = this.bodyLength();
        if (typeof length === 'string') return { kind: 'refused', why: length };
        this.body = this.bodyFor(length);
        this.bodyFilled = 0;
      }
      const take = Math.min(this.body.length - this.bodyFilled, chunk.length - at);
      this.body.set(chunk.subarray(at, at + take), this.bodyFilled);
      this.bodyFilled += take;
      at += take;
      const why = this.complete(messages);
      if (why !== undefined) return { kind: 'refused', why };
    }
    return { kind: 'messages', messages };
  }

  /** Nothing more will come. */
  close(): void {
    if (this.body !== undefined && isPooled(this.head.getUint8(8))) this.pool.release(vectorOf(this.head, this.body));
    this.body = undefined;
  }

  /** Adds the message when it is whole; answers why it is refused. */
  private complete(messages: WireMessage[]): string | undefined {
    const { body } = this;
    if (body === undefined || this.bodyFilled < body.length) return undefined;
    const packed = packedIn(this.head);
    if (packed > 0) this.pool.unpack(vectorOf(this.head, body), packed);
    const message = decode(this.head, body);
    if (message === undefined) return 'not a message';
    messages.push(message);
    this.body = undefined;
    this.headFilled = 0;
    return undefined;
  }

  private bodyFor(length: number): Uint8Array {
    const kind = this.head.getUint8(8);
    if (!isPooled(kind)) return new Uint8Array(length);
    const packed = packedIn(this.head);
    const values = length / 4 + packed / 2;
    const place = kind === kinds.reduced ? this.placeFor(reducedHead(this.head), values) : undefined;
    if (place !== undefined) this.pool.hold(place);
    return bytesOf(place ?? this.pool.take(values)).subarray(2 * packed);
  }

  /** The payload length, or why the header is refused. */
  private bodyLength(): number | string {
    const view = this.head;
    if (view.getUint32(0, true) !== magic) return 'not a frame of this protocol';
    const length = view.getUint32(4, true);
    const kind = view.getUint8(8);
    const limit = this.limitOf(kind);
    if (limit === undefined) return `unknown kind ${kind}`;
    if (length > limit) return `${length} bytes, at most ${limit} are accepted`;
    if (isPooled(kind)) {
      const packed = packedIn(view);
      const rest = length - 2 * packed;
      if (rest < 0) return `${length} bytes are not ${packed} packed values`;
      if (rest % 4 !== 0) return `${rest} bytes are not whole float32 values`;
      const { vectorLength } = this.limits;
      if (packed + rest / 4 > vectorLength) return `${packed + rest / 4} values, at most ${vectorLength} are accepted`;
    } else if (kind !== kinds.json && length % 4 !== 0) return `${length} bytes are not whole float32 values`;
    if (kind === kinds.snapshot && length < sumsBytes) return 'a snapshot without sums';
    return length;
  }

  private limitOf(kind: number): number | undefined {
    if (kind === kinds.json) return jsonLimitBytes;
    if (kind === kinds.snapshot) return sumsBytes + 4 * this.limits.stateLength;
    if (kind === kinds.parcel) return jsonLimitBytes + 4 * Math.max(this.limits.stateLength, this.limits.vectorLength);
    return kind >= kinds.contribution && kind <= kinds.replay ? 4 * this.limits.vectorLength : undefined;
  }
}

function decode(view: DataView, body: Uint8Array): WireMessage | undefined {
  const generation = view.getUint32(12, true);
  const step = view.getUint32(16, true);
  const partition = view.getUint16(10, true);
  const index = view.getUint32(20, true);
  switch (view.getUint8(8)) {
    case kinds.contribution:
      return {
        type: 'contribution',
        generation,
        step,
        partition,
        level: view.getUint8(9),
        index,
        payload: vectorOf(view, body),
      };
    case kinds.reduced:
      return { ...reducedHead(view), payload: vectorOf(view, body) };
    case kinds.replay:
      return { type: 'replay', step, payload: vectorOf(view, body) };
    case kinds.snapshot: {
      const sums = [...new Float64Array(body.buffer, 0, 2 * epochSumsLength)];
      return {
        type: 'snapshot',
        step,
        sums: sums.slice(0, epochSumsLength) as unknown as EpochSums,
        lastSums: sums.slice(epochSumsLength) as unknown as EpochSums,
        parameterLength: index,
        payload: floats(body, sumsBytes),
      };
    }
    case kinds.parcel:
      return parcelOf(body, index);
    default:
      return fromJson(body);
  }
}

function reducedHead(view: DataView): ReducedHead {
  const [generation, step] = [view.getUint32(12, true), view.getUint32(16, true)];
  return { type: 'reduced', generation, step, partition: view.getUint16(10, true) };
}

/** What is taken from the pool. */
function isPooled(kind: number): boolean {
  return kind === kinds.contribution || kind === kinds.reduced || kind === kinds.replay;
}

function packedIn(head: DataView): number {
  return isPooled(head.getUint8(8)) ? head.getUint32(24, true) : 0;
}

/**
 * What is received in `body`: packed values come at the end of the room that they will have, so that they can be unpacked
 * there, and those behind them where they belong.
 */
function vectorOf(head: DataView, body: Uint8Array): Float32Array {
  const packed = packedIn(head);
  return new Float32Array(body.buffer, body.byteOffset - 2 * packed, body.length / 4 + packed / 2);
}

function floats(body: Uint8Array, from: number): Float32Array {
  return new Float32Array(body.buffer, body.byteOffset + from, (body.byteLength - from) / 4);
}

function parcelOf(body: Uint8Array, textLength: number): WireMessage | undefined {
  if (textLength % 4 !== 0 || textLength > body.length || textLength > jsonLimitBytes) return undefined;
  const head = parse(body.subarray(0, textLength));
  if (head === undefined || !isParcelHead(head)) return undefined;
  return { ...head, payload: floats(body, textLength) } as unknown as WireMessage;
}

function fromJson(body: Uint8Array): WireMessage | undefined {
  const value = parse(body);
  return value !== undefined && isSmallMessage(value) ? (value as unknown as WireMessage) : undefined;
}

function parse(bytes: Uint8Array): { readonly type: string } | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof value !== 'object' || value === null || !('type' in value)) return undefined;
    return { ...value, type: String(value.type) };
  } catch {
    return undefined;
  }
}
