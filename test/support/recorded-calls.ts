/**
 * Which IAM actions each method of a port needs: every method of the AWS adapters is called, down each of its paths, with
 * SDK clients that note the command and answer without a network.
 */
import { AutoScalingClient } from '@aws-sdk/client-auto-scaling';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { ECSClient } from '@aws-sdk/client-ecs';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { S3Client } from '@aws-sdk/client-s3';
import { SFNClient } from '@aws-sdk/client-sfn';
import { systemIds } from '../../cloud/aws/basics.ts';
import { awsDatasets } from '../../cloud/aws/datasets.ts';
import { awsNotices } from '../../cloud/aws/notices.ts';
import { awsObjects } from '../../cloud/aws/objects.ts';
import { awsScaling } from '../../cloud/aws/scaling.ts';
import { readSettings } from '../../cloud/aws/settings.ts';
import { awsTable } from '../../cloud/aws/table.ts';
import { awsTasks } from '../../cloud/aws/tasks.ts';
import { awsWorkflow } from '../../cloud/aws/workflow.ts';
import type { Cloud } from '../../cloud/ports.ts';
import { stubEnvironment } from './aws-stub.ts';

/** Commands whose action has another name, or that need more than their own. */
const actionsOf: Readonly<Record<string, readonly string[]>> = {
  ListObjectsV2: ['s3:ListBucket'],
  // Without ListBucket an object that is not there is "forbidden" instead.
  GetObject: ['s3:GetObject', 's3:ListBucket'],
  'GetObject of a version': ['s3:GetObjectVersion', 's3:ListBucket'],
  // It tags the tasks and hands them their roles.
  RunTask: ['ecs:RunTask', 'ecs:TagResource', 'iam:PassRole'],
};
const services: Readonly<Record<string, string>> = {
  AutoScalingClient: 'autoscaling',
  DynamoDBClient: 'dynamodb',
  ECSClient: 'ecs',
  EventBridgeClient: 'events',
  S3Client: 's3',
  SFNClient: 'states',
};

/** A refusal after a second attempt, so that the adapter must find out what became of its first. */
const refused = (name: string) => Object.assign(new Error(name), { name, $metadata: { attempts: 2 } });

/** What a command is answered; nothing is a good answer for most. */
const answers: Readonly<Record<string, (input: Record<string, unknown>) => unknown>> = {
  PutObject: ({ IfNoneMatch }) => {
    if (IfNoneMatch !== undefined) throw refused('PreconditionFailed');
    return {};
  },
  UpdateItem: () => {
    throw refused('ConditionalCheckFailedException');
  },
  ListTasks: () => ({ taskArns: ['arn:aws:ecs:us-east-1:111122223333:task/training/1'] }),
  DescribeAutoScalingGroups: () => ({ AutoScalingGroups: [{ AutoScalingGroupName: 'group', MinSize: 0, MaxSize: 4 }] }),
};

interface Recorder {
  readonly commands: Set<string>;
  readonly actions: Set<string>;
}

/** Notes what the client sends, and answers it. */
function watch<C extends { middlewareStack: { add(middleware: never, options: never): void } }>(
  client: C,
  { commands, actions }: Recorder,
): C {
  const middleware =
    (_next: unknown, { clientName = '', commandName = '' }: { clientName?: string; commandName?: string }) =>
    async ({ input }: { input: Record<string, unknown> }) => {
      const command = commandName.replace(/Command$/, '');
      const call = command === 'GetObject' && input.VersionId !== undefined ? 'GetObject of a version' : command;
      commands.add(command);
      for (const action of actionsOf[call] ?? [`${services[clientName]}:${command}`]) actions.add(action);
      return { output: { $metadata: {}, ...((answers[command]?.(input) as object) ?? {}) }, response: {} };
    };
  client.middlewareStack.add(middleware as never, { step: 'initialize' } as never);
  return client;
}

