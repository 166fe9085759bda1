/**
 * The AWS adapters against an emulator that others wrote: the shared suites of objects, data sets, table and scaling, and
 * what of tasks and workflow it can answer. Needs the address of a moto server; `npm run test:python` starts one.
 *
 * Emulators disagree with AWS: what fails here is looked at, what passes here proves shapes, not behaviour.
 */
import { AutoScalingClient, CreateAutoScalingGroupCommand } from '@aws-sdk/client-auto-scaling';
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { CreateClusterCommand, ECSClient, RegisterTaskDefinitionCommand } from '@aws-sdk/client-ecs';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { CreateStateMachineCommand, SFNClient } from '@aws-sdk/client-sfn';
import { describe, expect, it } from 'vitest';
import { systemIds } from '../../cloud/aws/basics.ts';
import { awsDatasets } from '../../cloud/aws/datasets.ts';
import { awsObjects } from '../../cloud/aws/objects.ts';
import { awsScaling } from '../../cloud/aws/scaling.ts';
import { readSettings } from '../../cloud/aws/settings.ts';
import { awsTable } from '../../cloud/aws/table.ts';
import { awsTasks } from '../../cloud/aws/tasks.ts';
import { awsWorkflow } from '../../cloud/aws/workflow.ts';
import { systemClock } from '../../cloud/system-clock.ts';
import { stubClient, stubEnvironment } from '../support/aws-stub.ts';
import { tableSchema } from '../support/dynalite-table.ts';
import { describeDatasets } from './datasets.ts';
import { describeObjectStore } from './object-store.ts';
import { describeScaling } from './scaling.ts';
import { describeTable } from './table.ts';
import { launchRequest } from './task-runner.ts';

const endpoint = process.env.CUTTLEFISH_MOTO_URL;
const client = { ...stubClient(endpoint ?? ''), maxAttempts: 2 };
/** Something new with every call: the emulator lives longer than a test. */
const fresh = () => `t${systemIds.hex(6)}`;
/** The account that the emulator plays. */
const account = '123456789012';
const settingsOf = (change: Readonly<Record<string, string>>) =>
  readSettings({ ...stubEnvironment, CUTTLEFISH_ACCOUNT: account, ...change });

async function newBucket() {
  const bucket = fresh();
  const s3 = new S3Client(client);
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  await s3.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }));
  return { bucket, s3, settings: settingsOf({ CUTTLEFISH_BUCKET: bucket, CUTTLEFISH_DATA_BUCKETS: bucket }) };
}

async function newScaling() {
  const groups = { CUTTLEFISH_GROUP_EC2: fresh(), CUTTLEFISH_GROUP_EC2_SPOT: fresh() };
  const autoScaling = new AutoScalingClient(client);
  for (const AutoScalingGroupName of Object.values(groups)) {
    await autoScaling.send(
      new CreateAutoScalingGroupCommand({
        AutoScalingGroupName,
        MinSize: 0,
        MaxSize: 4,
        AvailabilityZones: ['us-east-1a'],
        MixedInstancesPolicy: {
          LaunchTemplate: { LaunchTemplateSpecification: { LaunchTemplateId: await launchTemplate() } },
        },
      }),
    );
  }
  return awsScaling(autoScaling, settingsOf(groups));
}

/** Launch templates and subnets must exist; they are asked for by the form that EC2 takes, for which there is no client here. */
async function ec2(action: string, find: RegExp, fields: Readonly<Record<string, string>> = {}): Promise<string> {
  const body = new URLSearchParams({ Action: action, Version: '2016-11-15', ...fields });
  const headers = { authorization: 'AWS4-HMAC-SHA256 Credential=stub/20260101/us-east-1/ec2/aws4_request' };
  const answer = await (await fetch(endpoint ?? '', { method: 'POST', body, headers })).text();
  return find.exec(answer)?.[1] ?? '';
}

const launchTemplate = () =>
  ec2('CreateLaunchTemplate', /<launchTemplateId>(.*?)</, {
    LaunchTemplateName: fresh(),
    'LaunchTemplateData.ImageId': 'ami-12c6146b',
    'LaunchTemplateData.InstanceType': 'm5.xlarge',
  });

