/** The parts of the asynchronous protocol, one by one; together they run in test/sim/async.test.ts. */
import { describe, expect, it } from 'vitest';
import { Applied, inAll } from '../../../core/gang/async/applied.ts';
import type { AsyncEffect, AsyncEvent } from '../../../core/gang/async/effects.ts';
import { Keeper } from '../../../core/gang/async/keeper.ts';
import { Ledger } from '../../../core/gang/async/ledger.ts';
import { AsyncMember } from '../../../core/gang/async/member.ts';
import {
  type Copy,
  copyLengthOf,
  cutOut,
  type Mark,
  type Partitioning,
  putTogether,
} from '../../../core/gang/async/partition.ts';
import { holdersOf, place } from '../../../core/gang/async/placement.ts';
import type { Gang } from '../../../core/gang/messages.ts';
import type { GangMember } from '../../../core/run.ts';

const member = (role: GangMember['role'], index: number): GangMember => ({
  taskId: `${role === 'worker' ? 'w' : 's'}${index}`,
  slot: `${role}/${index}`,
  role,
  host: 'h',
  port: 1,
});
const gangOf = (workers: readonly number[], servers: readonly number[], generation = 5): Gang => ({
  generation,
  leader: `w${workers[0]}`,
  workers: workers.map((index) => member('worker', index)),
  servers: servers.map((index) => member('parameter-server', index)),
});
const markOf = (partition: number, generation: number, below: number): Mark => ({
  partition,
  generation,
  applied: { below, beyond: [] },
  sums: [],
});

describe('Applied', () => {
  it('counts an item once and closes its gaps', () => {
    const applied = new Applied();
    expect([2, 0, 2, 1, 4].map((item) => applied.add(item))).toEqual([true, true, false, true, true]);
    expect(applied.record()).toEqual({ below: 3, beyond: [4] });
    expect(applied.count).toBe(4);
  });

  it('is in all when every partition has it', () => {
    const common = inAll([
      { below: 3, beyond: [5, 7] },
      { below: 4, beyond: [7, 9] },
    ]);
    expect(common.record()).toEqual({ below: 3, beyond: [7] });
  });
});

describe('holdersOf()', () => {
  it('spreads the partitions over the servers, each backed up by the next', () => {
    const gang = gangOf([0, 1], [0, 1, 2]);
    expect([0, 1, 2].map((p) => holdersOf(gang, p))).toEqual([
      ['s0', 's1'],
      ['s1', 's2'],
      ['s2', 's0'],
    ]);
  });

  it('makes the backup the primary when the primary is lost (PL1)', () => {
    for (const lost of [0, 1, 2]) {
      const before = gangOf([0, 1], [0, 1, 2]);
      const after = gangOf(
        [0, 1],
        [0, 1, 2].filter((index) => index !== lost),
      );
      for (const p of [0, 1, 2]) {
        const [primary, backup] = holdersOf(before, p) ?? [];
        expect(holdersOf(after, p)?.[0]).toBe(primary === `s${lost}` ? backup : primary);
      }
    }
  });

  it('backs a single server up on a worker, which takes over; one member alone holds nothing', () => {
    expect(holdersOf(gangOf([0, 1], [0]), 0)).toEqual(['s0', 'w0']);
    expect(holdersOf(gangOf([0, 1], []), 0)).toEqual(['w0', 'w1']);
    expect(holdersOf(gangOf([0], []), 0)).toBeUndefined();
  });
});

describe('place()', () => {
  const gang = gangOf([0, 1], [0, 1]);
  const nothing = { opened: 0, marks: [] };

  it('takes the newest generation, then the most updates (PL2)', () => {
    const reports = new Map([
      ['w0', { opened: 2, marks: [markOf(0, 2, 99)] }],
      ['w1', { opened: 2, marks: [] }],
      ['s0', { opened: 2, marks: [markOf(0, 4, 10)] }],
      ['s1', { opened: 2, marks: [markOf(0, 4, 11)] }],
    ]);
    const placed = place(gang, 1, reports);
    expect(placed?.table).toEqual([{ partition: 0, holders: ['s0', 's1'], source: 's1', needs: ['s0'] }]);
    expect(placed?.marks.get(0)).toEqual(markOf(0, 4, 11));
  });

  it('does not take a copy older than what was opened: it goes to the storage (PL3)', () => {
    const reports = new Map([
      ['w0', { opened: 2, marks: [markOf(0, 2, 99)] }],
      ['w1', { opened: 3, marks: [] }],
      ['s0', nothing],
      ['s1', nothing],
    ]);
    expect(place(gang, 1, reports)?.table).toEqual([{ partition: 0, holders: ['s0', 's1'], needs: ['s0', 's1'] }]);
  });

  it('sends nothing to who is level', () => {
    const held = { opened: 4, marks: [markOf(0, 4, 7)] };
    const reports = new Map([
      ['w0', held],
      ['w1', nothing],
      ['s0', held],
      ['s1', held],
    ]);
    expect(place(gang, 1, reports)?.table[0]).toMatchObject({ source: 's0', needs: [] });
  });
});

