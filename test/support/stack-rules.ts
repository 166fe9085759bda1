/**
 * What we demand of the template beyond what a validator checks. Each rule answers its findings as sentences; a template
 * without findings is a good one. The rules follow the published checkers (cfn-nag, checkov, cdk-nag, Security Hub);
 * where we decided otherwise, the exception is in a list here with its reason.
 */
import { asList, at, ofType, type Template } from './package-stack.ts';

/** Statements that may name every resource, by Sid, and why no narrower one exists. */
export const wildcardResources: Readonly<Record<string, string>> = {
  Traces: 'X-Ray knows no resources',
  ListTasks: 'ListTasks is authorised on container instances; the condition holds it to our cluster',
  DescribeGroups: 'DescribeAutoScalingGroups knows no resources',
  AnswerTokens: 'SendTask* knows no resources and no conditions: the token is the permission',
  ImageLogin: 'GetAuthorizationToken knows no resources',
  LogDelivery: 'the log delivery APIs of Step Functions know no resources',
  FindEndpoint: 'DiscoverPollEndpoint knows no resources',
};

const stateful = ['AWS::S3::Bucket', 'AWS::DynamoDB::Table', 'AWS::SQS::Queue', 'AWS::ECR::Repository'];
const passedRoles = ['ExecutionRole', 'ParameterServerTaskRole', 'WorkerTaskRole'];
/** Made by the framework for the packages; it cannot be given what ours have, but it blocks public access and plain HTTP. */
const deploymentBucket = 'ServerlessDeploymentBucket';

interface Statement {
  readonly where: string;
  readonly body: unknown;
}

function identityStatements(template: Template): Statement[] {
  const found: Statement[] = [];
  const add = (where: string, document: unknown) => {
    // A statement may be conditional: `!If [condition, statement, nothing]`.
    for (const body of asList(at(document, 'Statement'))) {
      const branches = asList(at(body, 'Fn::If'));
      for (const branch of branches.length === 0 ? [body] : branches.slice(1)) {
        if (at(branch, 'Effect') !== undefined) found.push({ where, body: branch });
      }
    }
  };
  for (const [id, { Properties }] of ofType(template, 'AWS::IAM::ManagedPolicy')) add(id, Properties.PolicyDocument);
  for (const [id, { Properties }] of ofType(template, 'AWS::IAM::Role')) {
    for (const policy of asList(Properties.Policies)) add(id, at(policy, 'PolicyDocument'));
  }
  return found;
}

export function findings(template: Template): string[] {
  return [...access(template), ...trust(template), ...storage(template), ...network(template), ...compute(template)];
}

function access(template: Template): string[] {
  const found: string[] = [];
  for (const { where, body } of identityStatements(template)) {
    if (at(body, 'Effect') !== 'Allow') continue;
    const actions = asList(at(body, 'Action')).map(String);
    const resources = asList(at(body, 'Resource'));
    if (at(body, 'NotAction') !== undefined || at(body, 'NotResource') !== undefined)
      found.push(`${where}: says what is not allowed`);
    for (const action of actions) if (action.includes('*')) found.push(`${where}: wildcard action ${action}`);
    if (resources.includes('*') && !(String(at(body, 'Sid')) in wildcardResources)) {
      found.push(`${where}: ${actions.join(', ')} on every resource`);
    }
    if (actions.includes('iam:PassRole')) {
      const roles = resources.map((resource) => at(resource, 'Fn::GetAtt', 0)).sort();
      if (JSON.stringify(roles) !== JSON.stringify(passedRoles))
        found.push(`${where}: passes other roles than the three of the tasks`);
      if (at(body, 'Condition', 'StringEquals', 'iam:PassedToService') !== 'ecs-tasks.amazonaws.com') {
        found.push(`${where}: passes roles to any service`);
      }
    }
    if (actions.includes('ecs:RunTask') && at(body, 'Condition', 'ArnEquals', 'ecs:cluster') === undefined) {
      found.push(`${where}: runs tasks in any cluster`);
    }
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::IAM::Role')) {
    for (const arn of asList(Properties.ManagedPolicyArns)) {
      if (at(arn, 'Ref') === undefined) found.push(`${id}: a policy that is not ours`);
    }
  }
  return found;
}

