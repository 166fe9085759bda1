import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Decoder, encode, headerBytes, isVector, pack } from '../../../container/wire/frame.ts';
import type { WireMessage } from '../../../core/gang/async/messages.ts';
import { plainPool } from '../../../core/gang/vector-pool.ts';

const limits = { vectorLength: 8, stateLength: 24 };
const floats = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => i + 0.5);

const mark = { partition: 1, generation: 3, applied: { below: 7, beyond: [9] }, sums: [] };
const samples: WireMessage[] = [
  { type: 'leaving' },
  { type: 'prepare', generation: 3, leader: 't1' },
  { type: 'contribution', generation: 7, step: 12, partition: 1, level: 2, index: 1, payload: floats(8) },
  { type: 'reduced', generation: 2 ** 31, step: 99, partition: 0, payload: floats(3) },
  { type: 'replay', step: 4, payload: floats(8) },
  {
    type: 'snapshot',
    step: 5,
    sums: [1, 2.25, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    lastSums: [12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 2 ** 52],
    parameterLength: 8,
    payload: floats(24),
  },
  { type: 'reduced', generation: 1, step: 1, partition: 0, payload: floats(0) },
  // Of asynchronous mode: text of any length before the values.
  { type: 'held', generation: 3, partition: 1 },
  { type: 'push', generation: 3, item: 4, partition: 1, base: 3, payload: floats(7) },
  { type: 'push', generation: 3, item: 4444, partition: 1, base: 33, payload: floats(8) },
  { type: 'state', generation: 12, mark, payload: floats(24) },
];

const bytesOf = (messages: readonly WireMessage[]): Uint8Array =>
  Buffer.concat(messages.flatMap((message) => encode(message)));

/** Each frame of a vector packed as far as its values allow. */
const packedBytesOf = (messages: readonly WireMessage[]): Uint8Array =>
  Buffer.concat(
    messages.flatMap((message) => encode(message, isVector(message) ? pack(message, plainPool) : undefined)),
  );

describe('packed frames', () => {
  const vectors = fc
    .array(fc.tuple(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(0, 0, 0, 1)), { maxLength: 8 })
    .map((halves) => new Float32Array(Uint32Array.from(halves, ([upper, lower]) => upper * 0x1_0000 + lower).buffer));
  const bits = (messages: readonly WireMessage[]) =>
    messages.map((message) => (isVector(message) ? [...new Uint32Array(message.payload.slice().buffer)] : message));

  it('come out as they went in, bit for bit, however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(vectors, { maxLength: 6 }), fc.integer({ min: 1, max: 40 }), (payloads, size) => {
        const sent = payloads.flatMap((payload, step): WireMessage[] => [
          { type: 'contribution', generation: 7, step, partition: 1, level: 2, index: 1, payload },
          { type: 'reduced', generation: 7, step, partition: 0, payload },
          { type: 'leaving' },
          { type: 'replay', step, payload },
        ]);
        const bytes = packedBytesOf(sent);
        const decoder = new Decoder(limits);
        const out: WireMessage[] = [];
        for (let at = 0; at < bytes.length; at += size) {
          const fed = decoder.feed(bytes.subarray(at, at + size));
          if (fed.kind === 'refused') throw new Error(fed.why);
          out.push(...fed.messages);
        }
        expect(bits(out)).toEqual(bits(sent));
      }),
    );
  });

  it('are half as long, and received where the receiver says', () => {
    const payload = Float32Array.of(1, -2, 0.5, 0, Number.POSITIVE_INFINITY, Number.NaN, 1.1);
    const message = { type: 'reduced', generation: 1, step: 2, partition: 0, payload } as const;
    const bytes = packedBytesOf([message]);
    expect(bytes).toHaveLength(headerBytes + 6 * 2 + 4);
    const memory = new Float32Array(9).fill(5);
    const asked: number[] = [];
    const decoder = new Decoder(limits, plainPool, (_, length) => {
      asked.push(length);
      return memory.subarray(1, 8);
    });
    expect(decoder.feed(bytes)).toEqual({ kind: 'messages', messages: [message] });
    expect(asked).toEqual([7]);
    expect(memory).toEqual(Float32Array.of(5, ...payload, 5));
  });

  it('are refused when they say more than there is, would become too long, or are of another kind', () => {
    const refused = (messages: readonly WireMessage[], packed: number, length?: number): string => {
      const bytes = Uint8Array.from(bytesOf(messages));
      const view = new DataView(bytes.buffer);
      view.setUint32(24, packed, true);
      if (length !== undefined) view.setUint32(4, length, true);
      const fed = new Decoder(limits).feed(bytes);
      return fed.kind === 'refused' ? fed.why : 'accepted';
    };
    const full = samples.slice(2, 3);
    expect(refused(full, 0)).toBe('accepted');
    expect(refused(full, 2)).toBe('9 values, at most 8 are accepted');
    expect(refused(full, 16)).toBe('16 values, at most 8 are accepted');
    expect(refused(full, 17)).toBe('32 bytes are not 17 packed values');
    expect(refused(full, 2 ** 32 - 1)).toContain('are not 4294967295 packed values');
    expect(refused(full, 3, 20)).toBe('14 bytes are not whole float32 values');
    const snapshot = samples.filter(({ type }) => type === 'snapshot');
    expect(refused(snapshot, 2)).toBe('accepted');
    expect(new Decoder(limits).feed(bytesOf(snapshot))).toEqual({ kind: 'messages', messages: snapshot });
  });
});

