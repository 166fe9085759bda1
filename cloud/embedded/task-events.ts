/**
 * Task state changes in the shape in which ECS puts them on the default event bus, so that one function reads both.
 * A task that never started has no containers, as on ECS.
 */
import type { LaunchKind, Role } from '../../core/plan.ts';
import { embeddedAccount, embeddedRegion, type NewEvent } from './events.ts';
import type { StoppedRecord, TaskRecord } from './task-records.ts';

export interface TaskStateChange extends Readonly<Record<string, unknown>> {
  readonly taskArn: string;
  readonly clusterArn: string;
  readonly lastStatus: 'RUNNING' | 'STOPPED';
  readonly desiredStatus: 'RUNNING' | 'STOPPED';
  readonly version: number;
  readonly group: string;
  readonly startedBy: string;
  readonly capacityProviderName: LaunchKind;
  readonly containers: readonly {
    readonly name: string;
    readonly lastStatus: string;
    readonly exitCode?: number;
    readonly reason?: string;
  }[];
  readonly tags: readonly { readonly key: string; readonly value: string }[];
  readonly createdAt: string;
  readonly startedAt?: string;
  readonly stopCode?: string;
  readonly stoppedReason?: string;
  readonly stoppedAt?: string;
}

const clusterArn = `arn:aws:ecs:${embeddedRegion}:${embeddedAccount}:cluster/cuttlefish`;

export function runningEvent(task: TaskRecord, startedAtMs: number): NewEvent {
  return event(task, {
    startedAt: new Date(startedAtMs).toISOString(),
    lastStatus: 'RUNNING',
    desiredStatus: 'RUNNING',
    version: 2,
    containers: [{ name: containerOf(task.role), lastStatus: 'RUNNING' }],
  });
}

export function stoppedEvent(task: TaskRecord, stopped: StoppedRecord, startedAtMs?: number): NewEvent {
  const container = {
    name: containerOf(task.role),
    lastStatus: 'STOPPED',
    ...(stopped.exitCode === undefined ? {} : { exitCode: stopped.exitCode }),
    ...(stopped.detail === undefined ? {} : { reason: stopped.detail }),
  };
  return event(task, {
    lastStatus: 'STOPPED',
    desiredStatus: 'STOPPED',
    version: 3,
    containers: stopped.code === 'TaskFailedToStart' ? [] : [container],
    ...(startedAtMs === undefined ? {} : { startedAt: new Date(startedAtMs).toISOString() }),
    stopCode: stopped.code,
    stoppedReason: stopped.reason,
    stoppedAt: new Date(stopped.stoppedAtMs).toISOString(),
  });
}

function event(
  task: TaskRecord,
  change: Pick<TaskStateChange, 'lastStatus' | 'desiredStatus' | 'version' | 'containers'> & Partial<TaskStateChange>,
): NewEvent {
  // What launch answered: on ECS that is the ARN, here the id itself.
  const taskArn = task.taskId;
  const detail: TaskStateChange = {
    taskArn,
    clusterArn,
    group: `family:${containerOf(task.role)}`,
    startedBy: task.runId,
    capacityProviderName: task.kind,
    createdAt: new Date(task.createdAtMs).toISOString(),
    tags: [
      { key: 'cuttlefish:run', value: task.runId },
      { key: 'cuttlefish:role', value: task.role },
    ],
    ...change,
  };
  return { source: 'aws.ecs', 'detail-type': 'ECS Task State Change', resources: [taskArn], detail };
}

const containerOf = (role: Role): string => `cuttlefish-${role}`;
