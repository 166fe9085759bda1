import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Stop, stopReasons } from '../../core/classify.ts';
import { decide, type Observation } from '../../core/decide.ts';
import type { LaunchKind, Role, RunPlan } from '../../core/plan.ts';
import type { GangRow, LaunchRow, MemberRow, OutcomeRow, ProgressRow, RunRow, TaskRow } from '../../core/run.ts';
import { actions } from '../../core/workflow.ts';
import { type PlanChanges, testPlan } from '../support/plans.ts';

const startMs = 1_000_000_000;
const second = 1000;

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
const gang: GangRow = { generation: 1, leader: 'a', members: [], fromStep: 0, atMs: startMs + 1, why: '' };
const progress = (change: Partial<ProgressRow> = {}): ProgressRow => ({
  generation: 1,
  beat: 5,
  step: 7,
  epoch: 0,
  loss: 1,
  samplesPerSecond: 1,
  atMs: startMs,
  usefulMs: 0,
  lostSteps: 0,
  worldSize: 2,
  tasks: [],
  ...change,
});
const outcome: OutcomeRow = {
  kind: 'trained',
  epochs: 3,
  steps: 30,
  stopped: 'epochs',
  metrics: { loss: 0.1 },
  weightsDigest: 'sha256:1',
  engine: 'test',
  generations: 1,
  lostSteps: 0,
  usefulMs: 1,
  modelKeys: [],
};

const task = (taskId: string, change: Partial<TaskRow> = {}): TaskRow => ({
  taskId,
  role: 'worker',
  launch: 0,
  kind: 'local',
  state: 'running',
  launchedAtMs: startMs,
  startedAtMs: startMs + second,
  ...change,
});
const crash: Stop = { code: 'EssentialContainerExited', reason: 'exited', exitCode: 70 };
const lost = (taskId: string, stop: Stop = crash, change: Partial<TaskRow> = {}): TaskRow =>
  task(taskId, { state: 'stopped', stop, stoppedAtMs: startMs + 60 * second, ...change });
const launch = (round: number, change: Partial<LaunchRow> = {}): LaunchRow => ({
  n: round,
  round,
  role: 'worker',
  count: 2,
  kind: 'local',
  size: { cpu: 1024, memoryMiB: 2048 },
  clientToken: String(round),
  state: 'done',
  atMs: startMs,
  started: ['a', 'b'],
  failures: [],
  ...change,
});
const member = (taskId: string, state: MemberRow['state']): MemberRow => ({
  slot: `worker/${taskId}`,
  role: 'worker',
  taskId,
  host: 'h',
  port: 1,
  state,
  joinedAtMs: startMs,
});

function seen(change: Partial<Observation> = {}, plan: PlanChanges = {}): Observation {
  return {
    run,
    plan: testPlan(plan),
    gang,
    progress: progress(),
    tasks: [task('a'), task('b')],
    launches: [launch(0)],
    members: [],
    nowMs: startMs + 100 * second,
    turn: 3,
    beat: 5,
    silent: false,
    spentUsd: 0,
    usdPerHour: 0,
    ...change,
  };
}

describe('a run that goes well', () => {
  test('goes on while all its tasks are there', () => {
    expect(decide(seen())).toMatchObject({ action: 'continue', why: 'training goes on', stop: [], recoveries: 0 });
  });

  test('starts its tasks when none was ever started', () => {
    const { gang: _, progress: __, ...rest } = seen({ tasks: [], launches: [], run: { ...run, launches: 0 } });
    expect(decide(rest)).toMatchObject({ action: 'launch', why: 'start 2 workers', waitSeconds: 0 });
  });

  test('finishes when the leader has written the outcome, whatever became of the tasks since', () => {
    expect(decide(seen({ outcome })).action).toBe('finish');
    expect(decide(seen({ outcome, tasks: [lost('a'), lost('b')], silent: true })).action).toBe('finish');
  });

  test('does not replace who has left after the last step', () => {
    const left = lost('b', { ...crash, exitCode: 0 });
    const { totalSteps } = testPlan().training;
    expect(decide(seen({ tasks: [task('a'), left], progress: progress({ step: totalSteps }) })).action).toBe(
      'continue',
    );
    expect(decide(seen({ tasks: [task('a'), left], progress: progress({ step: totalSteps - 1 }) })).action).toBe(
      'launch',
    );
    // Nobody is left to write the outcome: then it is not over.
    const nobody = [lost('a', { ...crash, exitCode: 0 }), left];
    expect(decide(seen({ tasks: nobody, progress: progress({ step: totalSteps }) })).action).toBe('launch');
  });
});

