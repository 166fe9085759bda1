/** Members that come, are lost, or were not told: what a leader and its members make of it. */
import { describe, expect, test } from 'vitest';
import { Doubts } from '../../../core/gang/doubts.ts';
import type { Effect } from '../../../core/gang/effects.ts';
import { Leader } from '../../../core/gang/leader.ts';
import { Member } from '../../../core/gang/member.ts';
import type { Gang, Message } from '../../../core/gang/messages.ts';
import { Patience } from '../../../core/gang/patience.ts';
import type { GangMember } from '../../../core/run.ts';
import { worker } from './support.ts';

const patience = { floorMs: 1_000, firstStepMs: 1_000, blinkMs: 1_000 };
const report = { state: 'training', memoryMiB: 0, computeShare: 0, wireShare: 0, waitShare: 0 } as const;

function memberOf(self: GangMember): Member {
  return new Member({
    self,
    shape: {
      shards: 4,
      vectorLength: 8,
      partitionLength: 8,
      roundedLength: 0,
      stepsPerEpoch: 10,
      totalSteps: 10,
      checkpointEvery: 0,
    },
    leader: { workersMin: 1, workersMax: 3, parameterServers: 0, gatherMs: 100 },
    heartbeatIntervalMs: 100,
    patience,
    graceMs: 100,
    report: () => report,
  });
}

const sentTo = (effects: readonly Effect[], to: GangMember): readonly Message[] =>
  effects.flatMap((effect) => (effect.type === 'send' && effect.to.taskId === to.taskId ? [effect.message] : []));
const kinds = (effects: readonly Effect[]): readonly string[] => effects.map((effect) => effect.type);

describe('a member that was not prepared for the generation of its leader (MB3)', () => {
  const [self, first, second] = [worker(1), worker(0), worker(2)];

  /** In generation 3 of `first`, who is lost; then `second` leads. */
  function survivor(): Member {
    const member = memberOf(self);
    const gang: Gang = { generation: 3, leader: first.taskId, workers: [first, self, second], servers: [] };
    const leads = { ...first, fence: 1, beat: 0, durationMs: 0 };
    const from = first.taskId;
    member.handle({ type: 'lease-other', row: leads }, 0);
    member.handle({ type: 'message', from, message: { type: 'welcome', generation: 2 } }, 1);
    member.handle({ type: 'message', from, message: { type: 'prepare', generation: 3, leader: from } }, 2);
    member.handle({ type: 'message', from, message: { type: 'begin', gang, fromStep: 0, behind: [] } }, 3);
    member.handle({ type: 'lease-other', row: { ...leads, ...second, fence: 2 } }, 4);
    member.handle({ type: 'message', from: second.taskId, message: { type: 'welcome', generation: 4 } }, 5);
    return member;
  }

  const beat = (generation: number): Message => ({ type: 'beat', generation, step: 0, report, leads: true });

  test('says where it stands and goes on, for its state may be the only one', () => {
    const member = survivor();
    const effects = member.handle({ type: 'message', from: second.taskId, message: beat(4) }, 6);
    expect(kinds(effects)).not.toContain('exit');
    expect(sentTo(effects, second)).toEqual([{ type: 'hello', member: self, hasState: true, step: 0, generation: 3 }]);
    const prepare: Message = { type: 'prepare', generation: 5, leader: second.taskId };
    const prepared = member.handle({ type: 'message', from: second.taskId, message: prepare }, 7);
    expect(sentTo(prepared, second)).toEqual([
      { type: 'prepared', generation: 5, step: 0, hasState: true, lends: false },
    ]);
  });

  test('goes when it is told that it is out', () => {
    const member = survivor();
    member.handle({ type: 'message', from: second.taskId, message: beat(4) }, 6);
    const fenced: Message = { type: 'fenced', generation: 4 };
    expect(kinds(member.handle({ type: 'message', from: second.taskId, message: fenced }, 7))).toContain('exit');
  });

  test('takes no notice of beats of its own generation, or of who does not lead it', () => {
    const member = survivor();
    expect(member.handle({ type: 'message', from: second.taskId, message: beat(3) }, 6)).toEqual([]);
    expect(member.handle({ type: 'message', from: first.taskId, message: beat(9) }, 7)).toEqual([]);
  });
});

