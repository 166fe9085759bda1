/** What roles may do: no wildcard action, a wildcard resource only where the API knows no narrower one. */
import { asList, at, ofType, type Template } from '../package-stack.ts';

/** Statements that may name every resource, by Sid, and why no narrower one exists. */
export const wildcardResources: Readonly<Record<string, string>> = {
  Traces: 'X-Ray knows no resources',
  ListTasks: 'ListTasks is authorised on container instances; the condition holds it to our cluster',
  DescribeGroups: 'DescribeAutoScalingGroups knows no resources',
  AnswerTokens: 'SendTaskSuccess knows no resources and no conditions: the token is the permission',
  KeepTokens: 'SendTaskHeartbeat knows no resources and no conditions: the token is the permission',
  ImageLogin: 'GetAuthorizationToken knows no resources',
  LogDelivery: 'the log delivery APIs of Step Functions know no resources',
  FindEndpoint: 'DiscoverPollEndpoint knows no resources',
};

/** Those that RunTask hands to a task: what the task may do, by its role, and what ECS needs to start it. */
const passedRoles = ['ExecutionRole', 'ParameterServerTaskRole', 'WorkerTaskRole'];
/** Policies that may be attached to a role without asking for a larger quota. */
const mostPolicies = 10;

export interface Statement {
  readonly where: string;
  readonly body: unknown;
}

/** The branches of `!If [condition, a, b]`, whatever lies inside them; the value itself where it is no condition. */
export function branches(value: unknown): readonly unknown[] {
  const either = at(value, 'Fn::If');
  return Array.isArray(either) ? either.slice(1).flatMap(branches) : [value];
}

/** Every statement of a policy document, those under a condition too. */
export function statements(where: string, document: unknown): Statement[] {
  return asList(at(document, 'Statement'))
    .flatMap(branches)
    .filter((body) => at(body, 'Effect') !== undefined)
    .map((body) => ({ where, body }));
}

function identityStatements(template: Template): Statement[] {
  return [
    ...ofType(template, 'AWS::IAM::ManagedPolicy').flatMap(([id, { Properties }]) =>
      statements(id, Properties.PolicyDocument),
    ),
    ...ofType(template, 'AWS::IAM::Role').flatMap(([id, { Properties }]) =>
      asList(Properties.Policies).flatMap((policy) => statements(id, at(policy, 'PolicyDocument'))),
    ),
  ];
}

/** Logical ids of the policies of a role, those under a condition too. */
export function policiesOf(template: Template, role: string): unknown[] {
  return asList(template.Resources[role]?.Properties.ManagedPolicyArns)
    .flatMap(branches)
    .map((arn) => at(arn, 'Ref'))
    .filter((id) => id !== 'AWS::NoValue');
}

export function access(template: Template): string[] {
  const found: string[] = [];
  for (const { where, body } of identityStatements(template)) {
    if (at(body, 'Effect') !== 'Allow') continue;
    const actions = asList(at(body, 'Action')).map(String);
    const resources = asList(at(body, 'Resource')).flatMap(branches);
    if (at(body, 'NotAction') !== undefined || at(body, 'NotResource') !== undefined)
      found.push(`${where}: says what is not allowed`);
    for (const action of actions) if (action.includes('*')) found.push(`${where}: wildcard action ${action}`);
    if (resources.includes('*') && !(String(at(body, 'Sid')) in wildcardResources)) {
      found.push(`${where}: ${actions.join(', ')} on every resource`);
    }
    for (const resource of resources) {
      // arn:partition:service:region:account:name - a wildcard may only stand in the name.
      const arn = String(at(resource, 'Fn::Sub') ?? '');
      if (
        arn.startsWith('arn:') &&
        arn
          .replaceAll(/\$\{[^}]*\}/g, '')
          .split(':', 5)
          .join()
          .includes('*')
      )
        found.push(`${where}: ${arn} reaches beyond account and region`);
    }
    found.push(...dangerous(where, body, actions, resources));
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::IAM::Role')) {
    const policies = policiesOf(template, id);
    if (policies.includes(undefined)) found.push(`${id}: a policy that is not ours`);
    if (policies.length > mostPolicies) found.push(`${id}: more than ${mostPolicies} policies`);
    if (Properties.ManagedPolicyArns === undefined && Properties.Policies === undefined)
      found.push(`${id}: has no policy`);
  }
  return found;
}

/** Actions that hand power on. */
function dangerous(where: string, body: unknown, actions: readonly string[], resources: readonly unknown[]): string[] {
  const found: string[] = [];
  if (actions.includes('iam:PassRole')) {
    const roles = resources.map((resource) => at(resource, 'Fn::GetAtt', 0)).sort();
    if (JSON.stringify(roles) !== JSON.stringify(passedRoles))
      found.push(`${where}: passes other roles than the three of the tasks`);
    if (at(body, 'Condition', 'StringEquals', 'iam:PassedToService') !== 'ecs-tasks.amazonaws.com')
      found.push(`${where}: passes roles to any service`);
  }
  if (actions.includes('ecs:RunTask') && at(body, 'Condition', 'ArnEquals', 'ecs:cluster') === undefined)
    found.push(`${where}: runs tasks in any cluster`);
  if (actions.includes('ecs:TagResource') && at(body, 'Condition', 'StringEquals', 'ecs:CreateAction') !== 'RunTask')
    found.push(`${where}: tags what it did not start`);
  if (actions.some((action) => action.startsWith('kms:')) && !hasViaService(body))
    found.push(`${where}: uses the key by itself`);
  if (actions.includes('events:PutEvents') && at(body, 'Condition', 'StringEquals', 'events:source') === undefined)
    found.push(`${where}: speaks on the bus in any name`);
  return found;
}

const hasViaService = (body: unknown) => at(body, 'Condition', 'StringEquals', 'kms:ViaService') !== undefined;
