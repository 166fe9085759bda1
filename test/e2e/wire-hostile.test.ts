/**
 * P5 against everything that can be sent to the ports of a gang that is training: garbage, a stranger, a handshake recorded and
 * replayed, frames too large, of older and of coming generations, for parts that are somebody else's. All of it is refused,
 * everybody stays up, and the weights are the same.
 */
import { readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { randomIds } from '../../cloud/embedded/ids.ts';
import { createTable } from '../../cloud/embedded/table.ts';
import { Transport } from '../../container/wire/transport.ts';
import type { Message } from '../../core/gang/messages.ts';
import { plainPool } from '../../core/gang/vector-pool.ts';
import type { RunResult } from '../../core/result.ts';
import { type GangMember, type GangRow, keys, type WireRow } from '../../core/run.ts';
import { calm, Lab, small, until } from './harness.ts';

let lab: Lab;
const attackers: Transport[] = [];
beforeEach(() => {
  lab = new Lab();
});
afterEach(async () => {
  await Promise.all(attackers.splice(0).map((attacker) => attacker.close(0)));
  lab.close();
});

/** Two epochs of 20 steps. */
const config = (pace: string): string => small({ name: 'besieged', pace, everySteps: 5, more: calm });
const shape = ['--workers', '2:2', '--parameter-servers', '1'];

test('whatever is sent to any port of a gang is refused, and changes nothing', async () => {
  const undisturbed = await lab.train(lab.config('besieged', config('0ms')), ...shape);
  const run = lab.start(['train', lab.config('besieged', config('150ms')), '--json', ...shape], {
    CUTTLEFISH_LOG_LEVEL: 'debug',
  });
  await until('training', 30_000, () => /checkpoint at step/.test(run.text()));
  const { gang, secret, runId } = await look(undisturbed.runId);
  for (const member of gang.members) {
    await shout(member, Buffer.from('GET / HTTP/1.1\r\nHost: cuttlefish\r\n\r\n'.padEnd(2000, ' ')));
    await shout(member, Buffer.alloc(1_000_000, 0xff));
    const recorded = await record(member, insider(runId, secret));
    await shout(member, recorded);
    insider(runId, 'ab'.repeat(32)).send(member, { type: 'leaving' });
    for (const packed of [false, true]) {
      const attacker = insider(runId, secret, packed);
      for (const frame of frames(gang)) attacker.send(member, frame);
      // Closes the connection that it comes on.
      insider(runId, secret, packed).send(member, tensor(gang.generation, 10_000_000));
    }
  }
  const ended = await run.ended;
  expect(ended.code, ended.stderr).toBe(0);
  const result = JSON.parse(ended.stdout) as RunResult;
  expect(result).toMatchObject({ recoveries: 0, lostSteps: 0, generations: 1, dataExactlyOnce: true });
  expect(result.weightsDigest).toBe(undisturbed.weightsDigest);
  const refusals = refused(runId);
  expect(refusals.size).toBe(gang.members.length);
  for (const reasons of refusals.values()) {
    expect(reasons).toMatch(/wrong proof of the secret/);
    expect(reasons).toMatch(/at most \d+ are accepted/);
    expect(reasons).toMatch(/generation/);
  }
  expect(lab.leftovers()).toEqual([]);
}, 90_000);

/** The membership in force and the secret of the wire, of the run that is not the one given. */
async function look(other: string): Promise<{ gang: GangRow; secret: string; runId: string }> {
  const table = createTable({ folder: join(lab.stateDir, 'table'), temp: join(lab.stateDir, 'tmp'), ids: randomIds });
  const runId = readdirSync(join(lab.stateDir, 'bucket', 'runs')).find((name) => name !== other);
  if (runId === undefined) throw new Error('the run has left nothing in the bucket');
  const gang = await table.get<GangRow>(runId, keys.gang);
  const wire = await table.get<WireRow>(runId, keys.wire);
  return { gang: gang!.value, secret: wire!.value.secret, runId };
}

function insider(runId: string, secret: string, packed = false): Transport {
  const nothing = (): void => undefined;
  const attacker = new Transport({
    taskId: 'intruder',
    runId,
    secret,
    bind: '127.0.0.1',
    secure: false,
    limits: { vectorLength: 20_000_000, stateLength: 20_000_000 },
    packed,
    pool: plainPool,
    onHeard: nothing,
    onMessage: nothing,
    onLost: nothing,
    onRefused: nothing,
  });
  attackers.push(attacker);
  return attacker;
}

const tensor = (generation: number, length: number): Message => ({
  type: 'reduced',
  generation,
  step: 1,
  partition: 0,
  payload: new Float32Array(length).fill(2 ** 20),
});

function frames({ generation, leader, members }: GangRow): Message[] {
  const [member] = members as [GangMember];
  return [
    ...[0, generation, generation + 1, 2 ** 32 - 1].flatMap((one): Message[] => [
      tensor(one, 8),
      {
        type: 'contribution',
        generation: one,
        step: 1,
        partition: 0,
        level: 0,
        index: 0,
        payload: new Float32Array(8),
      },
      { type: 'prepare', generation: one, leader: 'intruder' },
      { type: 'dismiss', generation: one },
      // A greater one would be obeyed: to stop is never wrong.
      { type: 'fenced', generation: Math.min(one, generation) },
      { type: 'suspect', peer: leader, why: 'broken', generation: one },
      { type: 'lead', member: { ...member, taskId: 'intruder' }, fence: 2 ** 50 + one },
    ]),
    { type: 'replay', step: 3, payload: new Float32Array(8) },
    { type: 'caught-up', step: 1e9, donor: leader },
    { type: 'want-snapshot', member: { ...member, taskId: 'intruder', port: 1 } },
    { type: 'leaving' },
  ];
}

/** Everything at once, then waits for the other end to close. */
function shout({ host, port }: GangMember, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect(port, host, () => socket.write(bytes));
    socket.on('data', () => undefined);
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
  });
}

/** What a member that is let in sends, heard by somebody in between. */
async function record(member: GangMember, friend: Transport): Promise<Buffer> {
  const heard: Buffer[] = [];
  const between = net.createServer((near) => {
    const far = net.connect(member.port, member.host);
    near.on('data', (chunk) => heard.push(chunk));
    near.pipe(far).pipe(near);
    for (const end of [near, far]) end.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve));
  const { port } = between.address() as net.AddressInfo;
  friend.send({ ...member, port }, { type: 'leaving' });
  await until('the frame', 5000, () => Buffer.concat(heard).includes('leaving'));
  between.close();
  return Buffer.concat(heard);
}

/** By task, the reasons that it logged. */
function refused(runId: string): ReadonlyMap<string, string> {
  const tasks = join(lab.stateDir, 'tasks');
  return new Map(
    readdirSync(tasks).flatMap((task): [string, string][] => {
      const lines = readFileSync(join(tasks, task, 'log.txt'), 'utf8').split('\n');
      const found = lines.filter((line) => line.includes('frame.refused'));
      return lines.some((line) => line.includes(runId)) ? [[task, found.join('\n')]] : [];
    }),
  );
}