describe('whoever does not hold the lease (MB5)', () => {
  const [self, first, second] = [worker(1), worker(0), worker(2)];

  function follower(): Member {
    const member = memberOf(self);
    member.handle({ type: 'lease-other', row: { ...first, fence: 1, beat: 0, durationMs: 0 } }, 0);
    return member;
  }
  const says = (member: Member, from: GangMember, message: Message): readonly Effect[] =>
    member.handle({ type: 'message', from: from.taskId, message }, 1);

  test('prepares nobody for a generation, however great', () => {
    const member = follower();
    const prepare = (generation: number): Message => ({ type: 'prepare', generation, leader: second.taskId });
    expect(kinds(says(member, second, prepare(2 ** 32 - 1)))).toEqual(['record']);
    expect(member.generation).toBe(0);
    expect(sentTo(says(member, first, prepare(1)), first)).toMatchObject([{ type: 'prepared', generation: 1 }]);
  });

  test('dismisses nobody', () => {
    const member = follower();
    expect(kinds(says(member, second, { type: 'dismiss', generation: 9 }))).toEqual(['record']);
    expect(kinds(says(member, first, { type: 'dismiss', generation: 0 }))).toEqual(['exit']);
  });

  test('is not followed for saying that it leads: the table is asked', () => {
    const member = follower();
    const effects = says(member, second, { type: 'lead', member: second, fence: Number.MAX_SAFE_INTEGER });
    expect(kinds(effects)).toEqual(['seek-leader']);
    expect(kinds(says(member, second, { type: 'dismiss', generation: 9 }))).toEqual(['record']);
  });
});

describe('members lost at once (LD5)', () => {
  /** Leads three others in generation 1, and hears none of them any more. */
  function leaderOfThree(): { readonly leader: Leader; readonly clock: Patience } {
    const clock = new Patience(patience);
    clock.look(0);
    const self = worker(0);
    const options = { self, workersMin: 1, workersMax: 4, parameterServers: 0, gatherMs: 10 };
    const from = { generation: 0, lastGang: [], awaited: [], hasState: false, step: 0, savedStep: 0 };
    const leader = new Leader(options, clock, from);
    for (const index of [1, 2, 3]) {
      leader.hello({ type: 'hello', member: worker(index), hasState: false, step: 0, generation: 0 });
    }
    leader.restored(0);
    leader.committed(1);
    for (const index of [0, 1, 2, 3]) {
      leader.prepared(`task-${index}`, { type: 'prepared', generation: 1, step: 0, hasState: false, lends: false });
    }
    expect(leader.state.kind).toBe('open');
    for (const index of [1, 2, 3]) clock.heard(`task-${index}`);
    return { leader, clock };
  }

  test('cost one generation, and their slots are free once it is committed', () => {
    const { leader, clock } = leaderOfThree();
    for (let ms = 100; ms <= 1_100; ms += 100) {
      clock.look(ms);
      clock.heard('task-1');
    }
    const effects = leader.tick();
    const commits = effects.flatMap((effect) => (effect.type === 'commit-generation' ? [effect.gang] : []));
    expect(commits.map(({ workers }) => workers.map(({ taskId }) => taskId))).toEqual([['task-0', 'task-1']]);
    expect(kinds(effects)).not.toContain('release');
    const released = leader.committed(2).flatMap((effect) => (effect.type === 'release' ? [effect.peer.taskId] : []));
    expect(released).toEqual(['task-2', 'task-3']);
  });

  test('who is lost while the row is written keeps its slot until a row without it is written', () => {
    const { leader } = leaderOfThree();
    leader.lost(['task-1'], 'lost');
    leader.lost(['task-2'], 'lost');
    const released = (effects: readonly Effect[]) =>
      effects.flatMap((effect) => (effect.type === 'release' ? [effect.peer.taskId] : []));
    expect(released(leader.committed(2))).toEqual(['task-1']);
    expect(released(leader.committed(3))).toEqual(['task-2']);
  });
});

describe('complaints', () => {
  test('about a leader that was stopped speak no longer against who made them, once it beats again', () => {
    const doubts = new Doubts('task-0');
    doubts.add('task-1', 'task-2', false);
    doubts.beat();
    doubts.beat();
    doubts.add('task-1', 'task-0', false);
    doubts.add('task-1', 'task-2', false);
    const order = ['task-0', 'task-1', 'task-2'];
    expect(doubts.verdict(order, () => false)).toBe('task-2');
  });

  test('of one about several cost whom the leader does not hear either, not who makes them', () => {
    const doubts = new Doubts('task-0');
    doubts.add('task-3', 'task-1', false);
    doubts.add('task-3', 'task-2', false);
    doubts.beat();
    doubts.beat();
    doubts.add('task-3', 'task-1', false);
    doubts.add('task-3', 'task-2', false);
    const order = ['task-0', 'task-1', 'task-2', 'task-3', 'task-4'];
    expect(doubts.verdict(order, (member) => member === 'task-1' || member === 'task-4')).toBe('task-1');
    expect(doubts.verdict(order, () => false)).toBe('task-3');
  });

  test('that are repeated about the leader cost who makes them (DB3)', () => {
    const doubts = new Doubts('task-0');
    for (let beats = 0; beats < 3; beats += 1) {
      doubts.add('task-1', 'task-0', false);
      doubts.beat();
    }
    expect(doubts.verdict(['task-0', 'task-1'], () => false)).toBe('task-1');
  });
});

