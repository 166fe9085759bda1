/**
 * The real state machine, interpreter and functions on a world in memory, with tasks that follow a script instead of
 * training: what a test says of a task is what its rows and events say. Time runs faster than on the wall.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StateMachine } from '../../cloud/embedded/asl/definition.ts';
import { loadStateMachine } from '../../cloud/embedded/asl/load.ts';
import { createWorkflowHost, type ExecutionResult, type WorkflowHost } from '../../cloud/embedded/workflow.ts';
import type { Clock, Cloud } from '../../cloud/ports.ts';
import { raise } from '../../cloud/signal.ts';
import { updateRow } from '../../cloud/update.ts';
import type { Role } from '../../core/plan.ts';
import type { Quotas } from '../../core/quotas.ts';
import {
  type EpochRow,
  type EventRow,
  type GangRow,
  keys,
  type OutcomeRow,
  type ProgressRow,
  prefixes,
  type RunRow,
  type TaskRow,
} from '../../core/run.ts';
import { type FunctionName, functionNames, functions } from '../../functions/registry.ts';
import { readPlan, value, values } from '../../functions/rows.ts';
import { Crash, type Crashes } from './crashes.ts';
import { createMemoryWorld, type MemoryWorld } from './memory-world.ts';
import { scaledClock } from './scaled-clock.ts';

export interface ScriptedTask {
  readonly taskId: string;
  readonly runId: string;
  readonly role: Role;
  /** The how manieth task of the whole test it is, from 0. */
  readonly index: number;
  running(): Promise<void>;
  exit(exitCode: number, options?: { readonly code?: string; readonly reason?: string }): Promise<void>;
  /** Writes what the leader of a whole training writes, epoch by epoch, then ends the gang well. */
  lead(options?: { readonly epochs?: number; readonly stayMs?: number }): Promise<void>;
}

/** Called for every task that is started; the default runs, and the first worker leads. */
export type Script = (task: ScriptedTask, harness: Harness) => Promise<void>;

export interface Harness {
  readonly cloud: Cloud;
  readonly world: MemoryWorld;
  readonly workflow: WorkflowHost;
  /** The states that were entered, in order. */
  readonly calls: string[];
  run(name: string, input: unknown): Promise<ExecutionResult>;
  tasks(runId: string): Promise<TaskRow[]>;
  runRow(runId: string): Promise<RunRow | undefined>;
  events(runId: string): Promise<EventRow[]>;
  alive(runId: string): Promise<string[]>;
  deliver(event: unknown): Promise<unknown>;
  /** Calls a function as EventBridge does. */
  notify(name: FunctionName, event: unknown): Promise<unknown>;
  close(): Promise<void>;
}

export const config = (more = ''): string => `version: 1
name: flow
data: { source: digits, samples: 320, testSamples: 40 }
network:
  layers:
    - dense: { units: 8 }
    - dense: { units: 10, activation: softmax }
training: { epochs: 3, batchSize: 32 }
${more}`;

const everything: Script = async (task) => {
  await task.running();
  if (task.index === 0) await task.lead();
};

const definition = loadStateMachine(
  readFileSync(new URL('../../statemachines/train.asl.yaml', import.meta.url), 'utf8'),
);

/** What a workflow around ours calls it. */
export const trainArn = 'arn:aws:states:eu-west-1:123456789012:stateMachine:train';

export interface HarnessOptions {
  readonly script?: Script;
  readonly speed?: number;
  readonly kind?: Cloud['kind'];
  readonly quotas?: Quotas;
  /** A workflow that runs ours as a step. */
  readonly around?: StateMachine;
  /** Instead of a wall clock that runs `speed` times as fast. */
  readonly clock?: Clock;
  /** Makes functions die; what calls them calls again, as the platform does. */
  readonly crashes?: Crashes;
}

