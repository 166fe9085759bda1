/** Who may take a role or send to a resource: named services of this account, over TLS. */
import { asList, at, ofType, type Template } from '../package-stack.ts';

const services = ['lambda', 'states', 'ecs-tasks', 'ec2'].map((name) => `${name}.amazonaws.com`);
const resourcePolicies = ['AWS::S3::BucketPolicy', 'AWS::SQS::QueuePolicy', 'AWS::SNS::TopicPolicy'];

export function trust(template: Template): string[] {
  const found: string[] = [];
  for (const [id, { Properties }] of ofType(template, 'AWS::IAM::Role')) {
    for (const statement of asList(at(Properties.AssumeRolePolicyDocument, 'Statement'))) {
      const service = at(statement, 'Principal', 'Service');
      if (!services.some((name) => service === name))
        found.push(`${id}: may be assumed by ${JSON.stringify(at(statement, 'Principal'))}`);
      const bound = at(statement, 'Condition', 'StringEquals', 'aws:SourceAccount') !== undefined;
      if (/^(states|ecs-tasks)\./.test(String(service)) && !bound)
        found.push(`${id}: may be assumed for other accounts`);
    }
  }
  for (const [id, { Properties }] of ofType(template, 'AWS::Lambda::Permission')) {
    if (Properties.SourceArn === undefined || Properties.SourceAccount === undefined)
      found.push(`${id}: not bound to its source`);
  }
  for (const type of resourcePolicies) {
    for (const [id, { Properties }] of ofType(template, type)) {
      const statements = asList(at(Properties.PolicyDocument, 'Statement'));
      const denies = statements.some(
        (statement) =>
          at(statement, 'Effect') === 'Deny' &&
          String(at(statement, 'Condition', 'Bool', 'aws:SecureTransport')) === 'false',
      );
      if (!denies) found.push(`${id}: allows plain HTTP`);
      for (const statement of statements) {
        if (at(statement, 'Effect') === 'Deny') continue;
        const everyone = at(statement, 'Principal') === '*' || at(statement, 'Principal', 'AWS') === '*';
        if (everyone) found.push(`${id}: allows everyone`);
        else if (at(statement, 'Condition', 'StringEquals', 'aws:SourceAccount') === undefined)
          found.push(`${id}: allows a service in the name of other accounts`);
      }
    }
  }
  return found;
}
