/** The table side of a generation: how many rounds it takes to commit one, and what may stand in its way. */
import { describe, expect, test } from 'vitest';
import type { Table } from '../../cloud/ports.ts';
import { Leadership } from '../../container/leadership.ts';
import type { Event } from '../../core/gang/effects.ts';
import type { Gang } from '../../core/gang/messages.ts';
import { type GangMember, type GangRow, keys, type OutcomeRow } from '../../core/run.ts';
import { createMemoryWorld } from '../support/memory-world.ts';
import { testPlan } from '../support/plans.ts';

const plan = testPlan();
const { runId } = plan;
const self: GangMember = { taskId: 'task-1', slot: 'worker/0', role: 'worker', host: 'localhost', port: 1 };
const gang = (generation: number): Gang => ({ generation, leader: self.taskId, workers: [self], servers: [] });

/** What is asked for while nothing has been answered yet is one round. */
function inRounds(table: Table): { readonly table: Table; readonly rounds: string[][] } {
  const rounds: string[][] = [];
  let open: Promise<void> | undefined;
  const join = async (what: string): Promise<void> => {
    if (open === undefined) {
      rounds.push([]);
      open = new Promise((resolve) => setImmediate(resolve)).then(() => {
        open = undefined;
      });
    }
    rounds.at(-1)?.push(what);
    await open;
  };
  return {
    rounds,
    table: {
      ...table,
      get: async (partition, key) => {
        await join(`get ${key}`);
        return await table.get(partition, key);
      },
      put: async (partition, key, value, when) => {
        await join(`put ${key}`);
        return await table.put(partition, key, value, when);
      },
    },
  };
}

/** Leads, and has committed generation 1. */
async function leader() {
  const world = createMemoryWorld();
  const { table, rounds } = inRounds(world.table);
  const events: Event[] = [];
  const leadership = new Leadership(
    { ...world, table },
    plan,
    self,
    () => 1000,
    (event) => events.push(event),
  );
  await leadership.seek(undefined, false);
  await leadership.commit(gang(1), 0, 'first gang');
  expect(events.map(({ type }) => type)).toEqual(['lease-held', 'generation-committed']);
  rounds.length = 0;
  events.length = 0;
  return { world, leadership, rounds, events };
}

describe('committing a generation (LS2)', () => {
  test('takes four rounds: all is read, the row is written, then the fences, the one of the outcome first', async () => {
    const { leadership, rounds, events } = await leader();
    await leadership.commit(gang(2), 7, 'worker/1 joined');
    expect(events).toEqual([{ type: 'generation-committed', generation: 2 }]);
    const { leader: lease, gang: row, outcome, checkpoints, progress } = keys;
    expect(rounds).toEqual([
      [lease, row, outcome, checkpoints, progress].map((key) => `get ${key}`),
      [`put ${row}`],
      [`put ${outcome}`],
      [`put ${checkpoints}`, `put ${progress}`],
    ]);
  });

  test('keeps those of the generation before from writing, and what they wrote in between', async () => {
    const { world, leadership, rounds, events } = await leader();
    const commit = leadership.commit(gang(2), 7, 'worker/1 joined');
    while (rounds.length < 2) await new Promise((resolve) => setImmediate(resolve));
    const seen = await world.table.get<object>(runId, keys.progress);
    const late = { ...seen?.value, step: 6 };
    expect(await world.table.put(runId, keys.progress, late, { fence: 1 })).toMatchObject({ kind: 'stored' });
    await commit;
    expect(events).toEqual([{ type: 'generation-committed', generation: 2 }]);
    expect(await world.table.get(runId, keys.progress)).toMatchObject({ value: { step: 6 }, fence: 2 });
    expect(await world.table.put(runId, keys.progress, late, { fence: 1 })).toMatchObject({ kind: 'conflict' });
  });

  test('ends at an outcome, and changes nothing more', async () => {
    const { world, leadership, events } = await leader();
    const pending = await world.table.get<OutcomeRow>(runId, keys.outcome);
    await world.table.put(runId, keys.outcome, { ...pending?.value, kind: 'trained' }, { fence: 1 });
    const before = await world.table.get(runId, keys.progress);
    await leadership.commit(gang(2), 7, 'worker/1 joined');
    expect(events).toEqual([{ type: 'training-over' }]);
    expect(await world.table.get(runId, keys.progress)).toEqual(before);
  });

  test('is refused when the number is taken', async () => {
    const { world, leadership, events } = await leader();
    const row = await world.table.get<GangRow>(runId, keys.gang);
    await world.table.put(runId, keys.gang, { ...row?.value, generation: 5, leader: 'task-2' }, { version: 1 });
    await leadership.commit(gang(2), 7, 'worker/1 joined');
    expect(events).toEqual([{ type: 'generation-refused', current: 5 }]);
  });
});
