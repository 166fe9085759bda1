import { describe, expect, it } from 'vitest';
import type { RunResult } from '../../core/result.ts';
import type { EventRow, ProgressRow, TaskProgress } from '../../core/run.ts';
import { elasticMeasures } from './elastic-measures.ts';
import { stolenShare } from './machine.ts';
import {
  firstStepAfter,
  measure,
  median,
  perThousand,
  processorTimeMs,
  ratios,
  shares,
  stepsPerSecond,
  stepTimeMs,
  summarise,
} from './measures.ts';
import type { RunSamples } from './samples.ts';

const task = (fields: Partial<TaskProgress> = {}): TaskProgress => ({
  slot: 'worker/0',
  taskId: 't',
  state: 'training',
  shards: 4,
  step: 0,
  memoryMiB: 100,
  computeShare: 0.6,
  wireShare: 0.1,
  waitShare: 0.3,
  ...fields,
});
const row = (atMs: number, step: number, fields: Partial<ProgressRow> = {}): ProgressRow => ({
  generation: 1,
  beat: atMs,
  step,
  epoch: 1,
  loss: 1,
  samplesPerSecond: 0,
  atMs,
  usefulMs: 0,
  lostSteps: 0,
  worldSize: 2,
  tasks: [task()],
  ...fields,
});
const event = (name: string, atMs: number, fields: Partial<EventRow> = {}): EventRow => ({
  atMs,
  event: name,
  by: 'x',
  ...fields,
});
const run = (fields: Partial<RunSamples>): RunSamples => ({
  spawnedAtMs: 1000,
  endedAtMs: 9000,
  batchSize: 128,
  progress: [],
  events: [],
  epochs: [],
  checkpoint: undefined,
  tasks: [],
  result: { recoveries: 0, lostSteps: 0, receipt: { transitions: 33 } } as RunResult,
  ...fields,
});