describe('partitions', () => {
  it('come apart and together again, slots and moving statistics too', () => {
    const cut: Partitioning = { partitions: 3, parameterLength: 10, trainableLength: 8, slots: 2, tailLength: 3 };
    const parameters = Float32Array.from({ length: 10 }, (_, i) => i);
    const slots = Float32Array.from({ length: 16 }, (_, i) => 100 + i);
    const copies = [0, 1, 2].map((p): Copy => ({ mark: markOf(p, 1, 0), values: cutOut(cut, p, parameters, slots) }));
    expect(copies.map(({ values }) => values.length)).toEqual([0, 1, 2].map((p) => copyLengthOf(cut, p)));
    expect(putTogether(cut, copies)).toEqual({ parameters, slots });
  });
});

describe('Keeper', () => {
  const shape = {
    partitioning: { partitions: 1, parameterLength: 2, trainableLength: 2, slots: 0, tailLength: 3 },
    stepsPerEpoch: 10,
    maxStaleness: 2,
  };
  const gang = gangOf([0, 1], [0, 1]);
  const open = (self: number): Keeper => {
    const keeper = new Keeper(member('parameter-server', self), shape, (_p, values, payload) => {
      values[0] = (values[0] as number) + (payload[0] as number);
    });
    keeper.begin(gang);
    keeper.place({
      type: 'place',
      generation: 5,
      opened: 0,
      table: [{ partition: 0, holders: ['s0', 's1'], needs: ['s0', 's1'] }],
    });
    const payload = new Float32Array(2);
    keeper.state({ type: 'state', generation: 5, mark: markOf(0, 0, 0), payload });
    keeper.open(5);
    return keeper;
  };
  const push = (keeper: Keeper, item: number, base: number) =>
    keeper.push('w0', {
      type: 'push',
      generation: 5,
      item,
      partition: 0,
      base,
      payload: Float32Array.from([1, 1, 0, 0, 1]),
    });
  const sent = (outcome: ReturnType<typeof push>): string[] =>
    Array.isArray(outcome)
      ? outcome.map((effect) =>
          effect.type === 'send' ? `${effect.message.type} to ${effect.to.taskId}` : effect.type,
        )
      : [outcome.refused];

  it('acknowledges an update when the backup has it, not before (KP2)', () => {
    const [primary, backup] = [open(0), open(1)];
    const first = push(primary, 0, 0);
    expect(sent(first)).toEqual(['replicate to s1']);
    // Asked again meanwhile: the answer waits as well, and the item counts once (KP1).
    expect(sent(push(primary, 0, 0))).toEqual([]);
    const replicate = Array.isArray(first) && first[0]?.type === 'send' ? first[0].message : undefined;
    if (replicate?.type !== 'replicate') throw new Error('no replicate');
    expect(sent(backup.replicate('s0', replicate))).toEqual(['replicated to s0']);
    const told = primary.replicated('s1', { type: 'replicated', generation: 5, partition: 0, version: 1 });
    expect(sent(told)).toEqual(['pushed to w0', 'pushed to w0']);
    expect(primary.marks()).toEqual(backup.marks());
    expect(primary.marks()[0]).toMatchObject({ generation: 5, applied: { below: 1, beyond: [] } });
  });

  it('refuses what is more than maxStaleness behind (KP3), and what nobody can have pulled', () => {
    const keeper = open(0);
    for (const item of [0, 1, 2]) push(keeper, item, item);
    expect(push(keeper, 3, 0)).toMatchObject([{ message: { type: 'pushed', outcome: 'stale' } }]);
    expect(push(keeper, 3, 9)).toMatchObject([{ message: { type: 'pushed', outcome: 'stale' } }]);
    expect(sent(push(keeper, 3, 1))).toEqual(['replicate to s1']);
  });

  it('takes pushes as primary only, and replicas only from the primary, in order', () => {
    const backup = open(1);
    expect(sent(push(backup, 0, 0))[0]).toContain('not the primary');
    const replicate = (from: string, version: number) =>
      sent(
        backup.replicate(from, {
          type: 'replicate',
          generation: 5,
          item: 7,
          partition: 0,
          version,
          payload: new Float32Array(5),
        }),
      );
    expect(replicate('w1', 1)[0]).toContain('not the backup');
    expect(replicate('s0', 2)[0]).toContain('does not follow');
    expect(replicate('s0', 1)).toEqual(['replicated to s0']);
  });
});

