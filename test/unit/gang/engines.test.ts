import { expect, test } from 'vitest';
import type { Effect } from '../../../core/gang/effects.ts';
import { Leader } from '../../../core/gang/leader.ts';
import { Patience } from '../../../core/gang/patience.ts';
import type { GangMember } from '../../../core/run.ts';

const worker = (index: number, engine?: string): GangMember => ({
  taskId: `task-${index}`,
  slot: `worker/${index}`,
  role: 'worker',
  host: 'localhost',
  port: 1000 + index,
  ...(engine === undefined ? {} : { engine }),
});

function leader(engine?: string): Leader {
  const options = {
    self: worker(0, engine),
    workersMin: 1,
    workersMax: 2,
    parameterServers: 0,
    gatherMs: 1000,
    heartbeatIntervalMs: 100,
  };
  const patience = new Patience({ floorMs: 1000, firstStepMs: 1000, blinkMs: 50 });
  const from = { generation: 4, lastGang: [], awaited: [], hasState: false, step: 0, savedStep: 0 };
  return new Leader(options, patience, from);
}

const hello = (member: GangMember) =>
  ({ type: 'hello', member, hasState: false, step: 0, generation: 0, lends: false }) as const;

const recorded = (effects: readonly Effect[]) =>
  effects.flatMap((effect) => (effect.type === 'record' ? [effect.event] : []));
const sent = (effects: readonly Effect[]) =>
  effects.flatMap((effect) => (effect.type === 'send' ? [effect.message.type] : []));

test('a worker that computes with another engine than the leader is refused, and told so again (LD6)', () => {
  const one = leader('exact');
  const other = worker(1, 'portable');
  const effects = one.hello(hello(other));
  expect(recorded(effects)).toEqual(['member.refused']);
  expect(sent(effects)).toEqual(['fenced']);
  expect(sent(one.hello(hello(other)))).toEqual(['fenced']);
  expect(one.answerToDropped(other.taskId)).toHaveLength(1);
  // The run is not stuck: the next worker is taken.
  expect(recorded(one.hello(hello(worker(2, 'exact'))))).toContain('member.joined');
});

test('parameter servers have no engine, and are taken by any', () => {
  const server: GangMember = { ...worker(1), slot: 'parameter-server/1', role: 'parameter-server' };
  for (const engine of ['exact', 'portable', undefined]) {
    expect(recorded(leader(engine).hello(hello(server)))).toContain('member.joined');
  }
});