describe('measures of the bench', () => {
  it('take the median of any number of values', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  it('count the steps of whole epochs in which everybody trains in one generation', () => {
    const evaluating = { tasks: [task({ state: 'evaluating' })] };
    const first = [row(0, 0), row(100, 10), row(200, 15), row(300, 45), row(900, 46, evaluating)];
    expect(stepsPerSecond(first)).toBe(150);
    expect(stepsPerSecond([row(0, 0)])).toBeUndefined();
    const later = [1, 3, 2].flatMap((tenMsSteps, i) => {
      const at = { epoch: i + 2 };
      const [fromMs, from] = [1000 * (i + 1), 50 * (i + 1)];
      return [row(fromMs, from, at), row(fromMs + 10, from + 1, at), row(fromMs + 100, from + 10 * tenMsSteps, at)];
    });
    // The first epoch is cold.
    expect(stepsPerSecond([...first, ...later])).toBe(200);
    const changed = [row(0, 0), row(100, 10), row(110, 11, { generation: 2 }), row(210, 51, { generation: 2 })];
    expect(stepsPerSecond(changed)).toBe(250);
  });

  it('take the time of a step from windows of ten, so that what comes every ten steps is in each', () => {
    // Every tenth step takes 20 ms longer; an evaluation after 100 steps.
    const at = (step: number) => 10 * step + 20 * Math.floor(step / 10) + (step < 100 ? 0 : 500);
    const steps = Array.from({ length: 200 }, (_, step) => ({ step, atMs: at(step) }));
    const result = { steps: 200, epochs: 2 } as RunResult;
    const tasks = [{ taskId: 'a', startedAtMs: 0, peakMemoryMiB: 1, processor: [], steps }];
    expect(stepTimeMs(run({ result, tasks }))).toBe(12);
    const broken = [
      {
        taskId: 'a',
        startedAtMs: 0,
        peakMemoryMiB: 1,
        processor: [],
        steps: steps.filter(({ step }) => step % 10 > 0),
      },
    ];
    expect(stepTimeMs(run({ result, tasks: broken }))).toBeUndefined();
  });

  it('take the processor time of a step in the same epochs', () => {
    const at = { epoch: 2 };
    const progress = [row(0, 0), row(900, 9), row(2000, 10, at), row(3000, 20, at), row(4000, 30, at)];
    // 80 ms in each of the 100 ms of a step, much before and after it.
    const processor = [
      { atMs: 500, spentMs: 400 },
      ...[1990, 3010, 4010].map((atMs) => ({ atMs, spentMs: 5000 + 0.8 * (atMs - 1990) })),
      { atMs: 4050, spentMs: 9000 },
    ];
    const task = { taskId: 'a', startedAtMs: 0, peakMemoryMiB: 1, processor, steps: [] };
    expect(processorTimeMs({ progress, tasks: [task] })).toBeCloseTo(80);
    expect(processorTimeMs({ progress, tasks: [task, { ...task, taskId: 'b' }] })).toBeCloseTo(160);
    for (const looks of [[], processor.slice(2), processor.slice(0, 3)]) {
      expect(processorTimeMs({ progress, tasks: [task, { ...task, processor: looks }] })).toBeUndefined();
    }
    const told = measure('x', run({ progress, tasks: [task] })).find(({ name }) => name === `x: ${perThousand}`);
    expect(told?.value).toBeCloseTo(625);
  });

  it('tell how much of the machine others had', () => {
    const share = stolenShare()();
    expect(share === undefined || (share >= 0 && share <= 1)).toBe(true);
  });

  it('take the first step back to its time with the speed that follows', () => {
    expect(firstStepAfter([row(1000, 0), row(1200, 5), row(1400, 25)], 0, 0, 0)).toBe(1160);
    expect(firstStepAfter([row(1000, 0), row(1200, 5), row(1400, 25)], 0, 0, 1180)).toBe(1180);
    expect(firstStepAfter([row(1000, 0)], 0, 0, 0)).toBeUndefined();
  });

  it('tell from the logged steps what a kill, a hang and a newcomer cost the others', () => {
    const every = (ms: number, from: number, to: number, firstStep: number) =>
      Array.from({ length: (to - from) / ms }, (_, i) => ({ step: firstStep + i, atMs: from + i * ms }));
    // 96 steps after the kill, the last of them at 2990.
    const stayed = [...every(10, 1000, 2000, 0), ...every(10, 2040, 3000, 100), ...every(10, 3025, 5000, 196)];
    const held = stayed.map((step) => (step.step > 190 && step.step < 196 ? { ...step, atMs: step.atMs + 8 } : step));
    const samples = run({
      events: [
        event('generation.formed', 1000),
        event('chaos.injected', 1995, { action: 'kill' }),
        event('generation.formed', 2030),
        event('generation.formed', 3020),
        event('chaos.injected', 4000, { action: 'pause' }),
        event('generation.formed', 4800),
      ],
      tasks: [
        { taskId: 'a', startedAtMs: 0, peakMemoryMiB: 1, processor: [], steps: held },
        { taskId: 'b', startedAtMs: 1, peakMemoryMiB: 1, processor: [], steps: every(10, 1000, 1990, 0) },
        { taskId: 'c', startedAtMs: 2010, peakMemoryMiB: 1, processor: [], steps: every(10, 3025, 3985, 196) },
      ],
    });
    const told = Object.fromEntries(elasticMeasures('x', samples).map(({ name, value }) => [name.slice(3), value]));
    expect(told).toEqual({
      'kill -9 to next committed step': 45,
      'replacement: process start to first step': 1015,
      // From 2998 on for 27 ms, where 10 are usual; another took 18.
      'pause of the survivors when it is counted in': 1.7,
      'longest pause of the survivors around it': 1.7,
      'hung to fenced': 800,
      'steps repeated': 0,
    });
    expect(elasticMeasures('x', run({}))).toEqual([]);
  });

  it('compare medians, and leave out what was not measured', () => {
    const row = (name: string, median: number) => ({ name, unit: '', median, min: 0, max: 0, repeats: 1 });
    const wanted = [
      { name: 'r', of: 'a', to: 'b' },
      { name: 's', of: 'a', to: 'c' },
    ];
    expect(ratios(wanted, [row('a', 3), row('b', 2)])).toEqual([{ name: 'r', unit: 'times', value: 1.5 }]);
    const share = { name: 'share', of: 'r', to: 'b' };
    expect(ratios([...wanted, share], [row('a', 3), row('b', 2)]).at(-1)).toEqual({
      name: 'share',
      unit: 'times',
      value: 0.75,
    });
  });

  it('leave out what these samples do not say', () => {
    expect(measure('1 worker', run({})).map(({ name }) => name)).toEqual(['1 worker: workflow transitions']);
    expect(shares([row(0, 0, { tasks: [task({ shards: 0 })] })])).toBeUndefined();
  });

  it('summarise repeats in the order of their first coming', () => {
    const value = (name: string, n: number) => ({ name, unit: 'ms', value: n });
    expect(summarise([value('b', 3), value('a', 1), value('b', 5), value('b', 4)])).toEqual([
      { name: 'b', unit: 'ms', median: 4, min: 3, max: 5, repeats: 3 },
      { name: 'a', unit: 'ms', median: 1, min: 1, max: 1, repeats: 1 },
    ]);
  });
});