describe('a run that is ended', () => {
  test('by a person', () => {
    const decision = decide(seen({ run: { ...run, cancelRequestedBy: 'me' }, outcome }));
    expect(decision).toMatchObject({ action: 'fail', cause: { kind: 'Cancelled', by: 'me' } });
  });

  test('by the leader, with its failure', () => {
    const failure = { kind: 'NotConverging', step: 3, loss: 'NaN' } as const;
    const decision = decide(seen({ outcome: { ...outcome, kind: 'failed', failure } }));
    expect(decision).toMatchObject({ action: 'fail', cause: failure });
    expect(decision.why).toContain('lower the learning rate');
  });

  test.each([
    ['time', seen({ nowMs: startMs + 60 * second }, { limits: { maxDurationMs: 60 * second } })],
    ['cost', seen({ spentUsd: 0.2 }, { limits: { maxCostUsd: 0.2 } })],
    ['turns', seen({ turn: 9 }, { history: { maxTurns: 9 } })],
  ])('by its budget for %s', (budget, observation) => {
    expect(decide(observation)).toMatchObject({ action: 'fail', cause: { kind: 'BudgetExhausted', budget } });
  });

  test('not before its budget is reached', () => {
    const limits = { maxDurationMs: 101 * second, maxCostUsd: 0.2 };
    expect(decide(seen({ spentUsd: 0.19, turn: 8 }, { limits, history: { maxTurns: 9 } })).action).toBe('continue');
  });

  test('an outcome that is there counts more than a budget that has just run out', () => {
    expect(decide(seen({ outcome, turn: 99 }, { history: { maxTurns: 9 }, limits: { maxDurationMs: 1 } })).action).toBe(
      'finish',
    );
  });
});