async function newTasks() {
  const ecs = new ECSClient(client);
  const cluster = fresh();
  await ecs.send(new CreateClusterCommand({ clusterName: cluster }));
  const { taskDefinition } = await ecs.send(
    new RegisterTaskDefinitionCommand({
      family: fresh(),
      networkMode: 'awsvpc',
      requiresCompatibilities: ['FARGATE'],
      cpu: '256',
      memory: '512',
      // The emulator wants a memory in the container as well.
      containerDefinitions: [{ name: 'task', image: 'training', memory: 512 }],
    }),
  );
  const definition = taskDefinition?.taskDefinitionArn ?? '';
  const settings = settingsOf({
    CUTTLEFISH_CLUSTER: cluster,
    CUTTLEFISH_TASK_WORKER: definition,
    CUTTLEFISH_TASK_PARAMETER_SERVER: definition,
    CUTTLEFISH_SUBNETS: await ec2('DescribeSubnets', /<subnetId>(.*?)</),
  });
  return awsTasks(ecs, settings, systemClock);
}

async function newWorkflow() {
  const sfn = new SFNClient(client);
  const { stateMachineArn = '' } = await sfn.send(
    new CreateStateMachineCommand({
      name: fresh(),
      roleArn: `arn:aws:iam::${account}:role/workflow`,
      definition: JSON.stringify({ StartAt: 'End', States: { End: { Type: 'Succeed' } } }),
    }),
  );
  return awsWorkflow(sfn, settingsOf({ CUTTLEFISH_STATE_MACHINE: stateMachineArn }), systemIds);
}

describe.skipIf(endpoint === undefined)('on moto (skipped without CUTTLEFISH_MOTO_URL)', () => {
  describeObjectStore('S3', async () => {
    const { s3, settings } = await newBucket();
    return awsObjects(s3, settings, systemClock);
  });
  describeDatasets('S3', async () => {
    const { bucket, s3, settings } = await newBucket();
    const objects = awsObjects(s3, settings, systemClock);
    return {
      datasets: awsDatasets(s3, settings),
      uri: (path) => `s3://${bucket}/${path}`,
      refused: 's3://someone-else/data/train.csv',
      put: async (path, body) => void (await objects.put(path, body, 'always')),
    };
  });
  // The emulator counts bytes by their base64, a third more than DynamoDB does; dynalite counts them as they are.
  const smallerItems = { largeItems: false };
  describeTable(
    'DynamoDB',
    async () => {
      const dynamo = new DynamoDBClient(client);
      const name = fresh();
      await dynamo.send(new CreateTableCommand({ TableName: name, ...tableSchema }));
      return awsTable(dynamo, () => name, systemIds);
    },
    smallerItems,
  );
  describeScaling('Auto Scaling', newScaling);

  describe('ECS: the task runner port', () => {
    it('launches, lists and stops the tasks of a run', async () => {
      const tasks = await newTasks();
      const { started, failures } = await tasks.launch(launchRequest({ kind: 'fargate' }));
      expect([started.length, failures]).toEqual([2, []]);
      const listed = await tasks.list(launchRequest().runId);
      expect(listed.map(({ taskId }) => taskId).sort()).toEqual([...started].sort());
      for (const task of listed) expect(task).toMatchObject({ runId: launchRequest().runId, role: 'worker' });
      expect(await tasks.list('nobody')).toEqual([]);
      await tasks.stop(started[0] ?? '', 'no longer needed');
      const [stopped] = (await tasks.list(launchRequest().runId)).filter(({ taskId }) => taskId === started[0]);
      expect(stopped).toMatchObject({ state: 'stopped', stop: { reason: 'no longer needed' } });
    });
  });

  describe('Step Functions: the workflow port', () => {
    it('starts a name once, describes it, and stops it', async () => {
      const workflow = await newWorkflow();
      const name = fresh();
      const first = await workflow.start(name, { config: 'x' });
      expect(first.kind).toBe('started');
      expect(await workflow.start(name, { config: 'x' })).toEqual({ ...first, kind: 'exists' });
      expect(await workflow.describe(first.executionArn)).toMatchObject({ status: 'RUNNING' });
      await workflow.stop(first.executionArn, 'enough');
      expect(await workflow.describe(first.executionArn)).toMatchObject({ status: 'ABORTED' });
      expect(await workflow.describe(`${first.executionArn}-other`)).toBeUndefined();
    });
  });
});
