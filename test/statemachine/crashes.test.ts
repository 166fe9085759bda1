/**
 * The control plane dies between any two of its effects: the real functions and the real state machine in virtual time, one
 * run for each effect. Whatever dies, the run ends (R6), nothing of it is left (R7), nothing is launched twice, and there is
 * one result.
 */
import { describe, expect, test } from 'vitest';
import { clusterPartition } from '../../core/cluster-rows.ts';
import { objectKeys } from '../../core/object-keys.ts';
import { uniform } from '../../core/random.ts';
import type { RunResult } from '../../core/result.ts';
import { type LaunchRow, prefixes } from '../../core/run.ts';
import { values } from '../../functions/rows.ts';
import { type Crashes, createCrashes } from '../support/crashes.ts';
import { config, createHarness, type Harness, objectCreated, type Script } from '../support/workflow-harness.ts';
import { virtualClock } from './interpreter/virtual-clock.ts';

interface Life {
  readonly text: string;
  readonly script: Script;
  /** What a run that nothing happens to ends as, and how many tasks it starts. */
  readonly ends: RunResult['status'] | 'ended';
  readonly tasks?: number;
  readonly during?: (harness: Harness, runId: string) => Promise<void>;
}

const epochs = (count: number, cluster: string): string =>
  config(`${cluster}\n`).replace('epochs: 3', `epochs: ${count}`);
const training: Script = async (task) => {
  await task.running();
  if (task.index === 0) await task.lead();
};

const lives: Readonly<Record<string, Life>> = {
  'a run of two workers': {
    text: epochs(2, 'cluster: { launch: fargate-spot, workers: { min: 2, max: 2 } }'),
    script: training,
    ends: 'succeeded',
    tasks: 2,
  },
  'a run on instances that loses a worker': {
    text: epochs(1, 'cluster: { launch: ec2-spot, workers: { min: 1, max: 2 } }'),
    script: async (task) => {
      await task.running();
      if (task.index === 1) await task.exit(137);
      if (task.index === 2) await task.lead();
    },
    ends: 'succeeded',
    tasks: 3,
  },
  'a run that is cancelled': {
    text: epochs(3, 'cluster: { launch: fargate, workers: 1 }'),
    script: async (task) => {
      await task.running();
      await task.lead({ epochs: 1 });
    },
    during: async ({ cloud, notify }, runId) => {
      await cloud.clock.sleep(5_000);
      await notify('control', { action: 'cancel', runId });
    },
    ends: 'cancelled',
    tasks: 1,
  },
  'a run whose execution is stopped from outside': {
    text: epochs(2000, 'cluster: { launch: ec2, workers: 1 }'),
    script: async (task) => {
      await task.running();
      await task.lead({ stayMs: 60_000 });
    },
    during: async ({ workflow, runRow }, runId) => {
      await workflow.stop((await runRow(runId))?.executionArn ?? '', 'a person in the console');
    },
    // Virtual time goes on until the stop is seen, which is looked for by the clock on the wall.
    ends: 'ended',
  },
};

interface Ending {
  readonly status: string | undefined;
  readonly tasks: number;
  readonly effects: readonly string[];
}

/** One life from the dropped file to a time long after its end; checks what must hold whatever died. */
async function live(life: Life, strike: (effect: number, what: string) => boolean): Promise<Ending> {
  const crashes = createCrashes((effect) => strike(effect, crashes.effects[effect] ?? ''));
  const harness = createHarness({ kind: 'aws', script: life.script, clock: virtualClock(), crashes });
  try {
    return await toTheEnd(harness, life, crashes);
  } finally {
    await harness.close();
  }
}