describe('tasks that are lost', () => {
  test('are replaced, and the reason is told', () => {
    const decision = decide(seen({ tasks: [task('a'), lost('b', crash, { slot: 'worker/1' })] }));
    expect(decision).toMatchObject({ action: 'launch', recoveries: 1, waitSeconds: 0 });
    expect(decision.why).toBe('replace 1 worker: worker/1 was lost (crashed): exit code 70, exited');
  });

  test('parameter servers are replaced as well', () => {
    const server = { role: 'parameter-server' as const };
    const tasks = [task('a'), task('b'), lost('c', crash, server)];
    expect(decide(seen({ tasks }, { parameterServers: 1 })).why).toContain('replace 1 parameter-server');
  });

  test('what is stopping is not there any more', () => {
    expect(decide(seen({ tasks: [task('a'), task('b', { state: 'stopping' })] })).action).toBe('launch');
  });

  test('interruptions do not spend the recovery budget, crashes do', () => {
    const spot: Stop = { code: 'SpotInterruption', reason: 'Spot', exitCode: 143 };
    const many = Array.from({ length: 9 }, (_, index) => lost(`x${index}`, spot));
    const recovery = { maxRecoveries: 0 };
    expect(decide(seen({ tasks: [task('a'), ...many] }, { recovery }))).toMatchObject({
      action: 'launch',
      recoveries: 0,
    });
    expect(decide(seen({ tasks: [task('a'), lost('b')] }, { recovery }))).toMatchObject({
      action: 'fail',
      cause: { kind: 'BudgetExhausted', budget: 'recoveries', spent: 1, limit: 0 },
    });
  });

  test('the end by the recovery budget tells the last cause', () => {
    const decision = decide(
      seen({ tasks: [lost('b', crash, { slot: 'worker/1' })] }, { recovery: { maxRecoveries: 0 } }),
    );
    expect(decision.why).toContain('last cause: worker/1 was lost (crashed): exit code 70');
  });

  test('a permanent exit ends the run at once, with its reason', () => {
    const decision = decide(seen({ tasks: [task('a'), lost('b', { ...crash, exitCode: 64 })] }));
    expect(decision).toMatchObject({ action: 'fail', cause: { kind: 'TaskLost' } });
    expect(decision.why).toContain('exit code 64');
  });

  test('memory that was too small is doubled, and doubled again; then the run ends', () => {
    const starved: Stop = { code: 'EssentialContainerExited', reason: 'OutOfMemoryError: killed', exitCode: 137 };
    const { worker } = testPlan().cluster;
    const sizes = [2048, 4096, 8192].map((memoryMiB) => ({ cpu: 1024, memoryMiB }));
    const growing = { cluster: { worker: { ...worker, ...sizes[0]!, growth: sizes.slice(1) } } };
    const starvedIn = (...memory: number[]): readonly TaskRow[] =>
      memory.map((memoryMiB, i) => lost(`b${i}`, starved, { size: { cpu: 1024, memoryMiB } }));
    const launches = [launch(0)];
    const first = decide(seen({ launches, tasks: [task('a'), ...starvedIn(2048)] }, growing));
    expect(first).toMatchObject({ action: 'launch', why: expect.stringContaining('1 worker with 4096 MiB') });
    // All workers at once were too small in the same way: one step is enough.
    const both = decide(seen({ launches, tasks: starvedIn(2048, 2048) }, growing));
    expect(both.why).toContain('2 workers with 4096 MiB');
    const second = decide(seen({ launches, tasks: [task('a'), ...starvedIn(2048, 4096)] }, growing));
    expect(second.why).toContain('1 worker with 8192 MiB');
    const last = decide(seen({ launches, tasks: [task('a'), ...starvedIn(2048, 4096, 8192)] }, growing));
    expect(last).toMatchObject({ action: 'fail', cause: { kind: 'TaskLost', reason: 'out-of-memory' } });
    expect(last.why).toContain('cluster.worker.memoryMiB');
  });

  test('under "fail" the first loss ends the run, an interruption does not', () => {
    const plan: PlanChanges = { onLoss: 'fail' };
    expect(decide(seen({ tasks: [task('a'), lost('b')] }, plan))).toMatchObject({
      action: 'fail',
      cause: { kind: 'TaskLost' },
    });
  });

  test('under "shrink" a loss is borne as long as enough are left', () => {
    const plan: PlanChanges = { onLoss: 'shrink', workers: { min: 1, max: 2 } };
    expect(decide(seen({ tasks: [task('a'), lost('b')] }, plan)).action).toBe('continue');
    expect(decide(seen({ tasks: [lost('a'), lost('b')] }, plan))).toMatchObject({ action: 'launch', why: /1 worker/ });
  });
});

describe('tasks that end at once every time', () => {
  const quick = (id: string, at: number): TaskRow =>
    lost(id, crash, { launchedAtMs: startMs + at, startedAtMs: startMs + at, stoppedAtMs: startMs + at + 500 });

  test('are started again with growing pauses, which are bounded', () => {
    const pauses = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((count) => {
      const tasks = Array.from({ length: count }, (_, index) => quick(`q${index}`, index * second));
      return decide(seen({ tasks: [task('a'), ...tasks] }, { recovery: { maxRecoveries: 99 } })).waitSeconds;
    });
    expect(pauses).toEqual([0, 1, 2, 4, 8, 16, 30, 30, 30]);
  });

  test('those whose machine went away are started again at once: that says nothing about the next', () => {
    const stop = { code: 'InfrastructureHealth', reason: 'The process that hosted the task ended.' };
    const tasks = [1, 2, 3, 4, 5].map((at) => ({ ...quick(`q${at}`, at * second), stop }));
    expect(decide(seen({ tasks: [task('a'), ...tasks] }))).toMatchObject({ action: 'launch', waitSeconds: 0 });
  });

  test('one that lived ends the series', () => {
    const tasks = [task('a'), quick('q0', 0), quick('q1', second), lost('b')];
    expect(decide(seen({ tasks })).waitSeconds).toBe(0);
  });
});

