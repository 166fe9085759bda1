import { describe, expect, test } from 'vitest';
import { stopReasons } from '../../core/classify.ts';
import { priceTable } from '../../core/price.ts';
import { composeResult, eventLines, metricsLines, type RunRows } from '../../core/report.ts';
import { reportHtml } from '../../core/report-page.ts';
import type { EpochRow, EventRow, OutcomeRow, ProgressRow, RunRow, TaskRow } from '../../core/run.ts';
import { testPlan } from '../support/plans.ts';

const run: RunRow = {
  schema: 1,
  runId: 'test-1',
  name: 'a <b>bold</b> name',
  phase: 'training',
  attempt: 0,
  submittedAtMs: 0,
  startedAtMs: 1000,
  recoveries: 0,
  launches: 1,
};
const epoch = (n: number): EpochRow => ({
  epoch: n,
  step: n * 10,
  samples: 320,
  trainLoss: 1 / n,
  loss: 0.5 / n,
  accuracy: 1 - 0.1 / n,
  learningRate: 0.01,
  durationMs: 100,
  samplesPerSecond: 3200,
  worldSize: 2,
  generation: 1,
  atMs: 2000 + n,
});
const outcome: OutcomeRow = {
  kind: 'trained',
  epochs: 3,
  steps: 30,
  stopped: 'epochs',
  metrics: { accuracy: 0.98, loss: 0.06 },
  weightsDigest: 'sha256:abc',
  engine: 'tensorflow/cpu',
  generations: 2,
  lostSteps: 4,
  usefulMs: 4000,
  modelKeys: [],
};
const progress: ProgressRow = {
  generation: 2,
  beat: 9,
  step: 27,
  epoch: 2,
  loss: 0.1,
  samplesPerSecond: 1,
  atMs: 7000,
  firstStepAtMs: 2000,
  usefulMs: 3000,
  lostSteps: 4,
  worldSize: 2,
  tasks: [],
};
const lost: TaskRow = {
  taskId: 'b',
  role: 'worker',
  launch: 0,
  kind: 'local',
  state: 'stopped',
  launchedAtMs: 1000,
  failure: { kind: 'TaskLost', task: 'worker/1', reason: 'crashed', detail: 'exit code 137' },
};
const artifacts = { model: 'm', metrics: 'x', report: 'r', result: 's', events: 'e', plan: 'p' };
const rows: RunRows = {
  run,
  epochs: [epoch(1), epoch(2)],
  tasks: [lost],
  launches: [],
  turns: 5,
  endedAtMs: 9000,
  artifacts,
  progress,
};