describe('Ledger', () => {
  it('hands out at most maxStaleness + 1 items that can still be accepted (LG2)', () => {
    const ledger = new Ledger(100, 1, new Applied());
    expect(['a', 'b', 'c'].map((worker) => ledger.next(worker, 0))).toEqual([0, 1, undefined]);
    ledger.settle('a', 0, true, 10);
    expect(ledger.next('c', 10)).toBe(2);
  });

  it('gives an overtaken item to another, once (LG3)', () => {
    const ledger = new Ledger(100, 1, new Applied());
    expect(ledger.next('slow', 0)).toBe(0);
    for (const item of [1, 2]) {
      expect(ledger.next('fast', item)).toBe(item);
      ledger.settle('fast', item, true, item);
    }
    expect(ledger.next('fast', 3)).toBe(0);
    expect(ledger.next('other', 3)).toBe(3);
    ledger.settle('fast', 0, true, 4);
    ledger.settle('slow', 0, false, 5);
    expect(ledger.next('fast', 5)).toBe(4);
    expect(ledger.done).toBe(3);
  });

  it('gives a late item to another when there is nothing else to do, and not early', () => {
    const ledger = new Ledger(3, 8, new Applied());
    ledger.next('slow', 0);
    ledger.next('fast', 0);
    ledger.settle('fast', 1, true, 10);
    ledger.next('fast', 10);
    ledger.settle('fast', 2, true, 20);
    expect(ledger.next('fast', 20)).toBeUndefined();
    expect(ledger.next('fast', 120)).toBeUndefined();
    expect(ledger.next('fast', 160)).toBe(0);
  });

  it('puts what was refused back', () => {
    const ledger = new Ledger(5, 4, new Applied());
    ledger.next('a', 0);
    ledger.settle('a', 0, false, 1);
    expect(ledger.next('a', 1)).toBe(0);
    expect(ledger.done).toBe(0);
  });
});

describe('AsyncMember', () => {
  it('refuses what carries another generation, and what comes from outside the gang (AM1, AM2)', () => {
    const self = member('worker', 0);
    const cut = { partitions: 1, parameterLength: 2, trainableLength: 2, slots: 0, tailLength: 3 };
    const node = new AsyncMember({
      self,
      training: { partitioning: cut, stepsPerEpoch: 2, totalSteps: 4, maxStaleness: 1, checkpointEvery: 0 },
      update: () => undefined,
      leader: { workersMin: 1, workersMax: 1, parameterServers: 1, gatherMs: 10 },
      heartbeatIntervalMs: 20,
      patience: { floorMs: 200, firstStepMs: 200, blinkMs: 20 },
      graceMs: 50,
      report: () => ({ state: 'idle', memoryMiB: 0, computeShare: 0, wireShare: 0, waitShare: 0 }),
    });
    let nowMs = 0;
    const tell = (event: AsyncEvent): AsyncEffect[] => {
      nowMs += 15;
      return node.handle(event, nowMs);
    };
    const row = { ...self, fence: 1, beat: 0, durationMs: 100 };
    const seen = [...node.start(), ...tell({ type: 'lease-held', row, gang: undefined, savedStep: 0 })];
    for (let i = 0; i < 5; i += 1) seen.push(...tell({ type: 'tick' }));
    expect(seen.map(({ type }) => type)).toContain('commit-generation');
    seen.push(...tell({ type: 'generation-committed', generation: 1 }));
    expect(node.generation).toBe(1);
    // Alone it places nothing: two copies need two members.
    expect(seen).toContainEqual({ type: 'news', why: 'partitions wait for a second member' });

    const refused = (from: string, generation: number): unknown =>
      tell({ type: 'message', from, message: { type: 'held', generation, partition: 0 } }).filter(
        ({ type }) => type === 'record',
      );
    for (const generation of [0, 2]) {
      expect(refused('w0', generation)).toMatchObject([
        { event: 'frame.refused', detail: { what: 'held', why: `generation ${generation}` } },
      ]);
    }
    expect(refused('s9', 1)).toMatchObject([{ detail: { why: 'the sender is not in the gang' } }]);
  });
});
