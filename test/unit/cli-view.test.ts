import { describe, expect, test } from 'vitest';
import { describeEvent } from '../../cli/describe-event.ts';
import { formatBytes, formatDuration, formatMetric, formatSpan, formatTable, formatUsd } from '../../cli/format.ts';
import { etaMs, plainLines, type RunView, renderBlock } from '../../cli/view.ts';
import type { RunPlan } from '../../core/plan.ts';
import type { EpochRow, EventRow, MemberRow, ProgressRow, RunRow, TaskRow } from '../../core/run.ts';

const t0 = 1_700_000_000_000;

const plan = {
  training: { epochs: 4, totalSteps: 400, stepsPerEpoch: 100 },
  shape: { trainSamples: 6400 },
  cluster: { worker: { max: 2 } },
} as unknown as RunPlan;

const run = { runId: 'digits-0123456789ab', phase: 'training', recoveries: 0 } as unknown as RunRow;

const task = (id: string, slot: string): TaskRow =>
  ({ taskId: id, role: slot.split('/')[0], slot, state: 'running', launchedAtMs: t0 }) as unknown as TaskRow;

const progress: ProgressRow = {
  generation: 1,
  beat: 3,
  step: 150,
  epoch: 1,
  loss: 0.2345,
  samplesPerSecond: 3200,
  atMs: t0 + 5000,
  usefulMs: 4000,
  lostSteps: 0,
  worldSize: 2,
  tasks: [0, 1].map((i) => ({
    slot: `worker/${i}`,
    taskId: `t${i}`,
    state: 'training' as const,
    shards: 4,
    step: 150,
    memoryMiB: 140.4,
    computeShare: 0.8,
    wireShare: 0.05,
    waitShare: 0.1,
  })),
};

const epoch: EpochRow = {
  epoch: 1,
  step: 100,
  samples: 6400,
  trainLoss: 0.5,
  loss: 0.4,
  accuracy: 0.91,
  learningRate: 0.001,
  durationMs: 2000,
  samplesPerSecond: 3200,
  worldSize: 2,
  generation: 1,
  atMs: t0 + 3000,
};

const event = (ms: number, name: string, more: object = {}): EventRow => ({
  atMs: t0 + ms,
  event: name,
  by: 'worker/0',
  ...more,
});

const empty: RunView = {
  runId: run.runId,
  nowMs: t0,
  sinceMs: t0,
  epochs: [],
  events: [],
  tasks: [],
  members: [],
};

const full: RunView = {
  ...empty,
  nowMs: t0 + 5000,
  run,
  plan,
  progress,
  epochs: [epoch],
  events: [event(4000, 'checkpoint.saved', { step: 120 })],
  tasks: [task('t1', 'worker/1'), task('t0', 'worker/0')],
};

describe('renderBlock()', () => {
  test('shows epoch, step, loss, accuracy, speed, time left, each task and the last events', () => {
    expect(renderBlock(full, 120).join('\n')).toBe(
      [
        'digits-0123456789ab   training   generation 1   0:05',
        '  epoch 2/4   [#########...............] 37%   step 150/400   ETA 0:05',
        '  loss 0.2345   accuracy 0.9100   3,200 samples/s   2 of 2 workers',
        '  worker/0              training     4 shards   step 150      140 MiB   compute 80%  wire 5%  wait 10%',
        '  worker/1              training     4 shards   step 150      140 MiB   compute 80%  wire 5%  wait 10%',
        '   0:04  checkpoint at step 120',
      ].join('\n'),
    );
  });

  test('has something to show before anything is known', () => {
    expect(renderBlock(empty, 80)).toEqual(['digits-0123456789ab   starting   0:00']);
  });

  test('shows a task that has started but trains nothing yet, by the slot its member row tells', () => {
    const { slot: _, ...noSlot } = task('t9', 'worker/9');
    const members = [{ taskId: 't9', slot: 'worker/1' } as unknown as MemberRow];
    const lines = renderBlock({ ...empty, run, tasks: [{ ...noSlot, state: 'starting' }], members }, 80);
    expect(lines.at(-1)).toMatch(/worker\/1 +starting/);
  });

  test('leaves out tasks that have stopped', () => {
    const stopped = { ...task('t1', 'worker/1'), state: 'stopped' as const };
    expect(renderBlock({ ...full, tasks: [stopped] }, 120).join('\n')).not.toContain('worker/1');
  });

  test('V2 no line is longer than the terminal', () => {
    for (const columns of [10, 40, 79]) {
      for (const line of renderBlock(full, columns)) expect(line.length).toBeLessThanOrEqual(columns);
    }
  });

  test('V2 a block is lower than the screen, however many tasks and events there are', () => {
    const tasks = Array.from({ length: 64 }, (_, i) => task(`t${i}`, `worker/${i}`));
    const events = Array.from({ length: 9 }, (_, i) => event(i * 100, 'checkpoint.saved', { step: i }));
    const lines = renderBlock({ ...full, tasks, events }, 120, 24);
    expect(lines).toHaveLength(23);
    expect(lines.at(-6)).toContain('and 50 more tasks');
    expect(renderBlock({ ...full, tasks, events }, 120, 5).length).toBeLessThan(12);
  });

  test('keeps only the newest events', () => {
    const events = Array.from({ length: 9 }, (_, i) => event(i * 100, 'checkpoint.saved', { step: i }));
    const text = renderBlock({ ...full, events }, 120, 100, 3).join('\n');
    expect(text).toContain('step 8');
    expect(text).not.toContain('at step 5');
  });
});