describe('capacity', () => {
  const refusal = 'Capacity is unavailable at this time.';
  const waiting = (change: Partial<Observation> = {}, plan: PlanChanges = {}): Observation => {
    const {
      gang: _,
      progress: __,
      ...rest
    } = seen({ tasks: [], launches: [launch(0, { failures: [refusal, refusal], started: [] })], ...change }, plan);
    return rest;
  };
  const spot: PlanChanges = {
    cluster: { ladder: ['fargate-spot', 'fargate'], launch: 'fargate-spot', startDeadlineMs: 300 * second },
  };
  const refused = (round: number, kind: LaunchKind, atMs = startMs): LaunchRow =>
    launch(round, { kind, atMs, failures: [refusal] });

  test('that is short is asked for on the next rung at once, then with growing pauses', () => {
    expect(decide(waiting({ launches: [refused(0, 'fargate-spot')] }, spot))).toMatchObject({
      action: 'launch',
      waitSeconds: 0,
    });
    const askAfter = (rounds: number): number => {
      const atMs = startMs + 100 * second;
      const launches = Array.from({ length: rounds }, (_, n) => refused(n, n === 0 ? 'fargate-spot' : 'fargate', atMs));
      const decision = decide(waiting({ launches, nowMs: atMs }, spot));
      expect(decision).toMatchObject({ action: 'continue', waitSeconds: 0 });
      const asking = decide(waiting({ launches, nowMs: decision.wakeAtMs ?? 0 }, spot));
      expect(asking).toMatchObject({ action: 'launch', waitSeconds: 0 });
      return Math.round(((decision.wakeAtMs ?? 0) - atMs) / second);
    };
    // Never so often that the launches are used up before the deadline, 300 s after the first try of this kind.
    expect([2, 3, 4, 5, 6].map(askAfter)).toEqual([10, 10, 20, 40, 80]);
  });

  test('that does not come within the start deadline ends the run, counted from the first try of the last rung', () => {
    const launches = [refused(0, 'fargate-spot'), refused(1, 'fargate', startMs + 200 * second)];
    expect(decide(waiting({ launches, nowMs: startMs + 400 * second }, spot)).action).toBe('launch');
    expect(decide(waiting({ launches, nowMs: startMs + 501 * second }, spot))).toMatchObject({
      action: 'fail',
      cause: { kind: 'CapacityUnavailable', wanted: 1, granted: 0, reason: expect.stringContaining(refusal) },
    });
  });

  test('tasks that were accepted but never run are stopped; the next rung gets its turn', () => {
    const stuck = task('a', { state: 'starting', kind: 'fargate-spot' });
    const { startedAtMs: _, ...pending } = stuck;
    const launches = [launch(0, { kind: 'fargate-spot' })];
    const decision = decide(waiting({ tasks: [pending], launches, nowMs: startMs + 300 * second }, spot));
    expect(decision).toMatchObject({
      action: 'launch',
      stop: [{ taskId: 'a', reason: stopReasons.late }],
      recoveries: 0,
    });
    const last = [launch(0, { kind: 'fargate' })];
    const only: PlanChanges = { cluster: { ladder: ['fargate'], launch: 'fargate', startDeadlineMs: 300 * second } };
    expect(decide(waiting({ tasks: [pending], launches: last, nowMs: startMs + 300 * second }, only))).toMatchObject({
      action: 'fail',
      cause: { kind: 'CapacityUnavailable' },
    });
  });

  test('below min, a run that has trained holds until its hold deadline', () => {
    const cluster = { holdDeadlineMs: 100 * second };
    const tasks = [lost('a', crash, { stoppedAtMs: startMs + 50 * second })];
    const at = (ms: number) =>
      seen({ tasks, nowMs: startMs + ms, launches: [launch(0), launch(1, { failures: [refusal] })] }, { cluster });
    expect(decide(at(149 * second))).toMatchObject({ action: 'launch', wakeAtMs: startMs + 150 * second });
    expect(decide(at(second))).toMatchObject({ action: 'continue', why: /needs; it is asked for again/ });
    expect(decide(at(150 * second))).toMatchObject({ action: 'fail', cause: { kind: 'CapacityUnavailable' } });
  });

  test('enough to go on: the run is not held up, and asks again later', () => {
    const launches = [launch(0), launch(1, { failures: [refusal], atMs: startMs + 90 * second })];
    const tasks = [task('a'), lost('b')];
    expect(decide(seen({ tasks, launches }))).toMatchObject({ action: 'continue', wakeAtMs: startMs + 120 * second });
    expect(decide(seen({ tasks, launches, nowMs: startMs + 121 * second })).action).toBe('launch');
    // Half of the launches are kept for losses.
    const spent = { ...run, launches: 15 };
    expect(decide(seen({ tasks, launches, run: spent, nowMs: startMs + 121 * second })).action).toBe('continue');
  });

  test('launches that are used up end the run only when too few are left', () => {
    const recovery = { maxLaunches: 1 };
    expect(decide(seen({ tasks: [task('a'), lost('b')] }, { recovery })).action).toBe('continue');
    expect(decide(seen({ tasks: [lost('a'), lost('b')] }, { recovery }))).toMatchObject({
      action: 'fail',
      cause: { kind: 'BudgetExhausted', budget: 'launches' },
    });
  });

  test('a refusal that no capacity would cure ends the run at once', () => {
    const launches = [launch(0, { failures: ['AccessDeniedException: not allowed'], started: [] })];
    expect(decide(waiting({ launches }))).toMatchObject({ action: 'fail', cause: { kind: 'LaunchFailed' } });
  });

  test('on EC2 instances are claimed before tasks are started, and again when it was short', () => {
    const ec2: PlanChanges = { cluster: { ladder: ['ec2'], launch: 'ec2', startDeadlineMs: 1200 * second } };
    const missing = { tasks: [task('a'), lost('b')] };
    const claim = { runId: 'test-1', kind: 'ec2' as const, instances: 2 };
    expect(decide(seen(missing, ec2)).action).toBe('scale');
    expect(decide(seen({ ...missing, claim }, ec2)).action).toBe('launch');
    const short = [launch(0, { kind: 'ec2', failures: ['RESOURCE:MEMORY'] })];
    expect(decide(waiting({ claim, launches: short }, ec2))).toMatchObject({ action: 'scale', waitSeconds: 0 });
  });
});