describe('a leader that takes in a newcomer while the others train (CO1, CO2)', () => {
  const newcomer = worker(3);

  /** Three train in generation 1; a fourth has caught up with the state of a donor, and generation 2 is being written. */
  function joining(turn: { step: number; fromStep: number } | undefined): Leader {
    const clock = new Patience(patience);
    clock.look(0);
    const options = { self: worker(0), workersMin: 1, workersMax: 4, parameterServers: 0, gatherMs: 10 };
    const from = { generation: 0, lastGang: [], awaited: [], hasState: false, step: 0, savedStep: 0 };
    const leader = new Leader(options, clock, from, () => turn);
    for (const index of [1, 2])
      leader.hello({ type: 'hello', member: worker(index), hasState: false, step: 0, generation: 0 });
    clock.look(20);
    leader.tick();
    leader.restored(0);
    leader.committed(1);
    for (const index of [0, 1, 2]) prepared(leader, index, 1);
    expect(leader.state.kind).toBe('open');
    for (const index of [1, 2]) clock.heard(`task-${index}`);
    const fetch = leader.hello({ type: 'hello', member: newcomer, hasState: false, step: 0, generation: 0 });
    const [order] = sentTo(fetch, newcomer).filter((message) => message.type === 'fetch');
    const donor = order?.type === 'fetch' ? order.donor.taskId : '';
    expect(kinds(leader.caughtUp(newcomer.taskId, { type: 'caught-up', step: 7, donor }))).toContain(
      'commit-generation',
    );
    return leader;
  }

  const prepared = (leader: Leader, index: number, generation: number, step = 0): Effect[] =>
    leader.prepared(`task-${index}`, { type: 'prepared', generation, step, hasState: true, lends: false });

  test('tells nobody to stop, and begins where all have yet to get to', () => {
    const leader = joining({ step: 7, fromStep: 9 });
    const told = sentTo(leader.committed(2), worker(1));
    expect(told).toEqual([{ type: 'prepare', generation: 2, leader: 'task-0', level: 7 }]);
    for (const index of [0, 1, 2]) expect(prepared(leader, index, 2, 7)).toEqual([]);
    const [begin] = sentTo(prepared(leader, 3, 2, 7), worker(1));
    expect(begin).toMatchObject({ type: 'begin', gang: { generation: 2 }, fromStep: 9, behind: [] });
  });

  test('stops all when one of them is lost meanwhile, and when nobody trains', () => {
    const leader = joining({ step: 7, fromStep: 9 });
    leader.lost(['task-2'], 'lost');
    leader.committed(2);
    const told = sentTo(leader.committed(3), worker(1));
    expect(told).toEqual([{ type: 'prepare', generation: 3, leader: 'task-0' }]);
    expect(sentTo(joining(undefined).committed(2), worker(1))).toEqual([
      { type: 'prepare', generation: 2, leader: 'task-0' },
    ]);
  });

  test('stops all when the newcomer has lost its donor', () => {
    const leader = joining({ step: 7, fromStep: 9 });
    leader.committed(2);
    for (const index of [0, 1, 2])
      leader.suspected('task-3', { type: 'suspect', peer: `task-${index}`, why: 'broken', generation: 2 });
    for (const index of [0, 1, 2]) prepared(leader, index, 2, 7);
    expect(kinds(prepared(leader, 3, 2, 7))).toEqual(['commit-generation']);
    expect(sentTo(leader.committed(3), worker(1))).toEqual([{ type: 'prepare', generation: 3, leader: 'task-0' }]);
  });

  test('misses what was lost in the generation that goes on: the step in flight would never end', () => {
    for (const before of [true, false]) {
      const leader = joining({ step: 7, fromStep: 9 });
      const complain = (): Effect[] =>
        leader.suspected('task-1', { type: 'suspect', peer: 'task-2', why: 'broken', generation: 1 });
      if (before) complain();
      leader.committed(2);
      if (!before) complain();
      for (let beat = 0; beat < 2; beat += 1) leader.beatTo();
      const dropped = leader.tick().filter((effect) => effect.type === 'drop');
      expect(dropped).toMatchObject([{ peer: { taskId: 'task-2' }, why: 'unreachable' }]);
    }
  });
});