describe('etaMs()', () => {
  test('is what is left divided by the present speed', () => {
    expect(etaMs(full)).toBeCloseTo((250 * 64 * 1000) / 3200);
  });
  test('is unknown before there is a speed', () => {
    expect(etaMs(empty)).toBeUndefined();
    expect(etaMs({ ...full, progress: { ...progress, samplesPerSecond: 0 } })).toBeUndefined();
  });
});

describe('plainLines()', () => {
  test('V3 tells what is new, once', () => {
    const first = plainLines(undefined, { ...full, events: [], epochs: [] });
    expect(first).toEqual([' 0:05  training']);
    const second = plainLines({ ...full, events: [], epochs: [] }, full);
    expect(second).toEqual([
      ' 0:03  epoch 1/4  step 100  loss 0.4000  accuracy 0.9100  3,200 samples/s  2 workers',
      ' 0:04  checkpoint at step 120',
    ]);
    expect(plainLines(full, full)).toEqual([]);
  });

  test('tells who was lost and why', () => {
    const lost = event(4400, 'member.lost', { slot: 'worker/1', why: 'its connection closed' });
    expect(plainLines(full, { ...full, events: [...full.events, lost] })).toEqual([
      ' 0:04  worker/1 was lost: its connection closed',
    ]);
  });
});

describe('describeEvent()', () => {
  test('is silent about events that only matter when debugging, and about names it does not know', () => {
    expect(describeEvent(event(0, 'frame.refused'))).toBeUndefined();
    expect(describeEvent(event(0, 'run.decided', { action: 'continue', why: 'x' }))).toBeUndefined();
    expect(describeEvent(event(0, 'toString'))).toBeUndefined();
  });
  test('counts the steps that had no checkpoint of their own', () => {
    expect(describeEvent(event(0, 'checkpoint.saved', { step: 12 }))).toBe('checkpoint at step 12');
    expect(describeEvent(event(0, 'checkpoint.saved', { step: 12, passedOver: 3 }))).toBe(
      'checkpoint at step 12, 3 passed over before it',
    );
  });
  test('gives the decision with its reason', () => {
    const decided = event(0, 'run.decided', { action: 'launch', why: 'worker/1 was lost' });
    expect(describeEvent(decided)).toBe('decided to launch: worker/1 was lost');
  });
  test('says nothing twice, and a failure in words', () => {
    const why = 'worker/1 was lost (crashed): exit code 137';
    expect(describeEvent(event(0, 'task.lost', { slot: 'worker/1', why }))).toBe(why);
    expect(describeEvent(event(0, 'member.lost', { slot: 'worker/1', why: 'lost' }))).toBe('worker/1 was lost');
    const failure = { kind: 'StorageFailed', what: 'x', reason: 'no space is left on the disk (ENOSPC)' };
    expect(describeEvent(event(0, 'checkpoint.failed', { failure }))).toMatch(
      /not be saved: could not store x: no space/,
    );
    const chaos = event(0, 'chaos.injected', { by: 'worker/0', action: 'kill', step: 15 });
    expect(describeEvent(chaos)).toBe('chaos: kill worker/0 at step 15');
  });
});

describe('format', () => {
  test.each([
    [formatDuration(7_400), '0:07'],
    [formatDuration(11_105_000), '3:05:05'],
    [formatSpan(850), '850 ms'],
    [formatSpan(4_000), '4 s'],
    [formatSpan(59_940), '59.9 s'],
    [formatSpan(750_000), '12 min 30 s'],
    [formatSpan(86_400_000), '24 h'],
    [formatBytes(500), '500 B'],
    [formatBytes(473_128), '462.0 KiB'],
    [formatMetric(undefined), '-'],
    [formatMetric(0.98765), '0.9877'],
    [formatMetric(0.00001), '1.00e-5'],
    [formatMetric(Number.NaN), 'NaN'],
    [formatUsd(0), '$0'],
    [formatUsd(0.0123), '$0.0123'],
    [formatUsd(12.345), '$12.35'],
  ])('%s is %s', (actual, expected) => expect(actual).toBe(expected));

  test('formatTable() aligns columns and leaves no blanks at the end', () => {
    expect(
      formatTable(
        [
          ['a', 'bb', ''],
          ['ccc', 'd', 'e'],
        ],
        '  ',
      ),
    ).toBe('  a    bb\n  ccc  d   e');
  });
});