describe('frames', () => {
  it('come out as they went in, however the stream is cut', () => {
    const bytes = bytesOf(samples);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 60 }), (cuts) => {
        const decoder = new Decoder(limits);
        const out: WireMessage[] = [];
        let at = 0;
        for (let i = 0; at < bytes.length; i += 1) {
          const size = cuts[i % cuts.length] ?? 1;
          const fed = decoder.feed(bytes.subarray(at, at + size));
          if (fed.kind === 'refused') throw new Error(fed.why);
          out.push(...fed.messages);
          at += size;
        }
        expect(out).toEqual(samples);
      }),
      { numRuns: 50 },
    );
  });

  it('have room for the largest gang', () => {
    const of = (role: 'worker' | 'parameter-server') =>
      Array.from({ length: 256 }, (_, i) => {
        const where = {
          host: '2001:0db8:0000:0000:0000:ff00:0042:8329',
          port: 65_535,
          engine: 'portable',
          turn: 123_456,
        };
        return { taskId: 'f'.repeat(36), slot: `${role}/${i}`, role, ...where };
      });
    const gang = { generation: 1, leader: 'f'.repeat(36), workers: of('worker'), servers: of('parameter-server') };
    const begin: WireMessage = { type: 'begin', gang, fromStep: 0, behind: gang.workers.map(({ taskId }) => taskId) };
    expect(new Decoder(limits).feed(bytesOf([begin]))).toEqual({ kind: 'messages', messages: [begin] });
  });

  it('own their payload: later bytes of the stream do not change it', () => {
    const bytes = bytesOf([samples[2] as WireMessage]);
    const fed = new Decoder(limits).feed(bytes);
    bytes.fill(0);
    expect(fed).toEqual({ kind: 'messages', messages: [samples[2]] });
  });

  const refused = (bytes: Uint8Array): string => {
    const fed = new Decoder(limits).feed(bytes);
    return fed.kind === 'refused' ? fed.why : 'accepted';
  };
  const withHeader = (change: (view: DataView) => void): Uint8Array => {
    const bytes = Uint8Array.from(bytesOf([samples[2] as WireMessage]));
    change(new DataView(bytes.buffer));
    return bytes;
  };

  it('are refused when they are not ours, of an unknown kind, too long or not whole values', () => {
    expect(refused(Buffer.from(`GET / HTTP/1.1\r\nHost: x\r\n\r\n${' '.repeat(headerBytes)}`))).toContain(
      'not a frame',
    );
    expect(refused(withHeader((view) => view.setUint8(8, 77)))).toContain('unknown kind 77');
    expect(refused(withHeader((view) => view.setUint32(4, 0xffff_fff0, true)))).toContain('at most 32');
    expect(refused(withHeader((view) => view.setUint32(4, 31, true)))).toContain('whole float32');
    expect(
      refused(
        bytesOf([
          { type: 'contribution', generation: 1, step: 1, partition: 0, level: 0, index: 0, payload: floats(9) },
        ]),
      ),
    ).toContain('36 bytes');
  });

  it('never throw on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        new Decoder(limits).feed(bytes);
      }),
    );
  });

  it('refuse JSON that claims to be a tensor message or is none of ours', () => {
    const json = (text: string): Uint8Array => {
      const bytes = bytesOf([{ type: 'leaving' }]);
      const head = Uint8Array.from(bytes.subarray(0, headerBytes));
      new DataView(head.buffer).setUint32(4, text.length, true);
      return Buffer.concat([head, Buffer.from(text)]);
    };
    expect(refused(json('{"type":"reduced","generation":1,"step":0,"partition":0,"payload":[1]}'))).toBe(
      'not a message',
    );
    expect(refused(json('{"type":"__proto__"}'))).toBe('not a message');
    expect(refused(json('{"type":'))).toBe('not a message');
    expect(refused(json('{"type":"leaving"}'))).toBe('accepted');
    // Of ours, but with a field that is missing, of another type or out of range, at any depth.
    expect(refused(json('{"type":"open","generation":3}'))).toBe('accepted');
    expect(refused(json('{"type":"open"}'))).toBe('not a message');
    expect(refused(json('{"type":"open","generation":"3"}'))).toBe('not a message');
    expect(refused(json('{"type":"work","generation":3,"item":-1}'))).toBe('not a message');
    expect(refused(json('{"type":"work","generation":3,"item":1e300}'))).toBe('not a message');
    expect(refused(json('{"type":"held","generation":3,"partition":{"__proto__":1}}'))).toBe('not a message');
    expect(refused(json('{"type":"begin","gang":{"generation":1,"leader":"a"},"fromStep":0,"behind":[]}'))).toBe(
      'not a message',
    );
  });

  it('refuse a parcel whose text is not that of a parcel', () => {
    const parcel = (head: object): Uint8Array => bytesOf([{ ...head, payload: floats(4) } as unknown as WireMessage]);
    const push = { type: 'push', generation: 3, item: 4, partition: 1, base: 3 };
    expect(refused(parcel(push))).toBe('accepted');
    expect(refused(parcel({ ...push, base: null }))).toBe('not a message');
    expect(refused(parcel({ type: 'state', generation: 3, mark: { ...mark, applied: { below: 7 } } }))).toBe(
      'not a message',
    );
  });
});
