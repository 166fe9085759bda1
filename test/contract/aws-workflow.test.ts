import { AutoScalingClient } from '@aws-sdk/client-auto-scaling';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { SFNClient } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemIds } from '../../cloud/aws/basics.ts';
import { awsNotices } from '../../cloud/aws/notices.ts';
import { awsScaling } from '../../cloud/aws/scaling.ts';
import { readSettings } from '../../cloud/aws/settings.ts';
import { awsWorkflow } from '../../cloud/aws/workflow.ts';
import { type AwsStub, json, jsonError, startAwsStub, stubClient, stubEnvironment } from '../support/aws-stub.ts';

let stub: AwsStub;
const settings = readSettings(stubEnvironment);
const machine = stubEnvironment.CUTTLEFISH_STATE_MACHINE;
const execution = (name: string) => `${machine.replace('stateMachine', 'execution')}:${name}`;

beforeAll(async () => {
  stub = await startAwsStub();
});
beforeEach(() => {
  stub.requests.length = 0;
});
afterAll(() => stub.close());

describe('the workflow on Step Functions', () => {
  const workflow = () => awsWorkflow(new SFNClient(stubClient(stub.endpoint, 2)), settings, systemIds);

  it('starts an execution by name', async () => {
    stub.answer(json({ executionArn: execution('run-1'), startDate: 1 }));
    expect(await workflow().start('run-1', { configUri: 's3://b/c' })).toEqual({
      kind: 'started',
      executionArn: execution('run-1'),
    });
    expect(stub.requests[0]).toMatchObject({
      operation: 'StartExecution',
      input: { stateMachineArn: machine, name: 'run-1' },
    });
    expect(JSON.parse(String(stub.requests[0]?.input.input))).toMatchObject({ configUri: 's3://b/c' });
  });

  it('sends no two calls with equal input, so that a running execution is reported as such', async () => {
    stub.answer(
      json({ executionArn: execution('run-1'), startDate: 1 }),
      jsonError('ExecutionAlreadyExists', 'Execution Already Exists'),
    );
    await workflow().start('run-1', { config: 'x' });
    expect(await workflow().start('run-1', { config: 'x' })).toEqual({
      kind: 'exists',
      executionArn: execution('run-1'),
    });
    expect(stub.requests[0]?.input.input).not.toBe(stub.requests[1]?.input.input);
  });

  it('repeats a call whose answer was lost with the same bytes', async () => {
    stub.answer({ drop: true }, json({ executionArn: execution('run-1'), startDate: 1 }));
    expect((await workflow().start('run-1', {})).kind).toBe('started');
    expect(stub.requests[1]?.input).toEqual(stub.requests[0]?.input);
  });

  it('refuses a name that Step Functions would refuse, before asking', async () => {
    await expect(workflow().start('run 1', {})).rejects.toThrow(/"run 1".*1 to 80/);
    expect(stub.requests).toHaveLength(0);
  });

  it.each(['TaskTimedOut', 'TaskDoesNotExist', 'InvalidToken'])('takes %s for a token that is gone', async (error) => {
    stub.answer(jsonError(error, error), jsonError(error, error));
    expect(await workflow().succeedTask('token', { signal: 1 })).toBe('gone');
    expect(await workflow().heartbeatTask('token')).toBe('gone');
  });

  it('answers and renews a token, and throws what is neither accepted nor gone', async () => {
    stub.answer(json({}), json({}), jsonError('InvalidOutput', 'too large'));
    expect(await workflow().succeedTask('token', { signal: 7 })).toBe('accepted');
    expect(await workflow().heartbeatTask('token')).toBe('accepted');
    expect(stub.requests.map(({ operation, input }) => [operation, input])).toEqual([
      ['SendTaskSuccess', { taskToken: 'token', output: '{"signal":7}' }],
      ['SendTaskHeartbeat', { taskToken: 'token' }],
    ]);
    await expect(workflow().succeedTask('token', {})).rejects.toThrow('too large');
  });

  it('stops an execution; one that is not there is no error', async () => {
    stub.answer(json({ stopDate: 1 }), jsonError('ExecutionDoesNotExist', 'no'));
    await workflow().stop(execution('run-1'), 'cancelled by alice');
    expect(stub.requests[0]?.input).toMatchObject({ executionArn: execution('run-1'), cause: 'cancelled by alice' });
    await workflow().stop(execution('run-2'), 'x');
  });

  it('says how an execution stands; one that is not known is none', async () => {
    const failed = { status: 'FAILED', error: 'BudgetExhausted', cause: 'time' };
    stub.answer(json({ status: 'RUNNING', name: 'run-1' }), json(failed), jsonError('ExecutionDoesNotExist', 'no'));
    expect(await workflow().describe(execution('run-1'))).toEqual({ status: 'RUNNING' });
    expect(stub.requests[0]).toMatchObject({
      operation: 'DescribeExecution',
      input: { executionArn: execution('run-1') },
    });
    expect(await workflow().describe(execution('run-1'))).toEqual(failed);
    expect(await workflow().describe(execution('run-2'))).toBeUndefined();
  });
});