describe('silence', () => {
  const window = testPlan().timing.watchHeartbeatSeconds * second;
  const nowMs = startMs + second + window;

  test('without progress for a whole heartbeat: the tasks hang, they are stopped and replaced', () => {
    const decision = decide(seen({ silent: true, nowMs }));
    // They hang together: one incident.
    expect(decision).toMatchObject({ action: 'launch', recoveries: 1 });
    expect(decision.stop).toEqual(['a', 'b'].map((taskId) => ({ taskId, reason: stopReasons.silent })));
    expect(decision.why).toContain('replace 2 workers');
  });

  test.each([
    ['progress has moved', { beat: 4 }],
    ['the watch was answered', { silent: false }],
    ['progress is newer than a heartbeat', { progress: progress({ atMs: nowMs - window + 1 }) }],
    ['the tasks have not run for so long', { nowMs: nowMs - 1 }],
    [
      'the tasks are still starting',
      {
        tasks: [task('a', { state: 'starting' as const }), task('b', { state: 'starting' as const })],
        nowMs: startMs + 19_999,
      },
    ],
  ])('is no hang when %s', (_what, change) => {
    expect(decide(seen({ silent: true, nowMs, ...change }))).toMatchObject({ action: 'continue', stop: [] });
  });

  test('with no progress row at all counts from the start of the task', () => {
    const { progress: _, ...rest } = seen({ silent: true, nowMs, beat: -1 });
    expect(decide(rest).stop).toHaveLength(2);
  });

  test('a task that its gang has dropped is replaced at once, and stopped when it does not go by itself', () => {
    const first = decide(seen({ members: [member('a', 'up'), member('b', 'gone')] }));
    const stop = { taskId: 'b', reason: stopReasons.dropped, gently: true };
    expect(first).toMatchObject({ action: 'launch', recoveries: 0, stop: [stop], wakeAtMs: startMs + 110 * second });
    const leaving = task('b', {
      state: 'stopping',
      stop: { code: 'UserInitiated', reason: stopReasons.dropped },
      stoppedAtMs: startMs + 100 * second,
    });
    const tasks = [task('a'), leaving, task('c')];
    expect(decide(seen({ tasks, nowMs: startMs + 109 * second }))).toMatchObject({ action: 'continue', stop: [] });
    const late = decide(seen({ tasks, nowMs: startMs + 110 * second }));
    expect(late.stop).toEqual([{ taskId: 'b', reason: stopReasons.dropped }]);
  });

  test('who leaves after the end is not hurried', () => {
    expect(decide(seen({ outcome, members: [member('b', 'gone')], silent: true })).stop).toEqual([]);
  });
});

