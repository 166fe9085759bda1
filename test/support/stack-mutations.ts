/** One careless edit of the template each, and the finding that must follow: a rule that never trips proves nothing. */
import { at } from './package-stack.ts';

type Resources = Record<string, { Properties: Record<string, never> }>;

const statement = (resources: Resources, id: string, n: number) =>
  at(resources[id]?.Properties, 'PolicyDocument', 'Statement', n) as Record<string, unknown>;
const asArray = (value: unknown) => value as unknown[];

export const mutations: readonly (readonly [string, (resources: Resources) => unknown, RegExp])[] = [
  [
    'a public bucket',
    (r) => delete r.Bucket?.Properties.PublicAccessBlockConfiguration,
    /Bucket: BlockPublicAcls is off/,
  ],
  ['a bucket without its policy', (r) => delete r.BucketPolicy, /Bucket: no bucket policy/],
  [
    'plain HTTP',
    (r) => void asArray(at(r.BucketPolicy?.Properties, 'PolicyDocument', 'Statement')).shift(),
    /BucketPolicy: allows plain HTTP/,
  ],
  [
    'PassRole on every role',
    (r) => Object.assign(statement(r, 'LaunchPolicy', 2), { Resource: '*' }),
    /LaunchPolicy: passes other roles/,
  ],
  [
    'PassRole to any service',
    (r) => delete statement(r, 'LaunchPolicy', 2).Condition,
    /LaunchPolicy: passes roles to any service/,
  ],
  [
    'a wildcard action',
    (r) => Object.assign(statement(r, 'TablePolicy', 0), { Action: ['dynamodb:*'] }),
    /TablePolicy: wildcard action/,
  ],
  [
    'a wildcard resource',
    (r) => Object.assign(statement(r, 'TablePolicy', 0), { Resource: '*' }),
    /TablePolicy: .* on every resource/,
  ],
  [
    'a writable container',
    (r) =>
      Object.assign(at(r.WorkerTask?.Properties, 'ContainerDefinitions', 0) as object, {
        ReadonlyRootFilesystem: false,
      }),
    /WorkerTask: ReadonlyRootFilesystem/,
  ],
  [
    'a container as root',
    (r) => delete (at(r.WorkerTask?.Properties, 'ContainerDefinitions', 0) as { User?: string }).User,
    /WorkerTask: User/,
  ],
  [
    'IMDSv1',
    (r) =>
      Object.assign(at(r.LaunchTemplate?.Properties, 'LaunchTemplateData', 'MetadataOptions') as object, {
        HttpTokens: 'optional',
      }),
    /answers IMDSv1/,
  ],
  [
    'an open port',
    (r) => Object.assign(r.TaskIngress?.Properties ?? {}, { CidrIp: '0.0.0.0/0' }),
    /TaskIngress: open to addresses/,
  ],
  ['a log without end', (r) => delete r.WorkerLogs?.Properties.RetentionInDays, /WorkerLogs: keeps logs for ever/],
  [
    'a rule without a dead letter queue',
    (r) => delete (at(r.ConfigDropped?.Properties, 'Targets', 0) as { DeadLetterConfig?: unknown }).DeadLetterConfig,
    /ConfigDropped: .* is lost/,
  ],
  ['an unbound permission', (r) => delete r.StartPermission?.Properties.SourceAccount, /StartPermission: not bound/],
  [
    'a shared role',
    (r) => Object.assign(r.PlanLambdaFunction?.Properties ?? {}, { Role: r.ValidateLambdaFunction?.Properties.Role }),
    /LambdaFunction: shares its role/,
  ],
];
