/**
 * What the stack tells a function or a task through its environment: names of resources, never a secret.
 *
 * Invariants
 *  A1  A setting is demanded when it is used, not when the world is made: a task needs no cluster, a function needs no
 *      task id, and what is missing is named together with who should have set it.
 *  A2  The SDK clients are made from one place, with bounded waits: nothing in this folder can hang.
 */
import { CuttlefishError } from '../../core/failure.ts';
import type { LaunchKind, Role } from '../../core/plan.ts';
import type { Quotas } from '../../core/quotas.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface AwsSettings {
  readonly region: string | undefined;
  /** Account that must own the bucket; a bucket of that name in another account is refused. */
  readonly account: string | undefined;
  bucket(): string;
  table(): string;
  cluster(): string;
  stateMachineArn(): string;
  /** ARN with revision, so that a run keeps the task definition it was deployed with. */
  taskDefinition(role: Role): string;
  capacityProvider(kind: LaunchKind): string;
  scalingGroup(kind: LaunchKind): string;
  network(kind: LaunchKind): {
    readonly subnets: readonly string[];
    readonly securityGroups: readonly string[];
    readonly assignPublicIp: boolean;
  };
  /** Prefixes that training data may be read from: `s3://bucket/prefix/`. */
  dataPrefixes(): readonly string[];
  quotas(): Quotas;
}

export function readSettings(env: Environment): AwsSettings {
  const required = (name: string): string => {
    const value = env[name];
    if (value !== undefined && value !== '') return value;
    throw new CuttlefishError({
      kind: 'Unexpected',
      message: `${name} is not set: serverless.yml sets it for functions, infra/tasks.yml for tasks`,
    });
  };
  const list = (name: string): readonly string[] => splitList(env[name] ?? '');
  const bucket = () => required('CUTTLEFISH_BUCKET');
  const buckets = list('CUTTLEFISH_DATA_BUCKETS');
  const dataPrefixes = () => [`s3://${bucket()}/data/`, ...buckets.map((name) => `s3://${name}/`)];
  /** Empty or not set: no quota. */
  const quota = (name: string): number | undefined => {
    const text = env[name] ?? '';
    if (text === '') return undefined;
    const value = Number(text);
    if (Number.isFinite(value) && value > 0) return value;
    throw new CuttlefishError({ kind: 'Unexpected', message: `${name} is "${text}"; accepted: a number above 0` });
  };
  return {
    region: env.AWS_REGION ?? env.AWS_DEFAULT_REGION,
    account: env.CUTTLEFISH_ACCOUNT === '' ? undefined : env.CUTTLEFISH_ACCOUNT,
    bucket,
    table: () => required('CUTTLEFISH_TABLE'),
    cluster: () => required('CUTTLEFISH_CLUSTER'),
    stateMachineArn: () => required('CUTTLEFISH_STATE_MACHINE'),
    taskDefinition: (role) =>
      required(role === 'worker' ? 'CUTTLEFISH_TASK_WORKER' : 'CUTTLEFISH_TASK_PARAMETER_SERVER'),
    capacityProvider(kind) {
      switch (kind) {
        case 'fargate':
          return 'FARGATE';
        case 'fargate-spot':
          return 'FARGATE_SPOT';
        case 'ec2':
          return required('CUTTLEFISH_PROVIDER_EC2');
        case 'ec2-spot':
          return required('CUTTLEFISH_PROVIDER_EC2_SPOT');
        case 'local':
          throw notOnAws(kind);
      }
    },
    scalingGroup(kind) {
      switch (kind) {
        case 'ec2':
          return required('CUTTLEFISH_GROUP_EC2');
        case 'ec2-spot':
          return required('CUTTLEFISH_GROUP_EC2_SPOT');
        case 'fargate':
        case 'fargate-spot':
        case 'local':
          throw notOnAws(kind);
      }
    },
    network: (kind) => ({
      subnets: splitList(required('CUTTLEFISH_SUBNETS')),
      securityGroups: splitList(required('CUTTLEFISH_SECURITY_GROUPS')),
      // EC2 refuses a public address on a task's own network interface; there the instance pulls the image.
      assignPublicIp: env.CUTTLEFISH_PUBLIC_IP === 'true' && kind.startsWith('fargate'),
    }),
    dataPrefixes,
    quotas() {
      const maxTasks = quota('CUTTLEFISH_MAX_TASKS');
      const maxVcpus = quota('CUTTLEFISH_MAX_VCPU');
      const maxHours = quota('CUTTLEFISH_MAX_HOURS');
      const maxCostUsd = quota('CUTTLEFISH_MAX_COST_USD');
      const launch: LaunchKind[] = ['fargate', 'fargate-spot'];
      if ((env.CUTTLEFISH_GROUP_EC2 ?? '') !== '') launch.push('ec2');
      if ((env.CUTTLEFISH_GROUP_EC2_SPOT ?? '') !== '') launch.push('ec2-spot');
      return {
        ...(maxTasks === undefined ? {} : { maxTasks }),
        ...(maxVcpus === undefined ? {} : { maxVcpus }),
        ...(maxHours === undefined ? {} : { maxDurationMs: maxHours * 3_600_000 }),
        ...(maxCostUsd === undefined ? {} : { maxCostUsd }),
        launch,
        data: dataPrefixes(),
      };
    },
  };
}

/** The same bounds for every client; `endpoint` comes from AWS_ENDPOINT_URL, which the SDK reads by itself. */
export function clientOptions(settings: AwsSettings) {
  return {
    ...(settings.region === undefined ? {} : { region: settings.region }),
    maxAttempts: 5,
    retryMode: 'standard',
    requestHandler: { connectionTimeout: 3_000, socketTimeout: 60_000 },
  };
}

function splitList(text: string): readonly string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function notOnAws(kind: LaunchKind): CuttlefishError {
  return new CuttlefishError({
    kind: 'Unexpected',
    message: `launch "${kind}" has no such resource on AWS; accepted: ec2, ec2-spot`,
  });
}
