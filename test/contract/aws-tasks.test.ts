import { ECSClient } from '@aws-sdk/client-ecs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readSettings } from '../../cloud/aws/settings.ts';
import { awsTasks } from '../../cloud/aws/tasks.ts';
import type { LaunchRequest, TaskRunner } from '../../cloud/ports.ts';
import { systemClock } from '../../cloud/system-clock.ts';
import { CuttlefishError } from '../../core/failure.ts';
import { type AwsStub, json, jsonError, startAwsStub, stubClient, stubEnvironment } from '../support/aws-stub.ts';

let stub: AwsStub;
let tasks: TaskRunner;
const slept: number[] = [];
const clock = { ...systemClock, sleep: async (ms: number) => void slept.push(ms) };
const request: LaunchRequest = {
  runId: 'mnist-0123456789ab',
  role: 'worker',
  count: 3,
  clientToken: 'token-1',
  kind: 'fargate-spot',
  cpu: 2048,
  memoryMiB: 4096,
};
const arn = (n: number) => `arn:aws:ecs:us-east-1:111122223333:task/training/${n}`;

beforeAll(async () => {
  stub = await startAwsStub();
});
beforeEach(() => {
  stub.requests.length = 0;
  slept.length = 0;
  tasks = awsTasks(new ECSClient(stubClient(stub.endpoint)), readSettings(stubEnvironment), clock);
});
afterAll(() => stub.close());

describe('launch on ECS', () => {
  it('asks by capacity provider, with token, tags and only the pointer and the size as overrides', async () => {
    stub.answer(json({ tasks: [1, 2, 3].map((n) => ({ taskArn: arn(n) })), failures: [] }));
    expect(await tasks.launch(request)).toEqual({ started: [arn(1), arn(2), arn(3)], failures: [] });
    expect(stub.requests[0]?.operation).toBe('RunTask');
    expect(stub.requests[0]?.input).toEqual({
      cluster: 'training',
      taskDefinition: stubEnvironment.CUTTLEFISH_TASK_WORKER,
      count: 3,
      clientToken: 'token-1',
      startedBy: 'mnist-0123456789ab',
      capacityProviderStrategy: [{ capacityProvider: 'FARGATE_SPOT', weight: 1 }],
      networkConfiguration: {
        awsvpcConfiguration: {
          subnets: ['subnet-a', 'subnet-b'],
          securityGroups: ['sg-1'],
          assignPublicIp: 'ENABLED',
        },
      },
      enableECSManagedTags: true,
      enableExecuteCommand: false,
      propagateTags: 'TASK_DEFINITION',
      tags: [
        { key: 'cuttlefish:run', value: 'mnist-0123456789ab' },
        { key: 'cuttlefish:role', value: 'worker' },
      ],
      overrides: {
        cpu: '2048',
        memory: '4096',
        containerOverrides: [
          {
            name: 'task',
            environment: [
              { name: 'CUTTLEFISH_RUN_ID', value: 'mnist-0123456789ab' },
              { name: 'CUTTLEFISH_ROLE', value: 'worker' },
            ],
          },
        ],
      },
    });
  });

  it.each([
    ['fargate', 'FARGATE', 'ENABLED'],
    ['ec2', 'provider-ec2', 'DISABLED'],
    ['ec2-spot', 'provider-spot', 'DISABLED'],
  ] as const)('runs %s on %s, public address %s', async (kind, provider, publicIp) => {
    stub.answer(json({ tasks: [{ taskArn: arn(1) }] }));
    await tasks.launch({ ...request, kind, count: 1, role: 'parameter-server' });
    expect(stub.requests[0]?.input).toMatchObject({
      taskDefinition: stubEnvironment.CUTTLEFISH_TASK_PARAMETER_SERVER,
      capacityProviderStrategy: [{ capacityProvider: provider }],
      networkConfiguration: { awsvpcConfiguration: { assignPublicIp: publicIp } },
    });
    expect(stub.requests[0]?.input).not.toHaveProperty('launchType');
  });

  it('tells a partial start as failures, one for each missing task', async () => {
    stub.answer(
      json({ tasks: [{ taskArn: arn(1) }], failures: [{ arn: 'x', reason: 'RESOURCE:MEMORY' }] }),
      json({ tasks: [], failures: [] }),
    );
    expect(await tasks.launch(request)).toEqual({
      started: [arn(1)],
      failures: ['RESOURCE:MEMORY', 'RESOURCE:MEMORY'],
    });
    expect((await tasks.launch(request)).failures).toHaveLength(3);
  });

  it('waits and asks again when throttling arrives as InvalidParameterException', async () => {
    stub.answer(
      jsonError('InvalidParameterException', 'Rate exceeded for EC2 DescribeNetworkInterfaces'),
      jsonError('ThrottlingException', 'Rate exceeded'),
      json({ tasks: [1, 2, 3].map((n) => ({ taskArn: arn(n) })) }),
    );
    expect((await tasks.launch(request)).started).toHaveLength(3);
    expect(stub.requests.map(({ input }) => input.clientToken)).toEqual(['token-1', 'token-1', 'token-1']);
    expect(slept).toHaveLength(2);
    expect(slept[1]).toBeGreaterThan(slept[0] ?? 0);
  });

  it('throws what the workflow retries when throttling does not end', async () => {
    stub.answer(...Array.from({ length: 4 }, () => jsonError('ThrottlingException', 'Rate exceeded')));
    const thrown = await tasks.launch(request).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(CuttlefishError);
    expect(thrown).toMatchObject({
      name: 'Unexpected',
      message: expect.stringMatching(/3 x worker.*4 times: ThrottlingException: Rate exceeded/),
    });
    expect(stub.requests).toHaveLength(4);
  });

  it('tells what no retry cures as failures: no permission, a bad parameter, no capacity', async () => {
    stub.answer(
      jsonError('AccessDeniedException', 'not authorized to perform: iam:PassRole'),
      jsonError('InvalidParameterException', 'No Fargate configuration exists for given values'),
      jsonError('ClientException', 'Capacity is unavailable at this time. Please try again later'),
    );
    for (const reason of [/AccessDenied.*PassRole/, /No Fargate configuration/, /Capacity is unavailable/]) {
      const { started, failures } = await tasks.launch(request);
      expect(started).toEqual([]);
      expect(failures).toHaveLength(3);
      expect(failures[0]).toMatch(reason);
    }
    expect(stub.requests).toHaveLength(3);
  });

  it('answers with the tasks of the token when it was used before with other parameters', async () => {
    stub.answer(jsonError('ConflictException', 'token in use', { resourceIds: [arn(1), arn(2), arn(3)] }));
    expect(await tasks.launch(request)).toEqual({ started: [arn(1), arn(2), arn(3)], failures: [] });
  });
});

