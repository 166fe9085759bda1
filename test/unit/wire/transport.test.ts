import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Vectors } from '../../../container/engine/vectors.ts';
import { createPool, poolLengths } from '../../../container/wire/pool.ts';
import { Transport } from '../../../container/wire/transport.ts';
import type { WireMessage } from '../../../core/gang/async/messages.ts';
import type { Message } from '../../../core/gang/messages.ts';
import { plainPool, type VectorPool } from '../../../core/gang/vector-pool.ts';
import type { GangMember } from '../../../core/run.ts';

const secret = 'ab'.repeat(32);
const limits = { vectorLength: 120_000, stateLength: 360_000 };

interface End {
  readonly transport: Transport;
  readonly member: GangMember;
  readonly got: { from: string; message: WireMessage }[];
  readonly lost: { peer: string; refused: boolean }[];
  readonly refused: string[];
}

const open: End[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((end) => end.transport.close(0)));
});

interface EndOptions {
  readonly secret?: string;
  readonly secure?: boolean;
  readonly pool?: VectorPool;
  readonly packed?: boolean;
}

async function end(taskId: string, options: EndOptions = {}): Promise<End> {
  const got: End['got'] = [];
  const lost: End['lost'] = [];
  const refused: string[] = [];
  const transport = new Transport({
    taskId,
    runId: 'run-1',
    secret: options.secret ?? secret,
    bind: '127.0.0.1',
    secure: options.secure ?? false,
    limits,
    packed: options.packed ?? false,
    pool: options.pool ?? plainPool,
    onHeard: () => undefined,
    onMessage: (from, message) => got.push({ from, message }),
    onLost: (peer, wasRefused) => lost.push({ peer, refused: wasRefused }),
    onRefused: (why) => refused.push(why),
  });
  const port = await transport.listen();
  const made = {
    transport,
    member: { taskId, slot: `worker/${taskId}`, role: 'worker', host: '127.0.0.1', port } as const,
    got,
    lost,
    refused,
  };
  open.push(made);
  return made;
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !condition(); i += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(condition()).toBe(true);
}

const beat: Message = { type: 'suspect', why: 'silent', generation: 1, peer: 'x' };

describe('transport', () => {
  for (const secure of [false, true]) {
    it(`carries messages of every size in order${secure ? ', encrypted' : ''}`, async () => {
      const [a, b] = [await end('a', { secure }), await end('b', { secure })];
      const payload = Float32Array.from({ length: limits.vectorLength }, (_, i) => i);
      for (let step = 0; step < 20; step += 1) {
        a.transport.send(b.member, { type: 'replay', step, payload });
        a.transport.send(b.member, { type: 'caught-up', donor: 'd', step });
      }
      await until(() => b.got.length === 40);
      expect(b.got.map(({ message }) => ('step' in message ? message.step : -1))).toEqual(
        Array.from({ length: 40 }, (_, i) => Math.floor(i / 2)),
      );
      const first = b.got[0]?.message;
      expect(first?.type === 'replay' && first.payload).toEqual(payload);
      expect(b.got[0]?.from).toBe('a');
    });
  }

  for (const [way, options] of Object.entries({ plain: {}, encrypted: { secure: true }, packed: { packed: true } })) {
    it(`leaves a vector alone until it is sent, and uses it again, ${way} (TX4)`, async () => {
      const pools = [0, 1].map(() => createPool(limits.vectorLength, new Vectors(poolLengths(limits.vectorLength))));
      const sums: number[] = [];
      const used = new Set<number>();
      let packed = 0;
      const [ours, theirs] = pools as [VectorPool, VectorPool];
      const mine: VectorPool = {
        take: (length) => {
          const vector = ours.take(length);
          used.add(vector.byteOffset);
          return vector;
        },
        hold: (vector) => ours.hold(vector),
        release: (vector) => ours.release(vector),
        add: (left, right) => ours.add(left, right),
        pack: (values, room) => {
          const count = ours.pack(values, room);
          packed += count;
          return count;
        },
        unpack: (values, count) => ours.unpack(values, count),
      };
      const { secure = false } = options as EndOptions;
      const a = await end('a', { ...options, pool: mine });
      const b = await end('b', { secure, pool: theirs });
      b.got.push = (...all): number => {
        // Held by nobody but the transport: gone once we have looked.
        for (const { message } of all) if ('payload' in message) sums.push(message.payload.reduce((x, y) => x + y, 0));
        return 0;
      };
      const steps = 60;
      const until60 = until(() => sums.length === steps);
      for (let step = 0; step < steps; step += 1) {
        const payload = mine.take(limits.vectorLength);
        payload.fill(step);
        a.transport.send(b.member, { type: 'replay', step, payload });
        mine.release(payload);
        // Half of them while the ones before are still on their way.
        if (step % 2 === 0) await until(() => sums.length >= step - 9);
      }
      await until60;
      expect(sums).toEqual(Array.from({ length: steps }, (_, step) => step * limits.vectorLength));
      expect(used.size).toBeLessThan(steps / 2);
      expect(packed).toBe(way === 'packed' ? steps * limits.vectorLength : 0);
    });
  }

  for (const secure of [false, true]) {
    const how = secure ? 'encrypted' : 'plain';
    it(`keeps out whoever does not know the secret, in both directions, and stays up, ${how}`, async () => {
      const [a, b] = [await end('a', { secure }), await end('b', { secure })];
      const stranger = await end('c', { secure, secret: 'cd'.repeat(32) });
      stranger.transport.send(b.member, beat);
      await until(() => b.refused.some((why) => why.includes(secure ? 'binder' : 'wrong proof')));
      a.transport.send(stranger.member, beat);
      await until(() => stranger.refused.length > 0);
      a.transport.send(b.member, beat);
      await until(() => b.got.length === 1);
      expect(b.got[0]?.from).toBe('a');
      expect(stranger.got).toEqual([]);
    });
  }

  it('closes a connection that sends anything else, and stays up', async () => {
    const [a, b] = [await end('a'), await end('b')];
    const socket = net.connect(b.member.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(Buffer.alloc(300_000, 1));
    await new Promise((resolve) => socket.once('close', resolve));
    expect(b.refused.length).toBe(1);
    a.transport.send(b.member, beat);
    await until(() => b.got.length === 1);
  });

  it('reports a peer that is gone once, as refused, and one that was never there', async () => {
    const [a, b] = [await end('a'), await end('b')];
    a.transport.send(b.member, beat);
    b.transport.send(a.member, beat);
    await until(() => a.got.length === 1 && b.got.length === 1);
    await b.transport.close(0);
    await until(() => a.lost.length > 0);
    expect(a.lost[0]).toEqual({ peer: 'b', refused: true });
    a.transport.send({ ...b.member, taskId: 'd' }, beat);
    await until(() => a.lost.some(({ peer, refused }) => peer === 'd' && refused));
  });

  it('tells a dropped peer by its closed connection that somebody is still there', async () => {
    const [a, b] = [await end('a'), await end('b')];
    b.transport.send(a.member, { type: 'hello', member: b.member, hasState: false, step: 0, generation: 0 });
    a.transport.send(b.member, beat);
    await until(() => a.got.length === 1 && b.got.length === 1);
    a.transport.drop('b');
    await until(() => b.lost.length > 0);
    expect(b.lost[0]).toEqual({ peer: 'a', refused: false });
    expect(a.lost).toEqual([]);
  });
});
