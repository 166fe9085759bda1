/** Trainers and reducers of a whole gang by themselves: what goes where, and in whose vector the total ends up. */
import { expect, it } from 'vitest';
import { roundToBfloat16 } from '../../../core/bfloat16.ts';
import type { Effect } from '../../../core/gang/effects.ts';
import type { Gang, Message } from '../../../core/gang/messages.ts';
import { Reducer } from '../../../core/gang/reducer.ts';
import { Trainer } from '../../../core/gang/trainer.ts';
import type { GangMember } from '../../../core/run.ts';
import { cover, ownership } from '../../../core/shards.ts';

const shards = 8;
const length = 23;
/** The first part of the vector is rounded at every node: it ends in the middle of a partition. */
const roundedLength = 13;
const shape = {
  shards,
  vectorLength: length,
  // A parameter server has six of them, or three of two.
  partitionLength: 4,
  roundedLength,
  stepsPerEpoch: 10,
  totalSteps: 10,
  checkpointEvery: 0,
};
const valueAt = (shard: number, i: number): number => Math.fround(Math.sin(shard * 31 + i) * 10 ** (shard % 5));

function nodeValue(exact: number, i: number): number {
  const value = Float32Array.of(exact);
  roundToBfloat16(value, i < roundedLength ? 1 : 0);
  return value[0] as number;
}

/** One step of a gang; answers each worker's total, what it computed, and how many frames went from one to another. */
function step(workers: number, servers: number) {
  const member = (role: GangMember['role'], i: number): GangMember => ({
    taskId: `${role}${i}`,
    slot: `${role}/${i}`,
    role,
    host: 'h',
    port: 1,
  });
  const gang: Gang = {
    generation: 1,
    leader: 'nobody',
    workers: Array.from({ length: workers }, (_, i) => member('worker', i)),
    servers: Array.from({ length: servers }, (_, i) => member('parameter-server', i)),
  };
  const tasks = new Map(
    [...gang.workers, ...gang.servers].map((self) => [
      self.taskId,
      { self, trainer: new Trainer(self, shape), reducer: new Reducer(self, shape) },
    ]),
  );
  const totals: Float32Array[] = [];
  const inPlace: boolean[] = [];
  const frames: Message['type'][] = [];
  const queue: { from: string; to: string; message: Message }[] = [];
  const carryOut = (from: string, effects: readonly Effect[]): void => {
    for (const effect of effects) {
      if (effect.type === 'apply') totals.push(effect.reduced.slice());
      if (effect.type !== 'send') continue;
      const { message, to } = effect;
      const mine = to.taskId === from;
      if (!mine) frames.push(message.type);
      const copy = 'payload' in message && !mine ? { ...message, payload: message.payload.slice() } : message;
      queue.push({ from, to: to.taskId, message: copy as Message });
    }
  };
  for (const { self, trainer, reducer } of tasks.values()) {
    reducer.begin(gang, 0);
    if (self.role === 'worker') trainer.begin({ type: 'begin', gang, fromStep: 0, behind: [] });
  }
  const computed = gang.workers.map((self, rank) => {
    const parts = cover(ownership(shards, workers, rank)).map((node) => ({
      node,
      vector: Float32Array.from({ length }, (_, i) => {
        const sum = (level: number, index: number): number =>
          nodeValue(level === 0 ? valueAt(index, i) : sum(level - 1, 2 * index) + sum(level - 1, 2 * index + 1), i);
        return sum(node.level, node.index);
      }),
    }));
    const before = parts.map(({ vector }) => vector.slice());
    carryOut(self.taskId, tasks.get(self.taskId)?.trainer.computed(1, 0, parts) ?? []);
    return { parts, before };
  });
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const task = tasks.get(next.to);
    const { message, from } = next;
    if (message.type === 'reduced' && from !== next.to) {
      const place = task?.trainer.placeFor(from, message, message.payload.length);
      inPlace.push(place !== undefined);
      expect(task?.trainer.placeFor(from, { ...message, step: 1 }, message.payload.length)).toBeUndefined();
      expect(task?.trainer.placeFor('worker9', message, message.payload.length)).toBeUndefined();
      expect(task?.trainer.placeFor(from, message, message.payload.length + 1)).toBeUndefined();
    }
    const done =
      message.type === 'contribution'
        ? task?.reducer.take(from, message)
        : message.type === 'reduced'
          ? task?.trainer.reduced(from, message)
          : undefined;
    expect(done).toBeInstanceOf(Array);
    carryOut(next.to, done as Effect[]);
  }
  return { totals, computed, frames, inPlace };
}

it('gives every worker the same bits, whoever adds them up (P2)', () => {
  const [reference] = step(1, 0).totals as [Float32Array];
  const again = reference.slice();
  roundToBfloat16(again);
  expect(again.map((value, i) => (value === reference[i] ? 1 : 0)).lastIndexOf(0)).toBeGreaterThanOrEqual(
    roundedLength,
  );
  expect(again.subarray(0, roundedLength)).toEqual(reference.subarray(0, roundedLength));
  for (const workers of [1, 2, 3, 4, 8]) {
    for (const servers of [0, 1, 2]) {
      const { totals, inPlace } = step(workers, servers);
      expect(totals).toHaveLength(workers);
      for (const total of totals) expect(total, `${workers} workers, ${servers} servers`).toEqual(reference);
      expect(inPlace.every((place) => place)).toBe(true);
    }
  }
});

it('two workers exchange in one hop, and leave alone what is on its way', () => {
  const { frames, computed } = step(2, 0);
  expect(frames).toEqual(['contribution', 'contribution']);
  for (const { parts, before } of computed) expect(parts.map(({ vector }) => vector)).toEqual(before);
});