describe('the next look', () => {
  test('is at the time budget, the cost budget or the capacity deadline, whichever is first', () => {
    const limits = { maxDurationMs: 1000 * second, maxCostUsd: 1 };
    expect(decide(seen({}, { limits })).wakeAtMs).toBe(startMs + 1000 * second);
    const dear = decide(seen({ spentUsd: 0.9, usdPerHour: 3.6 }, { limits }));
    expect(dear.wakeAtMs).toBeCloseTo(startMs + 200 * second, -2);
  });
});

describe('whatever is seen', () => {
  const stops: readonly Stop[] = [
    crash,
    { code: 'SpotInterruption', reason: 'Spot', exitCode: 143 },
    { code: 'EssentialContainerExited', reason: 'exited', exitCode: 0 },
    { code: 'TaskFailedToStart', reason: 'Capacity is unavailable' },
    { code: 'UserInitiated', reason: stopReasons.silent },
  ];
  const anyTask = fc.record({
    state: fc.constantFrom<TaskRow['state']>('starting', 'running', 'stopping', 'stopped'),
    role: fc.constantFrom<Role>('worker', 'parameter-server'),
    stop: fc.constantFrom(...stops),
    at: fc.integer({ min: 0, max: 2_000_000 }),
    life: fc.integer({ min: 0, max: 100_000 }),
  });
  const observation = fc
    .record({
      tasks: fc.array(anyTask, { maxLength: 8 }),
      short: fc.array(fc.boolean(), { maxLength: 5 }),
      silent: fc.boolean(),
      trained: fc.boolean(),
      beat: fc.integer({ min: -1, max: 6 }),
      nowMs: fc.integer({ min: 0, max: 5_000_000 }),
      workers: fc.constantFrom({ min: 1, max: 2 }, { min: 2, max: 4 }),
      turn: fc.integer({ min: 1, max: 500 }),
      launches: fc.integer({ min: 0, max: 30 }),
    })
    .map(({ tasks, short, silent, trained, beat, nowMs, workers, turn, launches }) => {
      const rows = tasks.map(({ state, role, stop, at, life }, index): TaskRow => {
        const base = {
          taskId: `t${index}`,
          role,
          launch: 0,
          kind: 'local',
          state,
          launchedAtMs: startMs + at,
        } as const;
        if (state === 'starting') return base;
        const startedAtMs = startMs + at;
        return state === 'stopped'
          ? { ...base, startedAtMs, stop, stoppedAtMs: startedAtMs + life }
          : { ...base, startedAtMs };
      });
      return seen(
        {
          tasks: rows,
          launches: short.map((isShort, round) =>
            launch(round, isShort ? { failures: ['Capacity is unavailable'] } : {}),
          ),
          silent,
          beat,
          nowMs: startMs + nowMs,
          turn,
          run: { ...run, launches },
          ...(trained ? { outcome } : {}),
        },
        { workers },
      );
    });

  test('there is one action with a reason, twice the same, and a cause exactly when it fails', () => {
    fc.assert(
      fc.property(observation, (given) => {
        const decision = decide(given);
        expect(actions).toContain(decision.action);
        expect(decision.why).not.toBe('');
        expect(decision.cause !== undefined).toBe(decision.action === 'fail');
        expect(decide(given)).toEqual(decision);
        expect(decision.waitSeconds).toBeLessThanOrEqual(120);
      }),
    );
  });

  test('only tasks that are there are stopped, and nothing is started beyond the budgets', () => {
    fc.assert(
      fc.property(observation, (given) => {
        const { action, stop } = decide(given);
        const live = new Set(
          given.tasks.filter((row) => ['starting', 'running'].includes(row.state)).map((row) => row.taskId),
        );
        for (const { taskId } of stop) expect(live.has(taskId)).toBe(true);
        if (action !== 'launch' && action !== 'scale') return;
        const { plan, turn } = given;
        expect(given.run.launches).toBeLessThan(plan.recovery.maxLaunches);
        expect(turn).toBeLessThan(plan.history.maxTurns);
        expect(given.nowMs - startMs).toBeLessThan(plan.limits.maxDurationMs);
      }),
    );
  });
});

test('the plan that tests use is one that the planner makes', () => {
  const plan: RunPlan = testPlan({ workers: { min: 2, max: 4 }, parameterServers: 1 });
  expect([plan.cluster.worker.min, plan.cluster.worker.max, plan.cluster.parameterServer.max]).toEqual([2, 4, 1]);
});
