/**
 * Events and answers of AWS in their documented shapes (test/unit/corpus/*.json), and what we make of each. The shapes were
 * written from the documentation and from first-hand reports, not recorded on an account.
 */
import { readFileSync } from 'node:fs';
import { ECSClient } from '@aws-sdk/client-ecs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readSettings } from '../../cloud/aws/settings.ts';
import { observe } from '../../cloud/aws/task-observation.ts';
import { awsTasks } from '../../cloud/aws/tasks.ts';
import type { LaunchRequest, TaskRunner } from '../../cloud/ports.ts';
import { systemClock } from '../../cloud/system-clock.ts';
import { classifyStart, classifyStop, failureOfStop, type StopClass, stopTable } from '../../core/classify.ts';
import { readExecutionChange, readObjectCreated, readTaskChange } from '../../core/platform-events.ts';
import { type AwsStub, json, jsonError, startAwsStub, stubClient, stubEnvironment } from '../support/aws-stub.ts';

const read = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`corpus/${name}.json`, import.meta.url), 'utf8')) as T;

interface TaskCase {
  readonly name: string;
  readonly event: { readonly detail: Readonly<Record<string, unknown>> };
  readonly expect:
    | 'ignored'
    | { readonly state: string; readonly role?: string; readonly class?: StopClass; readonly failure?: string };
}
const taskCases = read<TaskCase[]>('ecs-task-events').map((one) => [one.name, one] as const);

describe('an ECS task', () => {
  test.each(taskCases)('%s', (_name, { event, expect: wanted }) => {
    const change = readTaskChange(event);
    if (wanted === 'ignored') return expect(change).toBeUndefined();
    expect(change).toMatchObject({
      taskId: event.detail.taskArn,
      runId: 'mnist-0123456789ab',
      role: wanted.role ?? 'worker',
      state: wanted.state,
    });
    expect(change?.stop !== undefined).toBe(wanted.class !== undefined);
    if (change?.stop === undefined) return;
    expect(classifyStop(change.stop)).toBe(wanted.class);
    const failure = failureOfStop(change.stop, 'worker/1');
    expect(failure?.kind).toBe(wanted.failure);
    if (failure?.kind === 'LaunchFailed') expect(failure.reason).toContain(change.stop.reason);
  });

  test.each(taskCases)('%s: DescribeTasks says the same as the event', (_name, { event, expect: wanted }) => {
    if (wanted === 'ignored') return;
    const { detail } = event;
    const observed = observe({ ...detail, startedAt: undefined, stoppedAt: undefined } as never);
    const { state, role, stop } = readTaskChange(event) ?? {};
    expect(observed).toMatchObject({ state, role, ...(stop === undefined ? {} : { stop }) });
  });

  test('every class but that of RunTask alone is met', () => {
    const met = new Set(taskCases.flatMap(([, { expect: wanted }]) => (wanted === 'ignored' ? [] : [wanted.class])));
    expect(Object.keys(stopTable).filter((kind) => !met.has(kind as StopClass))).toEqual([]);
  });
});

interface LaunchCase {
  readonly name: string;
  readonly answer?: unknown;
  readonly error?: { readonly type: string; readonly message: string };
  readonly expect: 'again' | { readonly started: number; readonly class?: StopClass };
}

describe('RunTask', () => {
  let stub: AwsStub;
  let tasks: TaskRunner;
  let slept = 0;
  const request: LaunchRequest = {
    runId: 'mnist-0123456789ab',
    role: 'worker',
    count: 2,
    clientToken: 'token',
    kind: 'fargate-spot',
    cpu: 1024,
    memoryMiB: 2048,
  };
  beforeAll(async () => {
    stub = await startAwsStub();
    const clock = {
      ...systemClock,
      sleep: async () => {
        slept += 1;
      },
    };
    tasks = awsTasks(new ECSClient(stubClient(stub.endpoint)), readSettings(stubEnvironment), clock);
  });
  afterAll(() => stub.close());

  test.each(read<LaunchCase[]>('run-task-answers').map((one) => [one.name, one] as const))(
    '%s',
    async (_name, { answer, error, expect: wanted }) => {
      slept = 0;
      stub.answer(error === undefined ? json(answer) : jsonError(error.type, error.message));
      if (wanted === 'again') {
        stub.answer(json({ tasks: [{ taskArn: 'a' }, { taskArn: 'b' }] }));
        expect(await tasks.launch(request)).toEqual({ started: ['a', 'b'], failures: [] });
        expect(slept).toBe(1);
        return;
      }
      const { started, failures } = await tasks.launch(request);
      expect(slept).toBe(0);
      expect(started).toHaveLength(wanted.started);
      expect(failures).toHaveLength(request.count - wanted.started);
      for (const failure of failures) expect(classifyStart(failure), failure).toBe(wanted.class);
    },
  );
});

interface OtherCase {
  readonly name: string;
  readonly event: unknown;
  readonly expect?: unknown;
}
const named = (cases: readonly OtherCase[]) => cases.map((one) => [one.name, one] as const);
const other = read<{ created: OtherCase[]; foreign: OtherCase[] }>('other-events');

describe('an execution', () => {
  test.each(named(read<OtherCase[]>('execution-events')))('%s', (_name, { event, expect: wanted }) => {
    const { executionArn: _, name: __, ...rest } = readExecutionChange(event) ?? {};
    expect(rest).toEqual(wanted);
  });
});

describe('an object', () => {
  test.each(named(other.created))('%s', (_name, { event, expect: wanted }) => {
    expect(readObjectCreated(event)).toEqual(wanted);
  });
});

describe('what is none of our business is left alone', () => {
  test.each(named(other.foreign))('%s', (_name, { event }) => {
    expect(readObjectCreated(event)).toBeUndefined();
    expect(readTaskChange(event)).toBeUndefined();
    expect(readExecutionChange(event)).toBeUndefined();
  });
});