function trust(template: Template): string[] {
  const found: string[] = [];
  for (const [id, { Properties }] of ofType(template, 'AWS::IAM::Role')) {
    for (const statement of asList(at(Properties.AssumeRolePolicyDocument, 'Statement'))) {
      const service = at(statement, 'Principal', 'Service');
      if (!['lambda', 'states', 'ecs-tasks', 'ec2'].some((name) => service === `${name}.amazonaws.com`)) {
        found.push(`${id}: may be assumed by ${JSON.stringify(at(statement, 'Principal'))}`);
      }
      const bound = at(statement, 'Condition', 'StringEquals', 'aws:SourceAccount') !== undefined;
      if (/^(states|ecs-tasks)\./.test(String(service)) && !bound)
        found.push(`${id}: may be assumed for other accounts`);
    }
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::Lambda::Permission')) {
    if (Properties.SourceArn === undefined || Properties.SourceAccount === undefined)
      found.push(`${id}: not bound to its source`);
  }
  for (const type of ['AWS::S3::BucketPolicy', 'AWS::SQS::QueuePolicy']) {
    for (const [id, { Properties }] of ofType(template, type)) {
      const statements = asList(at(Properties.PolicyDocument, 'Statement'));
      const denies = statements.some(
        (statement) =>
          at(statement, 'Effect') === 'Deny' &&
          String(at(statement, 'Condition', 'Bool', 'aws:SecureTransport')) === 'false',
      );
      if (!denies) found.push(`${id}: allows plain HTTP`);
      for (const statement of statements) {
        const everyone = at(statement, 'Principal') === '*' || at(statement, 'Principal', 'AWS') === '*';
        if (everyone && at(statement, 'Effect') !== 'Deny') found.push(`${id}: allows everyone`);
      }
    }
  }
  return found;
}

function storage(template: Template): string[] {
  const found: string[] = [];
  for (const [id, { Properties }] of ofType(template, 'AWS::S3::Bucket')) {
    const block = Properties.PublicAccessBlockConfiguration;
    for (const setting of ['BlockPublicAcls', 'BlockPublicPolicy', 'IgnorePublicAcls', 'RestrictPublicBuckets']) {
      if (at(block, setting) !== true) found.push(`${id}: ${setting} is off`);
    }
    if (Properties.BucketEncryption === undefined) found.push(`${id}: not encrypted`);
    if (!ofType(template, 'AWS::S3::BucketPolicy').some(([, policy]) => at(policy.Properties.Bucket, 'Ref') === id)) {
      found.push(`${id}: no bucket policy`);
    }
    if (id === deploymentBucket) continue;
    if (at(Properties.VersioningConfiguration, 'Status') !== 'Enabled') found.push(`${id}: not versioned`);
    if (at(Properties.OwnershipControls, 'Rules', 0, 'ObjectOwnership') !== 'BucketOwnerEnforced')
      found.push(`${id}: ACLs are on`);
    const rules = asList(at(Properties.LifecycleConfiguration, 'Rules'));
    if (!rules.some((rule) => at(rule, 'AbortIncompleteMultipartUpload') !== undefined))
      found.push(`${id}: keeps abandoned uploads`);
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::DynamoDB::Table')) {
    if (at(Properties.PointInTimeRecoverySpecification, 'PointInTimeRecoveryEnabled') !== true)
      found.push(`${id}: no point-in-time recovery`);
    if (at(Properties.SSESpecification, 'SSEEnabled') !== true) found.push(`${id}: not encrypted with a key of KMS`);
    if (Properties.BillingMode !== 'PAY_PER_REQUEST') found.push(`${id}: costs when idle`);
    if (Properties.TimeToLiveSpecification !== undefined) found.push(`${id}: rows may vanish by TTL`);
  }
  for (const type of stateful) {
    for (const [id, resource] of ofType(template, type)) {
      if (
        id !== deploymentBucket &&
        (resource.DeletionPolicy === undefined || resource.UpdateReplacePolicy === undefined)
      ) {
        found.push(`${id}: does not say what happens to it when the stack goes`);
      }
    }
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::Logs::LogGroup')) {
    if (typeof Properties.RetentionInDays !== 'number') found.push(`${id}: keeps logs for ever`);
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::SQS::Queue')) {
    if (Properties.SqsManagedSseEnabled !== true) found.push(`${id}: not encrypted`);
  }
  return found;
}

