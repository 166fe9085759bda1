/** One careless edit of the template each, and the finding that must follow: a rule that never trips proves nothing. */
import { at } from './package-stack.ts';

/** A copy of the template, to be spoiled. */
type Draft = Record<string, { Properties: Record<string, unknown>; DeletionPolicy?: string; Type?: string }>;
type Mutation = readonly [what: string, change: (resources: Draft) => unknown, finding: RegExp];

const inside = (draft: Draft, id: string, ...path: (string | number)[]) =>
  at(draft[id]?.Properties, ...path) as Record<string, unknown>;
const list = (draft: Draft, id: string, ...path: (string | number)[]) =>
  inside(draft, id, ...path) as unknown as unknown[];
const statement = (draft: Draft, id: string, n: number) => inside(draft, id, 'PolicyDocument', 'Statement', n);
const container = (draft: Draft) => inside(draft, 'WorkerTask', 'ContainerDefinitions', 0);
const instances = (draft: Draft, ...path: (string | number)[]) =>
  inside(draft, 'LaunchTemplate', 'LaunchTemplateData', ...path);

/** Changes one state of the definition, which lies in the template as text. */
function state(draft: Draft, name: string, change: (state: Record<string, unknown>) => unknown) {
  const machine = draft.TrainWorkflow?.Properties ?? {};
  const definition = JSON.parse(String(machine.DefinitionString)) as {
    States: Record<string, Record<string, unknown>>;
  };
  change(definition.States[name] ?? {});
  machine.DefinitionString = JSON.stringify(definition);
}

const accessMutations: readonly Mutation[] = [
  [
    'PassRole on every role',
    (d) => Object.assign(statement(d, 'LaunchPolicy', 2), { Resource: '*' }),
    /LaunchPolicy: passes other roles/,
  ],
  [
    'PassRole to any service',
    (d) => delete statement(d, 'LaunchPolicy', 2).Condition,
    /LaunchPolicy: passes roles to any service/,
  ],
  [
    'RunTask in any cluster',
    (d) => delete statement(d, 'LaunchPolicy', 0).Condition,
    /LaunchPolicy: runs tasks in any cluster/,
  ],
  [
    'tags on any task',
    (d) => delete statement(d, 'LaunchPolicy', 1).Condition,
    /LaunchPolicy: tags what it did not start/,
  ],
  [
    'a wildcard action',
    (d) => Object.assign(statement(d, 'TablePolicy', 0), { Action: ['dynamodb:*'] }),
    /TablePolicy: wildcard action/,
  ],
  [
    'a wildcard resource',
    (d) => Object.assign(statement(d, 'TablePolicy', 0), { Resource: '*' }),
    /TablePolicy: .* on every resource/,
  ],
  [
    'every account',
    (d) => Object.assign(statement(d, 'TablePolicy', 0), { Resource: { 'Fn::Sub': 'arn:aws:dynamodb:*:*:table/x' } }),
    /reaches beyond account and region/,
  ],
  [
    'everything but',
    (d) => Object.assign(statement(d, 'TablePolicy', 0), { NotAction: ['dynamodb:DeleteTable'] }),
    /TablePolicy: says what is not allowed/,
  ],
  [
    "AWS's own policy",
    (d) => list(d, 'WatchRole', 'ManagedPolicyArns').push('arn:aws:iam::aws:policy/AdministratorAccess'),
    /WatchRole: a policy that is not ours/,
  ],
  [
    'a key without its services',
    (d) => delete statement(d, 'TaskPolicy', 0).Condition,
    /TaskPolicy: uses the key by itself/,
  ],
  [
    'a role for any service',
    (d) =>
      Object.assign(inside(d, 'WatchRole', 'AssumeRolePolicyDocument', 'Statement', 0), { Principal: { AWS: '*' } }),
    /WatchRole: may be assumed by/,
  ],
  [
    'a role for other accounts',
    (d) => delete inside(d, 'WorkflowRole', 'AssumeRolePolicyDocument', 'Statement', 0).Condition,
    /WorkflowRole: may be assumed for other accounts/,
  ],
  ['an unbound permission', (d) => delete d.StartPermission?.Properties.SourceAccount, /StartPermission: not bound/],
  [
    'a queue for everyone',
    (d) => Object.assign(statement(d, 'UndeliveredQueuePolicy', 0), { Principal: '*' }),
    /UndeliveredQueuePolicy: allows everyone/,
  ],
  [
    'a topic for other accounts',
    (d) => delete statement(d, 'AlarmTopicPolicy', 0).Condition,
    /AlarmTopicPolicy: allows a service in the name of other accounts/,
  ],
  [
    'a shared role',
    (d) => Object.assign(d.PlanLambdaFunction?.Properties ?? {}, { Role: d.ValidateLambdaFunction?.Properties.Role }),
    /LambdaFunction: shares its role/,
  ],
];

