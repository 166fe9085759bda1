import { describe, expect, it } from 'vitest';
import type { Gang, MessageOf } from '../../../core/gang/messages.ts';
import { Reducer } from '../../../core/gang/reducer.ts';
import type { GangMember } from '../../../core/run.ts';

const member = (taskId: string, role: GangMember['role']): GangMember => ({
  taskId,
  slot: `${role}/${taskId}`,
  role,
  host: 'h',
  port: 1,
});
const [w0, w1, server] = [member('w0', 'worker'), member('w1', 'worker'), member('s', 'parameter-server')];
const gang: Gang = { generation: 3, leader: 'w0', workers: [w0, w1], servers: [server] };

const contribution = (change: Partial<MessageOf<'contribution'>> = {}): MessageOf<'contribution'> => ({
  type: 'contribution',
  generation: 3,
  step: 5,
  partition: 0,
  level: 1,
  index: 0,
  payload: Float32Array.of(1, 2),
  ...change,
});

function opened(): Reducer {
  const reducer = new Reducer(server, { shards: 4, vectorLength: 2, partitionLength: 2, roundedLength: 0 });
  reducer.begin(gang, 5);
  return reducer;
}

describe('Reducer', () => {
  it('sends the total to every worker once all of the tree is in, then opens the next step (RD1)', () => {
    const reducer = opened();
    expect(reducer.take('w1', contribution({ index: 1, payload: Float32Array.of(10, 20) }))).toEqual([]);
    const effects = reducer.take('w0', contribution());
    const reduced = { type: 'reduced', generation: 3, step: 5, partition: 0, payload: Float32Array.of(11, 22) };
    expect(effects).toEqual([
      { type: 'send', to: w0, message: reduced },
      { type: 'send', to: w1, message: reduced },
    ]);
    expect(reducer.openStep).toBe(6);
  });

  const refusals: [string, string, Partial<MessageOf<'contribution'>>, RegExp][] = [
    ['an older generation', 'w0', { generation: 2 }, /generation/],
    ['a newer generation', 'w0', { generation: 4 }, /generation/],
    ['a step that is done', 'w0', { step: 4 }, /step 4 is not open/],
    ['a step to come', 'w0', { step: 6 }, /step 6 is not open/],
    ['a foreign partition', 'w0', { partition: 1 }, /partition 1/],
    ['a stranger', 'x', {}, /not a worker/],
    ["another worker's tree node", 'w0', { index: 1 }, /not the sender's/],
    ['a tree node of no cover', 'w0', { level: 0 }, /not the sender's/],
    ['a vector of another length', 'w0', { payload: Float32Array.of(1) }, /1 values/],
  ];
  for (const [what, from, change, why] of refusals) {
    it(`refuses ${what}, and goes on (P5, RD2)`, () => {
      const reducer = opened();
      const refused = reducer.take(from, contribution(change));
      expect(refused).toHaveProperty('refused');
      expect(Array.isArray(refused) ? '' : refused.refused).toMatch(why);
      reducer.take('w1', contribution({ index: 1 }));
      expect(reducer.take('w0', contribution())).toHaveLength(2);
    });
  }

  it('sends the total of a partition while others are still to come, and opens the next step after the last (RD1)', () => {
    const reducer = new Reducer(server, { shards: 4, vectorLength: 6, partitionLength: 2, roundedLength: 0 });
    reducer.begin(gang, 5);
    const sent = [2, 0, 1].map((partition) => {
      expect(reducer.take('w1', contribution({ partition, index: 1 }))).toEqual([]);
      expect(reducer.openStep).toBe(5);
      const effects = reducer.take('w0', contribution({ partition, payload: Float32Array.of(partition, 1) }));
      expect(reducer.take('w0', contribution({ partition, payload: Float32Array.of(9, 9) }))).toHaveProperty('refused');
      return effects;
    });
    for (const [i, partition] of [2, 0, 1].entries()) {
      const reduced = {
        type: 'reduced',
        generation: 3,
        step: 5,
        partition,
        payload: Float32Array.of(partition + 1, 3),
      };
      expect(sent[i]).toEqual([
        { type: 'send', to: w0, message: reduced },
        { type: 'send', to: w1, message: reduced },
      ]);
    }
    expect(reducer.openStep).toBe(6);
    expect(reducer.take('w0', contribution({ partition: 3, step: 6 }))).toEqual({ refused: 'partition 3 is not ours' });
  });

  it('takes a contribution once: a repeated frame does not count twice', () => {
    const reducer = opened();
    reducer.take('w0', contribution());
    expect(reducer.take('w0', contribution())).toEqual({ refused: 'sent twice' });
  });
});