async function toTheEnd(harness: Harness, life: Life, crashes: Crashes): Promise<Ending> {
  const { cloud, world } = harness;
  const put = await cloud.objects.put('configs/flow.yaml', life.text, 'always');
  const event = objectCreated('configs/flow.yaml', put.kind === 'stored' ? put.version : '');
  // The event comes twice at once, and again 25 hours after everything is over.
  await Promise.all([harness.notify('start', event), harness.notify('start', event)]);
  await cloud.clock.sleep(2_000);
  let runId: string | undefined;
  for (let minute = 0; minute < 60; minute += 1) {
    runId ??= (await cloud.objects.list('runs/'))[0]?.split('/')[1];
    if (minute === 0 && runId !== undefined) await life.during?.(harness, runId);
    await cloud.clock.sleep(60_000);
    await harness.notify('sweep', {});
    if (runId !== undefined && (await harness.runRow(runId))?.releasedAtMs !== undefined) break;
  }
  if (runId === undefined) return { status: undefined, tasks: 0, effects: crashes.effects };
  const run = await harness.runRow(runId);
  if (run === undefined) {
    // Its first state could not even begin, however often it was tried: there is no run, and nothing of one.
    expect([await cloud.tasks.list(runId), await cloud.table.query(clusterPartition, '')]).toEqual([[], []]);
    return { status: undefined, tasks: 0, effects: crashes.effects };
  }
  await cloud.clock.sleep(25 * 3_600_000);
  await harness.notify('start', event);
  // Once a minute, as the rule does: more often than any of the functions dies in a row here.
  for (let minute = 0; minute < 10; minute += 1) {
    await harness.notify('sweep', {});
    await cloud.clock.sleep(60_000);
  }
  expect(await harness.runRow(runId)).toEqual(run);

  // R6, R7
  expect(run.releasedAtMs).toBeGreaterThan(0);
  expect(await harness.alive(runId)).toEqual([]);
  expect(await cloud.table.query(clusterPartition, 'open/')).toEqual([]);
  expect(await cloud.table.query(clusterPartition, 'claim/')).toEqual([]);
  for (const [kind, { floor }] of world.controls.floors) expect([kind, floor]).toEqual([kind, 0]);
  expect((await harness.tasks(runId)).filter((task) => task.state !== 'stopped')).toEqual([]);
  // One result, which says what the row says.
  const stored = await cloud.objects.get(objectKeys.result(runId));
  const result = JSON.parse(new TextDecoder().decode(stored?.body)) as RunResult;
  expect(result.status).toBe(run.phase);
  // Every task that ever ran is that of one intent.
  const launches = await values<LaunchRow>(cloud, runId, prefixes.launch);
  const started = launches.flatMap((launch) => launch.started);
  expect(new Set(started).size).toBe(started.length);
  const ran = (await world.tasks.list(runId)).map((task) => task.taskId);
  expect(ran.filter((taskId) => !started.includes(taskId) && run.phase === 'succeeded')).toEqual([]);
  return { status: run.phase, tasks: ran.length, effects: crashes.effects };
}

/** Undisturbed or not, it comes to the same. */
function endsAs({ ends, tasks }: Life, ending: Ending): boolean {
  if (ends === 'ended') return ending.status !== undefined && ending.status !== 'succeeded';
  return ending.status === ends && ending.tasks === tasks;
}

describe.each(Object.entries(lives))('%s', (_name, life) => {
  test('a function that dies before any one of its effects changes nothing of the end', {
    timeout: 240_000,
  }, async () => {
    const calm = await live(life, () => false);
    expect(endsAs(life, calm)).toBe(true);
    const different: string[] = [];
    for (let effect = 0; effect < calm.effects.length; effect += 1) {
      const ending = await live(life, (n) => n === effect).catch((error: Error) => {
        throw new Error(`${calm.effects[effect]} (effect ${effect}): ${error.message}`);
      });
      if (!endsAs(life, ending)) different.push(`${calm.effects[effect]}: ${ending.status}, ${ending.tasks} tasks`);
    }
    expect(different).toEqual([]);

    for (let round = 0; round < 5; round += 1) {
      const [first, second] = [0, 1].map((draw) => Math.floor(uniform(round, draw) * calm.effects.length));
      const twice = await live(life, (n) => n === first || n === second);
      expect([first, second, endsAs({ ...life, tasks: twice.tasks }, twice)]).toEqual([first, second, true]);
      // So often in a row that the retries are used up: the run may fail, but it ends, and nothing is left.
      await live(life, (n) => n >= (first ?? 0) && n < (first ?? 0) + 8);
    }
  });
});

test('a release whose last effect dies eight times is finished by a sweep', { timeout: 60_000 }, async () => {
  const life = lives['a run whose execution is stopped from outside'] as Life;
  let deaths = 0;
  const strike = (_effect: number, what: string): boolean => {
    if (deaths === 8 || !what.includes('table.delete open/')) return false;
    deaths += 1;
    return true;
  };
  expect(endsAs(life, await live(life, strike))).toBe(true);
  expect(deaths).toBe(8);
});