describe('notices on EventBridge', () => {
  const slept: number[] = [];
  const lines: unknown[] = [];
  const log = { write: (...line: unknown[]) => void lines.push(line) };
  const clock = { sleep: async (ms: number) => void slept.push(ms) };
  const notices = () => awsNotices(new EventBridgeClient(stubClient(stub.endpoint)), clock, log);

  it('are put on the default bus in our name', async () => {
    stub.answer(json({ FailedEntryCount: 0, Entries: [{ EventId: 'e' }] }));
    await notices().publish('cuttlefish.run.succeeded', { runId: 'run-1' });
    const entry = { Source: 'cuttlefish', DetailType: 'cuttlefish.run.succeeded', Detail: '{"runId":"run-1"}' };
    expect(stub.requests[0]).toMatchObject({ operation: 'PutEvents', input: { Entries: [entry] } });
  });

  it('are tried again when the bus takes none of them, and are at worst a line in the log', async () => {
    const none = json({ FailedEntryCount: 1, Entries: [{ ErrorCode: 'InternalFailure', ErrorMessage: 'later' }] });
    stub.answer(none, json({ FailedEntryCount: 0 }));
    await notices().publish('cuttlefish.run.failed', { runId: 'run-1' });
    expect([slept.length, lines.length]).toEqual([1, 0]);
    stub.answer(none, jsonError('AccessDeniedException', 'no'), none);
    await notices().publish('cuttlefish.run.failed', { runId: 'run-1' });
    expect(lines).toEqual([
      ['warn', 'notice.lost', { notice: 'cuttlefish.run.failed', runId: 'run-1', why: 'InternalFailure: later' }],
    ]);
  });
});

describe('the floor of an Auto Scaling group', () => {
  const scaling = () => awsScaling(new AutoScalingClient(stubClient(stub.endpoint)), settings);
  const group = (min: number, max: number, states: readonly string[]) => ({
    headers: { 'content-type': 'text/xml' },
    body: `<DescribeAutoScalingGroupsResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/">
      <DescribeAutoScalingGroupsResult><AutoScalingGroups><member>
        <AutoScalingGroupName>group-ec2</AutoScalingGroupName><MinSize>${min}</MinSize><MaxSize>${max}</MaxSize>
        <DesiredCapacity>${states.length}</DesiredCapacity>
        <Instances>${states.map((state, n) => `<member><InstanceId>i-${n}</InstanceId><LifecycleState>${state}</LifecycleState><HealthStatus>Healthy</HealthStatus></member>`).join('')}</Instances>
      </member></AutoScalingGroups></DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>`,
  });
  const updated = {
    headers: { 'content-type': 'text/xml' },
    body: '<UpdateAutoScalingGroupResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"/>',
  };

  it('moves MinSize and nothing else', async () => {
    stub.answer(group(0, 8, ['InService', 'Pending', 'InService']), updated);
    expect(await scaling().setFloor('ec2', 3)).toEqual({ inService: 2, max: 8 });
    expect(stub.requests[1]?.input).toEqual({
      Action: 'UpdateAutoScalingGroup',
      Version: '2011-01-01',
      AutoScalingGroupName: 'group-ec2',
      MinSize: '3',
    });
  });

  it('asks for no more than the maximum, and not at all when the floor is right', async () => {
    stub.answer(group(0, 2, []), updated, group(3, 8, []));
    expect((await scaling().setFloor('ec2-spot', 5)).max).toBe(2);
    expect(stub.requests[0]?.input['AutoScalingGroupNames.member.1']).toBe('group-spot');
    expect(stub.requests[1]?.input.MinSize).toBe('2');
    await scaling().setFloor('ec2', 3);
    expect(stub.requests).toHaveLength(3);
  });

  it('describes, and says which group is missing', async () => {
    stub.answer(group(1, 4, ['InService']), {
      headers: { 'content-type': 'text/xml' },
      body: '<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups/></DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>',
    });
    expect(await scaling().describe('ec2')).toEqual({ inService: 1, floor: 1, max: 4 });
    await expect(scaling().describe('ec2')).rejects.toThrow(/group-ec2.*does not exist/);
    await expect(scaling().describe('fargate')).rejects.toThrow(/"fargate".*accepted: ec2, ec2-spot/);
  });
});