type Ports = Pick<Cloud, 'objects' | 'table' | 'tasks' | 'scaling' | 'workflow' | 'datasets' | 'notices'>;

function watchedCloud(recorder: Recorder): Ports {
  const settings = readSettings(stubEnvironment);
  const clock = { sleep: async () => undefined };
  const options = { region: 'us-east-1', credentials: { accessKeyId: 'stub', secretAccessKey: 'stub' } };
  const s3 = watch(new S3Client(options), recorder);
  return {
    objects: awsObjects(s3, settings, clock),
    datasets: awsDatasets(s3, settings),
    notices: awsNotices(watch(new EventBridgeClient(options), recorder), clock, { write: () => undefined }),
    table: awsTable(watch(new DynamoDBClient(options), recorder), settings.table, systemIds),
    tasks: awsTasks(watch(new ECSClient(options), recorder), settings, clock),
    scaling: awsScaling(watch(new AutoScalingClient(options), recorder), settings),
    workflow: awsWorkflow(watch(new SFNClient(options), recorder), settings, systemIds),
  };
}

const data = 's3://runs-bucket/data/x';
const request = { runId: 'run', role: 'worker', count: 1, clientToken: 't', kind: 'fargate', cpu: 256, memoryMiB: 512 };

/** Every method of a port, down each path that sends something. */
export const calls: Readonly<Record<string, (cloud: Ports) => Promise<unknown>>> = {
  'objects.get': ({ objects }) => objects.get('k'),
  'objects.getVersion': ({ objects }) => objects.getVersion('k', 'v'),
  'objects.put': ({ objects }) => Promise.all([objects.put('k', '', 'always'), objects.put('k', '', { absent: true })]),
  'objects.list': ({ objects }) => objects.list(''),
  'objects.delete': ({ objects }) => objects.delete('k'),
  'table.get': ({ table }) => table.get('p', 'k'),
  'table.put': ({ table }) => table.put('p', 'k', {}, { absent: true }),
  'table.delete': ({ table }) => table.delete('p', 'k', 1),
  'table.query': ({ table }) => table.query('p', ''),
  'tasks.launch': ({ tasks }) => tasks.launch(request as Parameters<typeof tasks.launch>[0]),
  'tasks.stop': ({ tasks }) => tasks.stop('task', 'why'),
  'tasks.list': ({ tasks }) => tasks.list('run'),
  'tasks.listLive': ({ tasks }) => tasks.listLive(),
  'scaling.setFloor': ({ scaling }) => scaling.setFloor('ec2', 1),
  'scaling.describe': ({ scaling }) => scaling.describe('ec2'),
  'workflow.start': ({ workflow }) => workflow.start('name', {}),
  'workflow.stop': ({ workflow }) => workflow.stop('arn', 'why'),
  'workflow.describe': ({ workflow }) => workflow.describe('arn'),
  'workflow.succeedTask': ({ workflow }) => workflow.succeedTask('token', {}),
  'workflow.heartbeatTask': ({ workflow }) => workflow.heartbeatTask('token'),
  'datasets.read': ({ datasets }) => datasets.read(data),
  'notices.publish': ({ notices }) => notices.publish('cuttlefish.run.started', {}),
  'datasets.list': ({ datasets }) => datasets.list(data),
};

export interface RecordedCalls {
  /** IAM actions by method, `table.get` and so on. */
  readonly actions: ReadonlyMap<string, ReadonlySet<string>>;
  /** Every SDK command that was sent. */
  readonly commands: ReadonlySet<string>;
}

export async function recordCalls(): Promise<RecordedCalls> {
  const commands = new Set<string>();
  const actions = new Map<string, Set<string>>();
  for (const [method, call] of Object.entries(calls)) {
    const recorder = { commands, actions: new Set<string>() };
    await call(watchedCloud(recorder));
    actions.set(method, recorder.actions);
  }
  return { actions, commands };
}