describe('stop on ECS', () => {
  it('stops with a reason of at most 255 characters; a task that is not there is no error', async () => {
    stub.answer(json({ task: {} }), jsonError('InvalidParameterException', 'The referenced task was not found.'));
    await tasks.stop(arn(1), 'x'.repeat(300));
    expect(stub.requests[0]?.input).toEqual({ cluster: 'training', task: arn(1), reason: 'x'.repeat(255) });
    await tasks.stop(arn(2), 'gone');
    stub.answer(jsonError('ClusterNotFoundException', 'Cluster not found.'));
    await expect(tasks.stop(arn(1), 'x')).rejects.toThrow('Cluster not found');
  });
});

describe('list on ECS', () => {
  const task = (n: number, more: object) => ({
    taskArn: arn(n),
    startedBy: request.runId,
    desiredStatus: 'RUNNING',
    tags: [{ key: 'cuttlefish:role', value: 'worker' }],
    ...more,
  });

  it('reads every page of running and stopped tasks of this run, in the words of the port', async () => {
    stub.answer(
      json({ taskArns: [arn(1)], nextToken: 'more' }),
      json({ taskArns: [arn(2)] }),
      json({ taskArns: [arn(3), arn(4), arn(5)] }),
      json({
        tasks: [
          task(1, { lastStatus: 'PROVISIONING' }),
          task(2, { lastStatus: 'RUNNING' }),
          task(3, {
            lastStatus: 'STOPPED',
            desiredStatus: 'STOPPED',
            stopCode: 'EssentialContainerExited',
            stoppedReason: 'Essential container in task exited',
            containers: [{ exitCode: 137, reason: 'OutOfMemoryError: killed' }],
          }),
          // A task that never started has no containers and, here, no tags either.
          {
            taskArn: arn(4),
            startedBy: request.runId,
            lastStatus: 'STOPPED',
            stopCode: 'TaskFailedToStart',
            stoppedReason: 'CannotPullContainerError: not found',
            containers: [],
            taskDefinitionArn: stubEnvironment.CUTTLEFISH_TASK_PARAMETER_SERVER,
          },
          task(5, { lastStatus: 'RUNNING', desiredStatus: 'STOPPED', stopCode: 'SpotInterruption' }),
        ],
      }),
    );
    const list = await tasks.list(request.runId);
    expect(
      list.map(({ taskId, role, state, stop }) => [taskId.at(-1), role, state, stop?.code, stop?.exitCode]),
    ).toEqual([
      ['1', 'worker', 'starting', undefined, undefined],
      ['2', 'worker', 'running', undefined, undefined],
      ['3', 'worker', 'stopped', 'EssentialContainerExited', 137],
      ['4', 'parameter-server', 'stopped', 'TaskFailedToStart', undefined],
      ['5', 'worker', 'stopping', 'SpotInterruption', undefined],
    ]);
    expect(list[2]?.stop?.reason).toBe('Essential container in task exited; OutOfMemoryError: killed');
    expect(stub.requests.map(({ operation, input }) => [operation, input.startedBy, input.desiredStatus])).toEqual([
      ['ListTasks', request.runId, 'RUNNING'],
      ['ListTasks', request.runId, 'RUNNING'],
      ['ListTasks', request.runId, 'STOPPED'],
      ['DescribeTasks', undefined, undefined],
    ]);
  });

  it('describes at most 100 tasks a call', async () => {
    stub.answer(
      json({ taskArns: Array.from({ length: 100 }, (_, n) => arn(n)), nextToken: 'more' }),
      json({ taskArns: [arn(100)] }),
      json({ taskArns: [] }),
      json({ tasks: [] }),
      json({ tasks: [] }),
    );
    await tasks.list(request.runId);
    expect(stub.requests.slice(3).map(({ input }) => (input.tasks as string[]).length)).toEqual([100, 1]);
  });

  it('reads all stopped tasks where startedBy is refused beside a status, and keeps only its own', async () => {
    stub.answer(
      json({ taskArns: [] }),
      jsonError('InvalidParameterException', 'startedBy must be the only filter'),
      json({ taskArns: [arn(1), arn(2)] }),
      json({ tasks: [task(1, { lastStatus: 'STOPPED' }), task(2, { lastStatus: 'STOPPED', startedBy: 'someone' })] }),
    );
    expect((await tasks.list(request.runId)).map(({ taskId }) => taskId)).toEqual([arn(1)]);
    expect(stub.requests[2]?.input).not.toHaveProperty('startedBy');
  });

  it('K6 lists live tasks that are ours by tag and by startedBy, and no others of the cluster', async () => {
    const tag = (value: string) => [{ key: 'cuttlefish:run', value }];
    stub.answer(
      json({ taskArns: [1, 2, 3, 4, 5].map(arn) }),
      json({
        tasks: [
          { taskArn: arn(1), startedBy: 'mnist-1', lastStatus: 'RUNNING', tags: tag('mnist-1') },
          { taskArn: arn(2), startedBy: 'ecs-svc/123', lastStatus: 'RUNNING', tags: [] },
          { taskArn: arn(3), startedBy: 'mnist-1', lastStatus: 'RUNNING', tags: tag('mnist-2') },
          { taskArn: arn(4), lastStatus: 'RUNNING', tags: tag('mnist-1') },
          { taskArn: arn(5), startedBy: 'mnist-1', lastStatus: 'RUNNING' },
        ],
      }),
    );
    expect((await tasks.listLive()).map(({ taskId, runId }) => [taskId, runId])).toEqual([[arn(1), 'mnist-1']]);
    expect(stub.requests[0]?.input).toMatchObject({ cluster: 'training', desiredStatus: 'RUNNING' });
    expect(stub.requests[1]?.input).toMatchObject({ include: ['TAGS'] });
  });
});