function network(template: Template): string[] {
  const found: string[] = [];
  const check = (where: string, rule: unknown, inbound: boolean) => {
    if (at(rule, 'Description') === undefined) found.push(`${where}: a rule without a description`);
    if (String(at(rule, 'IpProtocol')) !== 'tcp') found.push(`${where}: a rule for any protocol`);
    if (inbound && (at(rule, 'CidrIp') !== undefined || at(rule, 'CidrIpv6') !== undefined))
      found.push(`${where}: open to addresses`);
  };
  for (const [id, { Properties }] of ofType(template, 'AWS::EC2::SecurityGroup')) {
    for (const rule of asList(Properties.SecurityGroupIngress)) check(id, rule, true);
    for (const rule of asList(Properties.SecurityGroupEgress)) check(id, rule, false);
    if (asList(Properties.SecurityGroupEgress).length === 0) found.push(`${id}: reaches everything`);
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::EC2::SecurityGroupIngress')) check(id, Properties, true);
  for (const [id, { Properties }] of ofType(template, 'AWS::EC2::LaunchTemplate')) {
    const data = Properties.LaunchTemplateData;
    if (at(data, 'MetadataOptions', 'HttpTokens') !== 'required') found.push(`${id}: answers IMDSv1`);
    if (at(data, 'MetadataOptions', 'HttpPutResponseHopLimit') !== 1)
      found.push(`${id}: instance credentials reach containers`);
    for (const disk of asList(at(data, 'BlockDeviceMappings'))) {
      if (at(disk, 'Ebs', 'Encrypted') !== true) found.push(`${id}: a disk is not encrypted`);
    }
  }
  return found;
}

const secretName = /SECRET|PASSWORD|TOKEN|CREDENTIAL|PRIVATE/i;

function compute(template: Template): string[] {
  const found: string[] = [];
  const roles = new Set<unknown>();
  for (const [id, { Properties }] of ofType(template, 'AWS::Lambda::Function')) {
    const role = at(Properties.Role, 'Fn::GetAtt', 0);
    if (roles.has(role)) found.push(`${id}: shares its role`);
    roles.add(role);
    if (at(Properties.TracingConfig, 'Mode') !== 'Active') found.push(`${id}: not traced`);
    for (const name of Object.keys((at(Properties, 'Environment', 'Variables') ?? {}) as object)) {
      if (secretName.test(name)) found.push(`${id}: ${name} looks like a secret`);
    }
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::ECS::TaskDefinition')) {
    if (Properties.NetworkMode !== 'awsvpc') found.push(`${id}: not in its own network namespace`);
    if (JSON.stringify(Properties.TaskRoleArn) === JSON.stringify(Properties.ExecutionRoleArn))
      found.push(`${id}: task and execution share a role`);
    for (const container of asList(Properties.ContainerDefinitions)) {
      const demand = (path: readonly (string | number)[], wanted: unknown) => {
        if (JSON.stringify(at(container, ...path)) !== JSON.stringify(wanted)) {
          found.push(`${id}: ${path.join('.')} is not ${JSON.stringify(wanted)}`);
        }
      };
      demand(['ReadonlyRootFilesystem'], true);
      demand(['Privileged'], false);
      demand(['User'], '1000:1000');
      demand(['LinuxParameters', 'Capabilities', 'Drop'], ['ALL']);
      demand(['LinuxParameters', 'InitProcessEnabled'], true);
      demand(['StopTimeout'], 120);
      demand(['LogConfiguration', 'LogDriver'], 'awslogs');
      for (const variable of asList(at(container, 'Environment'))) {
        if (secretName.test(String(at(variable, 'Name'))))
          found.push(`${id}: ${at(variable, 'Name')} looks like a secret`);
      }
    }
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::Events::Rule')) {
    for (const target of asList(Properties.Targets)) {
      // A schedule comes again by itself; an event does not.
      const lost = Properties.EventPattern !== undefined && at(target, 'DeadLetterConfig', 'Arn') === undefined;
      if (lost) found.push(`${id}: an event that cannot be delivered is lost`);
    }
  }
  return found;
}
