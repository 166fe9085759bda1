/**
 * Tasks as child processes of this one: the same program, the same environment and the same events as on ECS.
 *
 * Invariants
 *  C1  No task outlives its host for long: its standard input is a pipe from here, whose end tells it to go; on an
 *      ordinary exit every child is killed; after a kill -9 of the host the next one ends what is left (reapLeftovers).
 *  C2  What a launch will start is on the disk before anything starts, so a token is never served twice, also not by a
 *      later process.
 *  C3  Only a process whose id and start time are in our records is ever signalled.
 *  C4  A process that cannot be started is a task that stopped with TaskFailedToStart, not an error of the launch.
 *  C5  Every task that ends makes one STOPPED event, written down before it is published.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { CuttlefishError } from '../../core/failure.ts';
import type { Clock, Ids, LaunchOutcome, LaunchRequest, TaskRunner } from '../ports.ts';
import { type Capacity, narrower, readCapacity } from './capacity.ts';
import type { Bus } from './events.ts';
import { isRunning, ownIdentity, signal, startOf, waitForEnd } from './processes.ts';
import type { StateFolder } from './state-folder.ts';
import { runningEvent, stoppedEvent } from './task-events.ts';
import { createTaskRecords, hostGone, neverStarted, type StopRequest, type TaskRecord } from './task-records.ts';

export interface TasksOptions {
  readonly state: StateFolder;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly ids: Ids;
  /** The script that every task runs. */
  readonly taskEntry: string;
  readonly nodeArgs?: readonly string[];
  /** The program that runs it; the one that runs this process when absent. */
  readonly execPath?: string;
  /** Added to the environment of every task. */
  readonly env?: Readonly<Record<string, string>>;
  readonly capacity?: Capacity;
  readonly stopTimeoutMs?: number;
}

export interface EmbeddedTasks extends TaskRunner {
  /** Ends what an earlier host left and tells the bus; answers the ids. Call it once listeners are there. */
  reapLeftovers(): Promise<readonly string[]>;
  /** Stops every task of this host and waits until they are gone. */
  stopAll(reason?: string): Promise<void>;
  /** The next `tasks` tasks are refused by launch, as when there is no capacity. */
  injectLaunchFailures(tasks: number): void;
  /** As a Spot notice: SIGTERM, and the stop code SpotInterruption. */
  interrupt(taskId: string): Promise<void>;
  logPath(taskId: string): string;
}

interface Child {
  readonly task: TaskRecord;
  readonly process: ChildProcess;
  readonly gone: Promise<void>;
}

