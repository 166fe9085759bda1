/**
 * What is kept of a task, in `tasks/<taskId>/`, so that a later process knows what an earlier one started.
 *
 *   task.json      what it is and which process hosts it; written before anything is started
 *   process.json   its process, once there is one
 *   stop.json      that it is to stop, and why; written before it is signalled
 *   stopped.json   how it ended; written once, the first writer wins
 *   log.txt        what it printed
 *
 * Invariants
 *  J1  The state of a task follows from these files and from which processes run, never from memory alone: a task whose
 *      host and process are gone has stopped, whether or not somebody wrote it down.
 *  J2  A client token has one launch: the first writer of `launches/<token>.json` decides.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { LaunchKind, Role } from '../../core/plan.ts';
import type { LaunchOutcome, LaunchRequest, ObservedTask } from '../ports.ts';
import { attempt, makeFolder, publish, readJson } from './files.ts';
import { nameOf } from './names.ts';
import { isRunning, type ProcessIdentity } from './processes.ts';
import type { StateFolder } from './state-folder.ts';

export interface TaskRecord {
  readonly taskId: string;
  readonly runId: string;
  readonly role: Role;
  readonly kind: LaunchKind;
  readonly createdAtMs: number;
  readonly host: ProcessIdentity;
}
export interface ProcessRecord extends ProcessIdentity {
  readonly startedAtMs: number;
}
export interface StopRequest {
  readonly code: string;
  readonly reason: string;
}
export interface StoppedRecord extends StopRequest {
  readonly exitCode?: number;
  /** What the system said about the process, e.g. the signal. */
  readonly detail?: string;
  readonly stoppedAtMs: number;
}
export interface LaunchRecord {
  readonly request: LaunchRequest;
  readonly outcome: LaunchOutcome;
}

export const hostGone: StopRequest = {
  code: 'InfrastructureHealth',
  reason: 'The process that hosted the task ended.',
};
export const neverStarted: StopRequest = {
  code: 'TaskFailedToStart',
  reason: 'The process that hosted the task ended before the task was started.',
};

export type TaskRecords = ReturnType<typeof createTaskRecords>;

export function createTaskRecords(state: Pick<StateFolder, 'tasks' | 'launches' | 'tmp'>) {
  const known = new Map<string, TaskRecord>();
  const ended = new Map<string, StoppedRecord>();
  const path = (taskId: string, name: string) => join(state.tasks, taskId, name);
  const launchPath = (token: string) => join(state.launches, `${nameOf(token)}.json`);
  const write = (file: string, value: unknown, absent = false) =>
    publish(file, `${JSON.stringify(value)}\n`, { temp: state.tmp, absent });

  const records = {
    logPath: (taskId: string): string => path(taskId, 'log.txt'),

    create(record: TaskRecord): void {
      attempt(state.tasks, () => makeFolder(join(state.tasks, record.taskId)));
      write(path(record.taskId, 'task.json'), record);
      known.set(record.taskId, record);
    },

    /** For tasks of a launch that did not come about. */
    forget(taskId: string): void {
      known.delete(taskId);
      rmSync(join(state.tasks, taskId), { recursive: true, force: true });
    },

    find(taskId: string): TaskRecord | undefined {
      // An id from outside never becomes a path unless it has the form of ours.
      if (!/^[a-z0-9]+$/.test(taskId)) return undefined;
      const record = known.get(taskId) ?? readJson<TaskRecord>(path(taskId, 'task.json'));
      if (record) known.set(taskId, record);
      return record;
    },

    all(): TaskRecord[] {
      const ids = attempt(state.tasks, () => readdirSync(state.tasks).sort()) ?? [];
      return ids.flatMap((id) => records.find(id) ?? []);
    },

    process: (taskId: string) => readJson<ProcessRecord>(path(taskId, 'process.json')),
    setProcess: (taskId: string, record: ProcessRecord) => write(path(taskId, 'process.json'), record),
    stopRequest: (taskId: string) => readJson<StopRequest>(path(taskId, 'stop.json')),
    requestStop: (taskId: string, request: StopRequest) => write(path(taskId, 'stop.json'), request, true),

    stopped(taskId: string): StoppedRecord | undefined {
      const record = ended.get(taskId) ?? readJson<StoppedRecord>(path(taskId, 'stopped.json'));
      if (record) ended.set(taskId, record);
      return record;
    },

    /** False when somebody else has written it before. What cannot be written is known to this process at least. */
    setStopped(taskId: string, record: StoppedRecord): boolean {
      try {
        const first = write(path(taskId, 'stopped.json'), record, true);
        if (first) ended.set(taskId, record);
        return first;
      } catch (error) {
        if (!ended.has(taskId)) ended.set(taskId, record);
        throw error;
      }
    },

    launch: (token: string) => readJson<LaunchRecord>(launchPath(token)),
    /** J2. False when the token has a launch already. */
    setLaunch: (token: string, record: LaunchRecord) => write(launchPath(token), record, true),

    /** J1. */
    observe(record: TaskRecord): ObservedTask {
      const { taskId, runId, role } = record;
      const task = { taskId, runId, role };
      const stopped = records.stopped(taskId);
      if (stopped) return { ...task, state: 'stopped', stop: told(stopped) };
      const process = records.process(taskId);
      const stop = records.stopRequest(taskId);
      if (isRunning(record.host)) {
        if (!process) return { ...task, state: 'starting' };
        return { ...task, state: stop || !isRunning(process) ? 'stopping' : 'running' };
      }
      if (!process) return { ...task, state: 'stopped', stop: neverStarted };
      // Its input has closed, so it is about to end.
      if (isRunning(process)) return { ...task, state: 'stopping' };
      return { ...task, state: 'stopped', stop: stop ?? hostGone };
    },
  };
  return records;
}

function told(record: StoppedRecord): NonNullable<ObservedTask['stop']> {
  return {
    code: record.code,
    reason: record.detail === undefined ? record.reason : `${record.reason}; ${record.detail}`,
    ...(record.exitCode === undefined ? {} : { exitCode: record.exitCode }),
  };
}
