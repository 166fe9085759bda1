/** Scaling, incidents and the policies of recovery, as decisions: what is wanted, who goes, what is spent. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Stop, stopReasons } from '../../core/classify.ts';
import { decide, type Observation } from '../../core/decide.ts';
import { incidentsOf } from '../../core/incidents.ts';
import { missingTasks, surplusWorkers } from '../../core/launching.ts';
import type { LaunchRow, RunRow, TaskRow } from '../../core/run.ts';
import { readWanted, wantedPlan } from '../../core/wanted.ts';
import { type PlanChanges, testPlan } from '../support/plans.ts';

const startMs = 1_000_000_000;
const crash: Stop = { code: 'EssentialContainerExited', reason: 'exited', exitCode: 137 };
const spot: Stop = { code: 'SpotInterruption', reason: 'Spot', exitCode: 143 };

const run: RunRow = {
  schema: 1,
  runId: 'test-1',
  name: 'test',
  phase: 'training',
  attempt: 0,
  submittedAtMs: startMs,
  startedAtMs: startMs,
  recoveries: 0,
  launches: 1,
};
const up = (index: number, change: Partial<TaskRow> = {}): TaskRow => ({
  taskId: `t${index}`,
  role: 'worker',
  launch: 0,
  kind: 'local',
  state: 'running',
  slot: `worker/${index}`,
  launchedAtMs: startMs,
  startedAtMs: startMs + 1000,
  ...change,
});
const lost = (index: number, atMs: number, stop: Stop = crash, change: Partial<TaskRow> = {}): TaskRow =>
  up(index, { state: 'stopped', stop, stoppedAtMs: startMs + atMs, ...change });
const launched: LaunchRow = {
  n: 0,
  round: 0,
  role: 'worker',
  count: 4,
  kind: 'local',
  size: { cpu: 1024, memoryMiB: 2048 },
  clientToken: '0',
  state: 'done',
  atMs: startMs,
  started: [],
  failures: [],
};
const four: PlanChanges = { workers: { min: 1, max: 4 } };
const asked = (count: number, atMs = 50_000): RunRow => ({
  ...run,
  workers: { count, by: 'somebody', atMs: startMs + atMs },
});

function seen(change: Partial<Observation>, changes: PlanChanges = four): Observation {
  const given = change.run ?? run;
  return {
    run: given,
    plan: wantedPlan(testPlan(changes), given),
    gang: { generation: 1, leader: 't0', members: [], fromStep: 0, atMs: startMs + 1, why: '' },
    tasks: [0, 1, 2, 3].map((index) => up(index)),
    launches: [launched],
    members: [],
    nowMs: startMs + 60_000,
    turn: 3,
    beat: 5,
    silent: false,
    spentUsd: 0,
    usdPerHour: 0,
    ...change,
  };
}

describe('what may be asked for', () => {
  const plan = testPlan({ workers: { min: 2, max: 4 } });

  test.each([
    ['2', 2],
    ['3', 3],
    ['4', 4],
  ])('%j', (text, workers) => expect(readWanted(text, plan)).toEqual({ kind: 'possible', workers }));

  test.each([
    ['1', /1 worker\(s\) is not possible: it does not train with fewer .* accepted: 2 to 4/],
    ['5', /5 worker\(s\) is not possible: .* planned for at most 4.* accepted: 2 to 4/],
    ['3:4', /a range, and the minimum of a run is fixed by its plan \(cluster.workers.min, 2\); accepted: 2 to 4/],
    ['x', /"x" is no number of workers; accepted: 2 to 4/],
    ['-1', /no number/],
    ['2.5', /no number/],
    ['1:2:3', /no number/],
  ])('%j is refused', (text, why) => {
    const wanted = readWanted(text, plan);
    expect(wanted).toEqual({ kind: 'refused', why: expect.stringMatching(why) });
  });
});

describe('fewer workers are wanted', () => {
  test('the highest slots leave, nothing is counted, nothing is launched', () => {
    const decision = decide(seen({ run: asked(2) }));
    expect(decision).toMatchObject({ action: 'continue', recoveries: 0 });
    expect(decision.stop).toEqual(['t3', 't2'].map((taskId) => ({ taskId, reason: stopReasons.surplus })));
  });

  test('who has not come up yet goes first', () => {
    const { slot: _, ...early } = up(9, { state: 'starting' });
    const tasks = [up(0), early, up(1), up(2)];
    expect(surplusWorkers(wantedPlan(testPlan(four), asked(2)), tasks).map(({ taskId }) => taskId)).toEqual([
      't9',
      't2',
    ]);
  });

  test('who is asked to go is asked once, and is neither a loss nor missing', () => {
    const leaving = up(3, { state: 'stopping', stop: { code: 'UserInitiated', reason: stopReasons.surplus } });
    const gone = lost(2, 55_000, { code: 'UserInitiated', reason: stopReasons.surplus, exitCode: 0 });
    expect(decide(seen({ run: asked(2), tasks: [up(0), up(1), gone, leaving] }))).toMatchObject({
      action: 'continue',
      recoveries: 0,
      stop: [],
    });
  });

  test('a loss is not replaced while enough are left', () => {
    expect(decide(seen({ run: asked(2), tasks: [up(0), up(1), lost(2, 55_000), up(3)] }))).toMatchObject({
      action: 'continue',
      recoveries: 1,
      stop: [{ taskId: 't3', reason: stopReasons.surplus }],
    });
  });

  test('nobody is hurried once the outcome is there', () => {
    const outcome = {
      kind: 'trained',
      epochs: 1,
      steps: 1,
      stopped: 'epochs',
      metrics: { loss: 1 },
      weightsDigest: '',
      engine: '',
      generations: 1,
      lostSteps: 0,
      usefulMs: 0,
      modelKeys: [],
    } as const;
    expect(decide(seen({ run: asked(1), outcome }))).toMatchObject({ action: 'finish', stop: [] });
  });
});

describe('more workers are wanted', () => {
  test('the missing ones are launched, with who asked', () => {
    const decision = decide(seen({ run: asked(4), tasks: [up(0), up(1)] }));
    expect(decision).toMatchObject({ action: 'launch', why: 'start 2 workers: somebody asked for 4 workers' });
  });

  test('the pause before the next launch ends at the deadline', () => {
    const tasks = [0, 1, 2, 3, 4, 5].map((n) => {
      const bornMs = startMs + 1000 * n + 44_500;
      return lost(n, 1000 * n + 45_000, crash, { launchedAtMs: bornMs, startedAtMs: bornMs });
    });
    const wait = (holdDeadlineMs: number) =>
      decide(seen({ tasks, nowMs: startMs + 60_000 }, { ...four, cluster: { holdDeadlineMs } })).waitSeconds;
    expect(wait(60_000)).toBe(16);
    expect(wait(12_500)).toBe(3);
  });

  test('on EC2 the claim follows, up and down', () => {
    const base = testPlan({ ...four, cluster: { ladder: ['ec2'], launch: 'ec2' } });
    const claim = { runId: 'test-1', kind: 'ec2' as const, instances: 4 };
    const down = asked(2);
    expect(decide({ ...seen({ run: down, claim }), plan: wantedPlan(base, down) }).action).toBe('scale');
    const settled = { ...seen({ run: down, claim: { ...claim, instances: 2 } }), plan: wantedPlan(base, down) };
    expect(decide(settled).action).toBe('continue');
    const more = asked(4);
    const grow = { ...seen({ run: more, claim: { ...claim, instances: 2 }, tasks: [up(0), up(1)] }) };
    expect(decide({ ...grow, plan: wantedPlan(base, more) }).action).toBe('scale');
  });
});

describe('policies', () => {
  const policy = (onLoss: 'replace' | 'shrink' | 'fail'): PlanChanges => ({ ...four, onLoss });
  const one = [up(0), up(1), up(2), lost(3, 55_000)];

  test('replace asks for another at once', () => {
    expect(decide(seen({ tasks: one }, policy('replace')))).toMatchObject({
      action: 'launch',
      why: /replace 1 worker/,
    });
  });

  test('shrink goes on with fewer, down to the minimum, and asks for what is below it', () => {
    expect(decide(seen({ tasks: one }, policy('shrink')))).toMatchObject({ action: 'continue', recoveries: 1 });
    const min: PlanChanges = { workers: { min: 2, max: 4 }, onLoss: 'shrink' };
    const tasks = [up(0), lost(1, 55_000), lost(2, 55_000), lost(3, 55_000)];
    expect(decide(seen({ tasks }, min))).toMatchObject({ action: 'launch', why: /replace 1 worker:/ });
  });

  test('shrink also bears an interruption, but asks on for capacity that never came', () => {
    expect(decide(seen({ tasks: [up(0), up(1), up(2), lost(3, 55_000, spot)] }, policy('shrink'))).action).toBe(
      'continue',
    );
    expect(missingTasks(testPlan(policy('shrink')), [up(0), up(1)], 0).worker).toBe(2);
  });

  test('after shrinking, asking for a number is asking for that many', () => {
    const plan = policy('shrink');
    const tasks = [up(0), lost(1, 20_000), lost(2, 20_000), lost(3, 20_000)];
    expect(decide(seen({ tasks }, plan)).action).toBe('continue');
    expect(decide(seen({ tasks, run: asked(3) }, plan))).toMatchObject({ action: 'launch', why: /start 2 workers/ });
    // Losses from then on shrink it again.
    const later = [...tasks, lost(4, 55_000, crash, { launchedAtMs: startMs + 51_000 }), up(5)];
    expect(decide(seen({ tasks: later, run: asked(3) }, plan)).action).toBe('continue');
  });

  test('fail ends the run with the loss, but an interruption is nobody’s fault', () => {
    expect(decide(seen({ tasks: one }, policy('fail')))).toMatchObject({ action: 'fail', cause: { kind: 'TaskLost' } });
    expect(decide(seen({ tasks: [up(0), up(1), up(2), lost(3, 55_000, spot)] }, policy('fail'))).action).toBe('launch');
  });
});

describe('incidents', () => {
  const timing = { heartbeatIntervalMs: 200 };
  const count = (...tasks: TaskRow[]): number => incidentsOf(tasks, timing, startMs + 60_000).length;

  test('tasks that go within a moment of each other are one', () => {
    expect(count(lost(0, 5000), lost(1, 5000), lost(2, 5900))).toBe(1);
    expect(count(lost(0, 5000), lost(1, 6001))).toBe(2);
  });

  test('a moment does not stretch: it counts from the first', () => {
    expect(count(lost(0, 5000), lost(1, 5900), lost(2, 6800))).toBe(2);
  });

  test('the loss of a replacement is a new one, however soon', () => {
    const again = (at: number) => lost(at, at, crash, { launchedAtMs: startMs + at - 100 });
    expect(count(lost(0, 5000), again(5200), again(5400), again(5600))).toBe(4);
  });

  test('a task that dies young but has worked is replaced at once, however often', () => {
    const young = (n: number, useful: boolean) =>
      lost(9 + n, 2000 * n + 1500, crash, {
        launchedAtMs: startMs + 2000 * n,
        startedAtMs: startMs + 2000 * n,
        useful,
      });
    const wait = (useful: boolean) =>
      decide(seen({ tasks: [up(0), up(1), up(2), ...[0, 1, 2, 3].map((n) => young(n, useful))] })).waitSeconds;
    expect(wait(true)).toBe(0);
    expect(wait(false)).toBe(4);
  });

  test('which order they are told in does not matter', () => {
    const task = fc.record({ at: fc.nat(5000), before: fc.nat(5000) });
    fc.assert(
      fc.property(fc.array(task, { maxLength: 8 }), fc.nat(), (given, turn) => {
        const tasks = given.map(({ at, before }, index) =>
          lost(index, at, crash, { launchedAtMs: startMs + at - before }),
        );
        const by = turn % (tasks.length + 1);
        const turned = [...tasks.slice(by), ...tasks.slice(0, by)];
        const incidents = incidentsOf(tasks, timing, startMs);
        expect(incidents.flatMap((incident) => incident.tasks).length).toBe(tasks.length);
        expect(incidentsOf(turned, timing, startMs).length).toBe(incidents.length);
      }),
    );
  });

  test('all workers at once spend one recovery, a crash loop spends one a crash', () => {
    const recovery = { maxRecoveries: 1 };
    const all = [0, 1, 2, 3].map((index) => lost(index, 55_000 + index));
    expect(decide(seen({ tasks: all }, { ...four, recovery }))).toMatchObject({ action: 'launch', recoveries: 1 });
    const loop = [
      up(0),
      up(1),
      up(2),
      ...[0, 1].map((n) => lost(n, 1000 + n * 300, crash, { launchedAtMs: startMs + n * 1200 })),
    ];
    expect(decide(seen({ tasks: loop }, { ...four, recovery }))).toMatchObject({
      action: 'fail',
      cause: { kind: 'BudgetExhausted', budget: 'recoveries', spent: 2, limit: 1 },
    });
  });
});