export function createHarness(options: HarnessOptions = {}): Harness {
  const world = createMemoryWorld({
    ...(options.kind === undefined ? {} : { kind: options.kind }),
    ...(options.quotas === undefined ? {} : { quotas: options.quotas }),
  });
  const clock = options.clock ?? scaledClock(options.speed ?? 50);
  const folder = mkdtempSync(join(tmpdir(), 'cuttlefish-flow-'));
  const script = options.script ?? everything;
  const calls: string[] = [];
  let started = 0;
  const running = new Set<Promise<unknown>>();

  function invoke(name: FunctionName, input: unknown): Promise<unknown> {
    const run = functions[name];
    return (options.crashes?.wrap(name, run) ?? run)(input, cloud);
  }

  /** Lambda tries an event twice more, a minute and two minutes later; whoever sent it does not wait for that. */
  async function notify(name: FunctionName, event: unknown, tries = 3): Promise<unknown> {
    try {
      return await invoke(name, event);
    } catch (thrown) {
      if (!(thrown instanceof Crash)) throw thrown;
      if (tries > 1) running.add(clock.sleep(60_000).then(() => notify(name, event, tries - 1)));
      return undefined;
    }
  }

  const workflow = createWorkflowHost({
    stateDir: folder,
    definition: options.around ?? definition,
    machines: { [trainArn]: definition },
    functions: Object.fromEntries(
      functionNames.map((name) => [
        name,
        (input: unknown) => {
          calls.push(name);
          return invoke(name, input);
        },
      ]),
    ),
    clock,
    ids: world.ids,
    log: world.log,
    onStatusChange: async (event) => {
      await notify('on-execution-event', event);
    },
  });

  const cloud: Cloud = {
    ...world,
    clock,
    workflow,
    tasks: {
      ...world.tasks,
      launch: async (request) => {
        const before = new Set((await world.tasks.list(request.runId)).map((task) => task.taskId));
        const outcome = await world.tasks.launch(request);
        for (const taskId of outcome.started) if (!before.has(taskId)) begin(taskId, request.runId, request.role);
        return outcome;
      },
      stop: async (taskId, reason) => {
        await world.tasks.stop(taskId, reason);
        const task = await find(taskId);
        if (task !== undefined)
          await tell(task.runId, taskId, 'STOPPED', { code: 'UserInitiated', reason, exitCode: 143 });
      },
    },
  };

  async function find(taskId: string) {
    const [, runId] = [...owners].find(([id]) => id === taskId) ?? [];
    return runId === undefined ? undefined : (await world.tasks.list(runId)).find((task) => task.taskId === taskId);
  }
  const owners = new Map<string, string>();

  function begin(taskId: string, runId: string, role: Role): void {
    owners.set(taskId, runId);
    const task: ScriptedTask = {
      taskId,
      runId,
      role,
      index: started++,
      running: async () => {
        world.controls.changeTask(taskId, { state: 'running' });
        await tell(runId, taskId, 'RUNNING');
      },
      exit: async (
        exitCode,
        { code = 'EssentialContainerExited', reason = 'Essential container in task exited' } = {},
      ) => {
        const stop = { code, reason, exitCode };
        world.controls.changeTask(taskId, { state: 'stopped', stop });
        await tell(runId, taskId, 'STOPPED', stop);
      },
      lead: (how) => lead(task, how),
    };
    const run = script(task, harness).catch((error: unknown) => {
      // A task of a world that has been closed.
      if (!closed) throw error;
    });
    running.add(run);
  }
  let closed = false;

  async function tell(
    runId: string,
    taskId: string,
    lastStatus: string,
    stop?: { readonly code: string; readonly reason: string; readonly exitCode?: number },
  ): Promise<void> {
    await harness.deliver(taskEvent(runId, taskId, lastStatus, stop));
  }

  async function lead(
    { runId, taskId }: ScriptedTask,
    how: { readonly epochs?: number; readonly stayMs?: number } = {},
  ): Promise<void> {
    const plan = await readPlan(cloud, runId);
    const from = (await value<ProgressRow>(cloud, runId, keys.progress))?.epoch ?? 0;
    const { epochs, stepsPerEpoch } = plan.training;
    const gang: GangRow = { generation: 1, leader: taskId, members: [], fromStep: 0, atMs: clock.now(), why: 'test' };
    await updateRow<GangRow>(cloud, runId, keys.gang, (before) => ({
      ...gang,
      generation: (before?.generation ?? 0) + 1,
    }));
    for (let epoch = from + 1; epoch <= Math.min(epochs, how.epochs ?? epochs); epoch += 1) {
      await clock.sleep(how.stayMs ?? 100);
      if ((await find(taskId))?.state !== 'running') return;
      await writeEpoch(runId, epoch, stepsPerEpoch);
    }
    if ((how.epochs ?? epochs) < epochs) return;
    const outcome: OutcomeRow = {
      kind: 'trained',
      epochs,
      steps: epochs * stepsPerEpoch,
      stopped: 'epochs',
      metrics: { accuracy: 0.99, loss: 0.1 },
      weightsDigest: 'sha256:1234',
      engine: 'scripted',
      generations: 1,
      lostSteps: 0,
      usefulMs: 100,
      modelKeys: [],
    };
    await cloud.table.put(runId, keys.outcome, outcome, { fence: 1 });
    await raise(cloud, runId, 'trained');
  }

  async function writeEpoch(runId: string, epoch: number, stepsPerEpoch: number): Promise<void> {
    const atMs = clock.now();
    const row: EpochRow = {
      epoch,
      step: epoch * stepsPerEpoch,
      samples: 320,
      trainLoss: 1 / epoch,
      loss: 1 / epoch,
      accuracy: 1 - 0.5 / epoch,
      learningRate: 0.01,
      durationMs: 100,
      samplesPerSecond: 3200,
      worldSize: 2,
      generation: 1,
      atMs,
    };
    await cloud.table.put(runId, keys.epoch(epoch), row, { absent: true });
    await updateRow<ProgressRow>(cloud, runId, keys.progress, (before) => ({
      generation: 1,
      beat: (before?.beat ?? 0) + 1,
      step: row.step,
      epoch,
      loss: row.loss,
      samplesPerSecond: 3200,
      atMs,
      firstStepAtMs: before?.firstStepAtMs ?? atMs,
      usefulMs: epoch * 100,
      lostSteps: 0,
      worldSize: 2,
      tasks: [],
    }));
    await raise(cloud, runId, `epoch ${epoch}`);
  }

  const harness: Harness = {
    cloud,
    world,
    workflow,
    calls,
    run: async (name, input) => {
      await workflow.start(name, input);
      return workflow.wait(name);
    },
    tasks: (runId) => values<TaskRow>(cloud, runId, prefixes.task),
    runRow: (runId) => value<RunRow>(cloud, runId, keys.run),
    events: (runId) => values<EventRow>(cloud, runId, prefixes.event),
    alive: async (runId) =>
      (await world.tasks.list(runId)).filter((task) => task.state !== 'stopped').map((task) => task.taskId),
    deliver: (event) => notify('on-task-event', event),
    notify,
    close: async () => {
      closed = true;
      await workflow.close();
      await Promise.allSettled(running);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return harness;
}

/** As ECS sends it: the ARN, whatever the world calls the task. */
export function taskEvent(
  runId: string,
  taskId: string,
  lastStatus: string,
  stop?: { readonly code: string; readonly reason: string; readonly exitCode?: number },
): unknown {
  return {
    version: '0',
    source: 'aws.ecs',
    'detail-type': 'ECS Task State Change',
    detail: {
      taskArn: taskId.startsWith('arn:') ? taskId : `arn:aws:ecs:eu-west-1:123456789012:task/cuttlefish/${taskId}`,
      startedBy: runId,
      lastStatus,
      desiredStatus: lastStatus === 'STOPPED' ? 'STOPPED' : 'RUNNING',
      version: lastStatus === 'STOPPED' ? 5 : 3,
      group: 'family:cuttlefish-worker',
      ...(stop === undefined
        ? {}
        : { stopCode: stop.code, stoppedReason: stop.reason, containers: [{ name: 'task', exitCode: stop.exitCode }] }),
    },
  };
}

export function objectCreated(key: string, version: string, size = 100): unknown {
  return {
    source: 'aws.s3',
    'detail-type': 'Object Created',
    detail: {
      version: '0',
      bucket: { name: 'bucket' },
      object: { key, size, etag: 'x', 'version-id': version, sequencer: '01' },
      'request-id': 'a field that nobody knows',
      reason: 'PutObject',
    },
  };
}
