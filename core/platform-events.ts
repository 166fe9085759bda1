/**
 * The events that the platform sends, as far as they are used: S3 "Object Created", ECS "Task State Change" and Step
 * Functions "Execution Status Change", in the shape EventBridge gives them. The laptop sends the same shapes.
 *
 * Invariants
 *  V1  Fields that are not known are allowed: the platform adds some from time to time.
 *  V2  What is not one of these events gives `undefined`, never an error: retrying it would not help.
 */
import * as z from 'zod';
import type { Role } from './plan.ts';
import type { TaskRow, TaskState } from './run.ts';

export interface ObjectCreated {
  readonly bucket: string;
  readonly key: string;
  readonly version?: string;
  readonly bytes?: number;
}

export interface TaskChange {
  readonly taskId: string;
  /** `startedBy`: the run id, for tasks of ours. */
  readonly runId: string;
  readonly role: Role;
  readonly state: TaskState;
  readonly startedAtMs?: number;
  readonly stoppedAtMs?: number;
  readonly stop?: NonNullable<TaskRow['stop']>;
}

export interface ExecutionChange {
  readonly executionArn: string;
  readonly name: string;
  readonly status: string;
  /** From the input, when it names one. */
  readonly runId?: string;
  readonly error?: string;
  readonly cause?: string;
}

const objectCreated = z.object({
  'detail-type': z.literal('Object Created'),
  detail: z.object({
    bucket: z.object({ name: z.string().min(1) }),
    object: z.object({
      key: z.string().min(1),
      'version-id': z.string().optional(),
      size: z.number().optional(),
    }),
  }),
});

const container = z.object({ exitCode: z.number().int().optional(), reason: z.string().optional() });
const taskChange = z.object({
  'detail-type': z.literal('ECS Task State Change'),
  detail: z.object({
    taskArn: z.string().min(1),
    startedBy: z.string().min(1),
    lastStatus: z.string(),
    desiredStatus: z.string().optional(),
    startedAt: z.string().optional(),
    stoppedAt: z.string().optional(),
    stopCode: z.string().optional(),
    stoppedReason: z.string().optional(),
    containers: z.array(container).optional(),
    group: z.string().optional(),
    taskDefinitionArn: z.string().optional(),
  }),
});

const executionChange = z.object({
  'detail-type': z.literal('Step Functions Execution Status Change'),
  detail: z.object({
    executionArn: z.string().min(1),
    name: z.string().min(1),
    status: z.string(),
    input: z.string().nullish(),
    error: z.string().nullish(),
    cause: z.string().nullish(),
  }),
});

export function readObjectCreated(event: unknown): ObjectCreated | undefined {
  const parsed = objectCreated.safeParse(event);
  if (!parsed.success) return undefined;
  const { bucket, object } = parsed.data.detail;
  const { key, 'version-id': version, size: bytes } = object;
  return {
    bucket: bucket.name,
    key,
    ...(version === undefined ? {} : { version }),
    ...(bytes === undefined ? {} : { bytes }),
  };
}

export function readTaskChange(event: unknown): TaskChange | undefined {
  const parsed = taskChange.safeParse(event);
  if (!parsed.success) return undefined;
  const { detail } = parsed.data;
  const state = taskStateOf(detail.lastStatus, detail.desiredStatus);
  const startedAtMs = instant(detail.startedAt);
  const stoppedAtMs = instant(detail.stoppedAt);
  return {
    taskId: detail.taskArn,
    runId: detail.startedBy,
    role: /parameter-server/.test(`${detail.group ?? ''} ${detail.taskDefinitionArn ?? ''}`)
      ? 'parameter-server'
      : 'worker',
    state,
    ...(startedAtMs === undefined ? {} : { startedAtMs }),
    ...(stoppedAtMs === undefined ? {} : { stoppedAtMs }),
    ...(state === 'stopped' ? { stop: taskStopOf(detail) } : {}),
  };
}

export function readExecutionChange(event: unknown): ExecutionChange | undefined {
  const parsed = executionChange.safeParse(event);
  if (!parsed.success) return undefined;
  const { executionArn, name, status, input, error, cause } = parsed.data.detail;
  const runId = runIdIn(input ?? '');
  return {
    executionArn,
    name,
    status,
    ...(runId === undefined ? {} : { runId }),
    ...(error == null ? {} : { error }),
    ...(cause == null ? {} : { cause }),
  };
}

/** What ECS calls the status of a task, and what it wants it to be, in an event or when it is asked. */
export function taskStateOf(lastStatus: string | undefined, desiredStatus: string | undefined): TaskState {
  switch (lastStatus) {
    case 'STOPPED':
    case 'DELETED':
      return 'stopped';
    case 'DEACTIVATING':
    case 'STOPPING':
    case 'DEPROVISIONING':
      return 'stopping';
    case 'RUNNING':
      return desiredStatus === 'STOPPED' ? 'stopping' : 'running';
    default:
      return desiredStatus === 'STOPPED' ? 'stopping' : 'starting';
  }
}

export interface TaskEnd {
  readonly stopCode?: string | undefined;
  readonly stoppedReason?: string | undefined;
  readonly containers?:
    | readonly { readonly exitCode?: number | undefined; readonly reason?: string | undefined }[]
    | undefined;
}

/** A task that never started has an empty list of containers: the code says it, the exit code may be missing. */
export function taskStopOf({ stopCode, stoppedReason, containers }: TaskEnd): NonNullable<TaskRow['stop']> {
  const ended = containers?.find(({ exitCode, reason }) => exitCode !== undefined || reason !== undefined);
  const reason = [stoppedReason, ended?.reason].filter((part) => part !== undefined && part !== '').join('; ');
  return {
    code: stopCode ?? 'Unknown',
    reason: reason === '' ? 'no reason given' : reason,
    ...(ended?.exitCode === undefined ? {} : { exitCode: ended.exitCode }),
  };
}

function instant(text: string | undefined): number | undefined {
  const ms = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

function runIdIn(input: string): string | undefined {
  try {
    const parsed = z.object({ runId: z.string() }).safeParse(JSON.parse(input));
    return parsed.success ? parsed.data.runId : undefined;
  } catch {
    return undefined;
  }
}