const storageMutations: readonly Mutation[] = [
  [
    'a public bucket',
    (d) => delete d.Bucket?.Properties.PublicAccessBlockConfiguration,
    /Bucket: BlockPublicAcls is off/,
  ],
  ['a bucket without its policy', (d) => delete d.BucketPolicy, /Bucket: no bucket policy/],
  [
    'plain HTTP',
    (d) => list(d, 'BucketPolicy', 'PolicyDocument', 'Statement').shift(),
    /BucketPolicy: allows plain HTTP/,
  ],
  ['an unversioned bucket', (d) => delete d.Bucket?.Properties.VersioningConfiguration, /Bucket: not versioned/],
  ['an unencrypted bucket', (d) => delete d.Bucket?.Properties.BucketEncryption, /Bucket: not encrypted/],
  ['ACLs', (d) => delete d.Bucket?.Properties.OwnershipControls, /Bucket: ACLs are on/],
  [
    'a table without recovery',
    (d) => delete d.Table?.Properties.PointInTimeRecoverySpecification,
    /Table: no point-in-time recovery/,
  ],
  [
    'a table that anyone may delete',
    (d) => Object.assign(d.Table?.Properties ?? {}, { DeletionProtectionEnabled: false }),
    /Table: not protected/,
  ],
  ['a log without end', (d) => delete d.WorkerLogs?.Properties.RetentionInDays, /WorkerLogs: keeps logs for ever/],
  [
    'a log without the key',
    (d) => delete d.StartLogGroup?.Properties.KmsKeyId,
    /StartLogGroup: does not take the customer's key/,
  ],
  [
    'an unencrypted queue',
    (d) => delete d.UndeliveredQueue?.Properties.SqsManagedSseEnabled,
    /UndeliveredQueue: not encrypted/,
  ],
  [
    'moving tags',
    (d) => Object.assign(d.ImageRepository?.Properties ?? {}, { ImageTagMutability: 'MUTABLE' }),
    /ImageRepository: a tag may change/,
  ],
  [
    'data that goes with the stack',
    (d) => Object.assign(d.Bucket ?? {}, { DeletionPolicy: 'Delete' }),
    /Bucket: is not kept/,
  ],
  [
    'a queue that stays',
    (d) => Object.assign(d.UndeliveredQueue ?? {}, { DeletionPolicy: 'Retain' }),
    /UndeliveredQueue: stays/,
  ],
  [
    'a NAT gateway',
    (d) => Object.assign(d, { Nat: { Type: 'AWS::EC2::NatGateway', Properties: {} } }),
    /Nat: costs when idle/,
  ],
];