export function createTasks(options: TasksOptions): EmbeddedTasks {
  const { bus, clock, ids, state } = options;
  const stopTimeoutMs = options.stopTimeoutMs ?? 2000;
  const records = createTaskRecords(state);
  const children = new Map<string, Child>();
  /** Why this process asked a task to stop. */
  const asked = new Map<string, StopRequest>();
  let refusals = 0;

  const killAll = () => {
    for (const child of children.values()) child.process.kill('SIGKILL');
  };

  /** C5. */
  function ended(task: TaskRecord, stop: StopRequest, exitCode?: number, detail?: string): void {
    const stopped = {
      ...stop,
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(detail === undefined ? {} : { detail }),
      stoppedAtMs: clock.now(),
    };
    let first = true;
    try {
      first = records.setStopped(task.taskId, stopped);
    } catch {
      // A full disk: the event still tells what happened, and observe() finds the process gone.
    }
    if (first) bus.publish(stoppedEvent(task, stopped, records.process(task.taskId)?.startedAtMs));
  }

  function start(task: TaskRecord): void {
    const failed = (error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      ended(task, { code: 'TaskFailedToStart', reason: `The process could not be started: ${reason}` });
    };
    let log: number | undefined;
    try {
      log = openSync(records.logPath(task.taskId), 'a');
      const child = spawn(options.execPath ?? process.execPath, [...(options.nodeArgs ?? []), options.taskEntry], {
        // A group of its own: Ctrl-C in the terminal reaches the host, which stops its tasks in order.
        detached: true,
        stdio: ['pipe', log, log],
        env: { ...process.env, ...options.env, ...environmentOf(task, state.root) },
      });
      follow(task, child, failed);
    } catch (error) {
      failed(error);
    } finally {
      if (log !== undefined) closeSync(log);
    }
  }

  function follow(task: TaskRecord, child: ChildProcess, failed: (error: unknown) => void): void {
    const { pid } = child;
    // The pipe is only there to close; a child that is gone makes it fail.
    child.stdin?.on('error', () => {});
    if (pid === undefined) {
      child.once('error', failed);
      return;
    }
    const gone = new Promise<void>((resolve) => {
      child.once('exit', (code, by) => {
        children.delete(task.taskId);
        if (children.size === 0) process.off('exit', killAll);
        const exitCode = code ?? 128 + (by ? constants.signals[by] : 0);
        const own = { code: 'EssentialContainerExited', reason: 'Essential container in task exited' };
        ended(
          task,
          records.stopRequest(task.taskId) ?? asked.get(task.taskId) ?? own,
          exitCode,
          by ? `ended by ${by}` : undefined,
        );
        resolve();
      });
    });
    child.on('error', () => {}); // a signal that came too late
    if (children.size === 0) process.on('exit', killAll);
    children.set(task.taskId, { task, process: child, gone });
    const startedAtMs = clock.now();
    try {
      // One that has ended already cannot be mistaken for another: an empty start time matches nothing.
      records.setProcess(task.taskId, { pid, start: startOf(pid) ?? '', startedAtMs });
    } catch {
      // Nobody could find it again after a kill -9 of this process, so it may not live.
      child.kill('SIGKILL');
    }
    child.once('spawn', () => bus.publish(runningEvent(task, startedAtMs)));
  }

  /** How many of the request may start, and why not the others. */
  function admit(request: LaunchRequest): { readonly room: number; readonly why: string } {
    const refused = Math.min(refusals, request.count);
    refusals -= refused;
    const ofKind = [...children.values()].filter((child) => child.task.kind === request.kind).length;
    const capacity = narrower(options.capacity ?? {}, readCapacity(state.root));
    const { maxTasks = Number.POSITIVE_INFINITY, kinds = {} } = capacity;
    const free = Math.min(maxTasks - children.size, (kinds[request.kind] ?? Number.POSITIVE_INFINITY) - ofKind);
    const why = request.kind.startsWith('ec2')
      ? 'RESOURCE:MEMORY'
      : 'Capacity is unavailable at this time. Please try again later or in a different availability zone';
    return { room: Math.max(0, Math.min(request.count - refused, free)), why };
  }

  async function stopForeign(task: TaskRecord, request: StopRequest): Promise<void> {
    const process = records.process(task.taskId);
    if (process && signal(process, 'SIGTERM') && !(await waitForEnd(process, stopTimeoutMs))) {
      signal(process, 'SIGKILL');
      await waitForEnd(process, stopTimeoutMs);
    }
    // Its host, if it lives, sees the end and tells it.
    if (!isRunning(task.host)) ended(task, request);
  }

  async function stopWith(taskId: string, request: StopRequest): Promise<void> {
    const task = records.find(taskId);
    if (task === undefined || records.stopped(taskId)) return;
    if (!asked.has(taskId)) asked.set(taskId, request);
    try {
      records.requestStop(taskId, request);
    } catch {
      // A full disk: the task ends all the same, and while this process lives it knows why.
    }
    const child = children.get(taskId);
    if (child === undefined) return stopForeign(task, request);
    child.process.kill('SIGTERM');
    // SIGKILL also ends a process that is stopped (SIGSTOP) and never saw the SIGTERM.
    const timer = setTimeout(() => child.process.kill('SIGKILL'), stopTimeoutMs);
    void child.gone.then(() => clearTimeout(timer));
  }

  return {
    async launch(request) {
      const before = records.launch(request.clientToken);
      if (before) return sameOutcome(request, before.request, before.outcome);
      const { room, why } = admit(request);
      const tasks = Array.from({ length: room }, (): TaskRecord => {
        const { runId, role, kind } = request;
        return { taskId: ids.hex(16), runId, role, kind, createdAtMs: clock.now(), host: ownIdentity() };
      });
      for (const task of tasks) records.create(task);
      const failures = Array.from({ length: request.count - room }, () => why);
      const outcome: LaunchOutcome = { started: tasks.map((task) => task.taskId), failures };
      if (!records.setLaunch(request.clientToken, { request, outcome })) {
        for (const task of tasks) records.forget(task.taskId);
        const first = records.launch(request.clientToken);
        return sameOutcome(request, first?.request ?? request, first?.outcome ?? outcome);
      }
      for (const task of tasks) start(task);
      return outcome;
    },

    stop: (taskId, reason) => stopWith(taskId, { code: 'UserInitiated', reason }),
    interrupt: (taskId) => stopWith(taskId, { code: 'SpotInterruption', reason: 'Your Spot Task was interrupted.' }),

    async list(runId) {
      return records
        .all()
        .filter((task) => task.runId === runId)
        .map((task) => records.observe(task));
    },

    async listLive() {
      return records
        .all()
        .map((task) => records.observe(task))
        .filter((task) => task.state !== 'stopped');
    },

    async reapLeftovers() {
      const left = records
        .all()
        .filter((task) => !children.has(task.taskId) && !records.stopped(task.taskId) && !isRunning(task.host));
      await Promise.all(
        left.map(async (task) => {
          const process = records.process(task.taskId);
          if (process && signal(process, 'SIGKILL')) await waitForEnd(process, 5000);
          ended(task, process ? (records.stopRequest(task.taskId) ?? hostGone) : neverStarted);
        }),
      );
      return left.map((task) => task.taskId);
    },

    async stopAll(reason = 'cuttlefish: the host is closing') {
      const all = [...children.values()];
      await Promise.all(all.map((child) => stopWith(child.task.taskId, { code: 'UserInitiated', reason })));
      await Promise.all(all.map((child) => child.gone));
    },

    injectLaunchFailures(tasks) {
      refusals += tasks;
    },

    logPath: records.logPath,
  };
}

function environmentOf(task: TaskRecord, stateDir: string): Record<string, string> {
  return {
    CUTTLEFISH_WORLD: 'embedded',
    CUTTLEFISH_STATE_DIR: stateDir,
    CUTTLEFISH_RUN_ID: task.runId,
    CUTTLEFISH_ROLE: task.role,
    CUTTLEFISH_TASK_ID: task.taskId,
  };
}

function sameOutcome(request: LaunchRequest, first: LaunchRequest, outcome: LaunchOutcome): LaunchOutcome {
  const text = (of: LaunchRequest) => JSON.stringify(Object.entries(of).sort());
  if (text(request) === text(first)) return outcome;
  throw new CuttlefishError({
    kind: 'Conflict',
    message: `the client token "${request.clientToken}" belongs to another launch (${first.count} x ${first.role} of ${first.runId}), so it cannot launch ${request.count} x ${request.role} of ${request.runId}`,
  });
}