describe('composeResult', () => {
  test('of a trained run follows the outcome', () => {
    expect(composeResult('succeeded', { ...rows, outcome, plan: testPlan() })).toEqual({
      runId: 'test-1',
      status: 'succeeded',
      epochs: 3,
      steps: 30,
      metrics: { accuracy: 0.98, loss: 0.06 },
      weightsDigest: 'sha256:abc',
      recoveries: 1,
      lostSteps: 4,
      generations: 2,
      goodput: 0.8,
      durationMs: 8000,
      engine: 'tensorflow/cpu',
      receipt: {
        tasks: 1,
        taskSeconds: 8,
        transitions: 27,
        tasksUsd: 0,
        transitionsUsd: 0,
        usd: 0,
        usdPerThousandSteps: 0,
        pricesAsOf: priceTable.asOf,
      },
      artifacts,
    });
  });

  test('has a receipt: what each task cost in its own size and kind, and the workflow', () => {
    const plan = testPlan();
    const aws = { ...plan, cluster: { ...plan.cluster, launch: 'fargate-spot', ladder: ['fargate-spot'] } } as const;
    const hour = { launchedAtMs: 0, stoppedAtMs: 3_600_000 };
    const spot: TaskRow = { ...lost, kind: 'fargate-spot', size: { cpu: 1024, memoryMiB: 2048 }, ...hour };
    const grown: TaskRow = { ...spot, taskId: 'c', kind: 'fargate', size: { cpu: 1024, memoryMiB: 4096 } };
    const { receipt } = composeResult('succeeded', { ...rows, outcome, plan: aws, tasks: [spot, grown] });
    const tasksUsd = 0.3 * (0.04048 + 2 * 0.004445) + (0.04048 + 4 * 0.004445);
    expect(receipt).toMatchObject({ tasks: 2, taskSeconds: 7200, transitions: 27, transitionsUsd: 0.000675 });
    expect(receipt.tasksUsd).toBeCloseTo(tasksUsd, 6);
    expect(receipt.usd).toBeCloseTo(tasksUsd + 0.000675, 6);
    expect(receipt.usdPerThousandSteps).toBeCloseTo((receipt.usd / 30) * 1000, 4);
  });

  test('counts what was lost, dropped, or left and was replaced; what went together once; what was surplus not', () => {
    const { failure: _, ...well } = lost;
    const ran = (taskId: string, change: Partial<TaskRow> = {}): TaskRow => ({
      ...well,
      taskId,
      startedAtMs: 1500,
      stoppedAtMs: 8000,
      stop: { code: 'EssentialContainerExited', reason: 'exited', exitCode: 0 },
      ...change,
    });
    const plan = testPlan({ workers: { min: 1, max: 2 } });
    const recoveries = (tasks: readonly TaskRow[]) =>
      composeResult('succeeded', { ...rows, outcome, plan, tasks }).recoveries;
    expect(recoveries([ran('a')])).toBe(0);
    const left = ran('b', { stoppedAtMs: 3000 });
    expect(recoveries([ran('a'), left])).toBe(0);
    expect(recoveries([ran('a'), left, ran('c', { launchedAtMs: 3050 })])).toBe(1);
    const later = ran('d', { launchedAtMs: 3050, stoppedAtMs: 6000 });
    expect(recoveries([ran('a'), left, later, ran('e', { launchedAtMs: 6100 })])).toBe(2);
    const stopped = (reason: string) => ran('f', { stoppedAtMs: 3000, stop: { code: 'UserInitiated', reason } });
    expect(recoveries([ran('a'), stopped(stopReasons.dropped)])).toBe(1);
    expect(recoveries([ran('a'), stopped(stopReasons.surplus), ran('c', { launchedAtMs: 3050 })])).toBe(0);
    expect(recoveries([ran('a'), lost])).toBe(1);
    expect(
      recoveries([
        { ...lost, taskId: 'a', stoppedAtMs: 4000 },
        { ...lost, stoppedAtMs: 4001 },
      ]),
    ).toBe(1);
    // Of the attempt before, when the run was resumed.
    expect(recoveries([ran('a'), { ...lost, launchedAtMs: 10 }])).toBe(0);
  });

  test('says that the data was used exactly once only when every epoch says so', () => {
    const whole = (n: number): EpochRow => ({ ...epoch(n), dataExactlyOnce: true });
    const said = (epochs: readonly EpochRow[]) =>
      composeResult('succeeded', { ...rows, outcome, epochs }).dataExactlyOnce;
    expect(said([whole(1), whole(2), whole(3)])).toBe(true);
    expect(said([whole(1), whole(2)])).toBe(false);
    expect(said([whole(1), epoch(2), whole(3)])).toBe(false);
    expect(said([whole(1), { ...whole(2), dataExactlyOnce: false }, whole(3)])).toBe(false);
    expect(said([whole(1), whole(3), whole(4)])).toBe(false);
    expect(said([])).toBeUndefined();
    expect(said([epoch(1), epoch(2), epoch(3)])).toBeUndefined();
  });

  test('of a run that was cancelled tells what there is, and why', () => {
    const result = composeResult('cancelled', rows, { kind: 'Cancelled', by: 'me' });
    const { model: _, plan: __, ...others } = artifacts;
    expect(result).toMatchObject({
      status: 'cancelled',
      epochs: 2,
      steps: 27,
      metrics: { accuracy: 0.95, loss: 0.25 },
      failure: { kind: 'Cancelled', by: 'me', message: 'cancelled by me' },
    });
    expect(result.artifacts).toEqual(others);
    expect(result.weightsDigest).toBeUndefined();
  });

  test('of a run that failed before its plan is all zeros, not an error', () => {
    const { progress: _, ...early } = rows;
    const result = composeResult(
      'failed',
      { ...early, epochs: [], tasks: [], turns: 0 },
      { kind: 'Unexpected', message: 'm' },
    );
    expect(result).toMatchObject({ epochs: 0, steps: 0, metrics: {}, goodput: 0, generations: 0, recoveries: 0 });
  });

  test('goodput never passes 1', () => {
    expect(composeResult('succeeded', { ...rows, outcome: { ...outcome, usefulMs: 99_000 } }).goodput).toBe(1);
  });
});

test('metrics are one line an epoch; events are in the order of time', () => {
  expect(
    metricsLines(rows.epochs)
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual(rows.epochs);
  const event = (atMs: number): EventRow => ({ atMs, event: `e${atMs}`, by: 'x' });
  expect(eventLines([event(2), event(1)])).toBe('{"atMs":1,"event":"e1","by":"x"}\n{"atMs":2,"event":"e2","by":"x"}\n');
  expect(metricsLines([])).toBe('');
});

describe('reportHtml', () => {
  const events: EventRow[] = [{ atMs: 1000, event: 'run.planned', by: 'plan', why: '<script>alert(1)</script>' }];
  const page = reportHtml({
    result: composeResult('failed', rows, { kind: 'Unexpected', message: 'a & b' }),
    name: run.name,
    plan: testPlan(),
    epochs: rows.epochs,
    events,
  });

  test('loads nothing, runs nothing and escapes what comes from the run', () => {
    expect(page).not.toMatch(/<script|\bsrc=|https?:|@import/);
    expect(page).toContain('a &lt;b&gt;bold&lt;/b&gt; name');
    expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    expect(page).toContain('Unexpected: a &amp; b');
  });

  test('draws both curves inside the frame', () => {
    const lines = [...page.matchAll(/<polyline points="([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(lines).toHaveLength(2);
    for (const point of lines.flatMap((line) => line.split(' '))) {
      const [x, y] = point.split(',').map(Number);
      expect(x).toBeGreaterThanOrEqual(48);
      expect(x).toBeLessThanOrEqual(672);
      expect(y).toBeGreaterThanOrEqual(12);
      expect(y).toBeLessThanOrEqual(192);
    }
  });

  test('does without epochs, plan and numbers that are not finite', () => {
    const bare = reportHtml({ result: composeResult('failed', rows), name: 'n', epochs: [], events: [] });
    expect(bare).not.toContain('<svg');
    const nan = reportHtml({
      result: composeResult('failed', rows),
      name: 'n',
      epochs: [{ ...epoch(1), loss: Number.NaN }],
      events: [],
    });
    expect(nan).not.toMatch(/points="[^"]*NaN/);
  });
});