const computeMutations: readonly Mutation[] = [
  [
    'a writable container',
    (d) => Object.assign(container(d), { ReadonlyRootFilesystem: false }),
    /WorkerTask: ReadonlyRootFilesystem/,
  ],
  ['a container as root', (d) => delete container(d).User, /WorkerTask: User/],
  ['a privileged container', (d) => Object.assign(container(d), { Privileged: true }), /WorkerTask: Privileged/],
  [
    'a container with a capability',
    (d) => Object.assign(container(d).LinuxParameters as object, { Capabilities: { Add: ['SYS_ADMIN'] } }),
    /WorkerTask: LinuxParameters.Capabilities/,
  ],
  [
    'a plain secret',
    (d) => (container(d).Environment as unknown[]).push({ Name: 'CUTTLEFISH_WIRE_SECRET', Value: 'hunter2' }),
    /WorkerTask: CUTTLEFISH_WIRE_SECRET looks like a secret/,
  ],
  [
    "the host's processes",
    (d) => Object.assign(d.WorkerTask?.Properties ?? {}, { PidMode: 'host' }),
    /WorkerTask: shares PidMode/,
  ],
  ['an image by its tag', (d) => Object.assign(container(d), { Image: 'training:latest' }), /WorkerTask: Image/],
  [
    'IMDSv1',
    (d) => Object.assign(instances(d, 'MetadataOptions'), { HttpTokens: 'optional' }),
    /LaunchTemplate: answers IMDSv1/,
  ],
  [
    'credentials a hop further',
    (d) => Object.assign(instances(d, 'MetadataOptions'), { HttpPutResponseHopLimit: 2 }),
    /LaunchTemplate: instance credentials reach containers/,
  ],
  [
    'an unencrypted volume',
    (d) => Object.assign(instances(d, 'BlockDeviceMappings', 0, 'Ebs'), { Encrypted: false }),
    /LaunchTemplate: a disk is not encrypted/,
  ],
  [
    'an open port',
    (d) => Object.assign(d.TaskIngress?.Properties ?? {}, { CidrIp: '0.0.0.0/0' }),
    /TaskIngress: open to addresses/,
  ],
  [
    'every port',
    (d) => Object.assign(d.TaskIngress?.Properties ?? {}, { ToPort: 65535 }),
    /TaskIngress: a rule for more than one port/,
  ],
  [
    'a rule without a dead letter queue',
    (d) => delete inside(d, 'ConfigDropped', 'Targets', 0).DeadLetterConfig,
    /ConfigDropped: .* is lost/,
  ],
  ['a function whose failures vanish', (d) => delete d.StartFailures, /StartPermission: .* is lost/],
  ['a function without traces', (d) => delete d.PlanLambdaFunction?.Properties.TracingConfig, /not traced/],
];

const workflowMutations: readonly Mutation[] = [
  [
    'a missing timeout',
    (d) => state(d, 'Launch', (each) => delete each.TimeoutSeconds),
    /TrainWorkflow.Launch: has no timeout/,
  ],
  [
    'a missing heartbeat',
    (d) => state(d, 'Watch', (each) => delete each.HeartbeatSeconds),
    /TrainWorkflow.Watch: waits without a heartbeat/,
  ],
  [
    'a wrong error name',
    (d) => state(d, 'Plan', (each) => Object.assign(each, { Retry: [{ ErrorEquals: ['Ecs.ServerException'] }] })),
    /TrainWorkflow.Plan: nobody throws Ecs.ServerException/,
  ],
  ['no Retry', (d) => state(d, 'Scale', (each) => delete each.Retry), /TrainWorkflow.Scale: gives up/],
  ['no Catch', (d) => state(d, 'Decide', (each) => delete each.Catch), /TrainWorkflow.Decide: lets errors escape/],
  [
    'a log with task tokens',
    (d) => Object.assign(inside(d, 'TrainWorkflow', 'LoggingConfiguration'), { IncludeExecutionData: true }),
    /TrainWorkflow: logs task tokens/,
  ],
  [
    'an alarm on a metric that nobody emits',
    (d) => Object.assign(d.OrphanAlarm?.Properties ?? {}, { MetricName: 'Orphans' }),
    /OrphanAlarm: nobody emits Orphans/,
  ],
  ['an alarm for nobody', (d) => delete d.RunFailedAlarm?.Properties.AlarmActions, /RunFailedAlarm: rings for nobody/],
  [
    'a dashboard with a slip of the pen',
    (d) => {
      const body = inside(d, 'Dashboard', 'DashboardBody');
      body['Fn::Sub'] = String(body['Fn::Sub']).replace('"Cuttlefish", "Loss"', '"Cuttlefish", "Lost"');
    },
    /Dashboard: nobody emits Lost/,
  ],
];

export const mutations: readonly Mutation[] = [
  ...accessMutations,
  ...storageMutations,
  ...computeMutations,
  ...workflowMutations,
];
