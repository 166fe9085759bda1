/** The template that `serverless package` makes offline, checked by a validator, by our own rules, and against the sources. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RegoEngine, TemplateFile } from '@aws/cloudformation-validate';
import aslValidator from 'asl-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { containerName } from '../../cloud/aws/tasks.ts';
import { asList, at, ofType, type PackagedStack, packageStack, root, type Template } from '../support/package-stack.ts';
import { mutations } from '../support/stack-mutations.ts';
import { findings, wildcardResources } from '../support/stack-rules.ts';

const functions = [
  ...['validate', 'plan', 'scale', 'launch', 'watch', 'decide', 'finish', 'fail', 'release'],
  ...['start', 'onTaskEvent', 'onExecutionEvent', 'sweep', 'control'],
];
const pascal = (name: string) => `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

let stack: PackagedStack;
let template: Template;
beforeAll(() => {
  stack = packageStack();
  template = stack.template;
}, 120_000);
afterAll(() => stack?.remove());

describe('the template', () => {
  const validate = (parameterOverrides: Record<string, string>) => {
    const engine = new RegoEngine();
    try {
      const { diagnostics } = engine.validateStandard(new TemplateFile(stack.templatePath), {
        severityLevel: 'WARN',
        parameterOverrides,
        exclude: {
          ids: [
            // The framework lists a function's role under DependsOn as well; harmless, and not ours to leave out.
            'W3005',
            // The validator follows the empty default of VpcId into the branch that is taken only when it is not empty.
            ...(parameterOverrides.VpcId === undefined ? ['E1151'] : []),
          ],
        },
      });
      return diagnostics.map(({ ruleId, entity, message }) => `${ruleId} ${JSON.stringify(entity)}: ${message}`);
    } finally {
      engine.free();
    }
  };

  it('passes the validator with the network of the stack', () => {
    expect(validate({})).toEqual([]);
  });

  it('passes the validator with a network, an image and a data bucket of the user', () => {
    expect(
      validate({
        VpcId: 'vpc-0123456789abcdef0',
        SubnetIds: 'subnet-0123456789abcdef0,subnet-0123456789abcdef1',
        TaskImage: '111122223333.dkr.ecr.us-east-1.amazonaws.com/training:v1',
        DataBucket: 'shared-data',
        Ec2MaxInstances: '4',
      }),
    ).toEqual([]);
  });

  it('breaks none of our rules', () => {
    expect(findings(template)).toEqual([]);
  });

  it('gives every exception of the rules a use', () => {
    for (const sid of Object.keys(wildcardResources)) expect(JSON.stringify(template), sid).toContain(`"Sid":"${sid}"`);
  });
});

describe('the functions', () => {
  it('are all there, each with its own package, role and log', () => {
    expect(
      ofType(template, 'AWS::Lambda::Function')
        .map(([id]) => id)
        .sort(),
    ).toEqual(functions.map((name) => `${pascal(name)}LambdaFunction`).sort());
    for (const name of functions) {
      const { Properties } = template.Resources[`${pascal(name)}LambdaFunction`] ?? { Properties: {} };
      expect(Properties).toMatchObject({
        Handler: `dist/functions/${kebab(name)}/index.handler`,
        Runtime: 'nodejs24.x',
        Architectures: ['arm64'],
        Role: { 'Fn::GetAtt': [`${pascal(name)}Role`, 'Arn'] },
      });
      expect(template.Resources[`${pascal(name)}LogGroup`]?.Properties.RetentionInDays).toBe(30);
      expect(existsSync(join(stack.folder, 'package', `${name}.zip`)), name).toBe(true);
    }
  });

  it('have a source each', () => {
    for (const name of functions) expect(existsSync(join(root, 'functions', `${kebab(name)}.ts`)), name).toBe(true);
  });
});

describe('the workflow', () => {
  const source = () => parse(readFileSync(join(root, 'statemachines/train.asl.yaml'), 'utf8')) as unknown;
  const machine = () => template.Resources.TrainWorkflow?.Properties ?? {};

  it('is the file that the laptop runs', () => {
    // As text, with every null in it: the framework drops nulls from objects.
    expect(JSON.parse(String(machine().DefinitionString))).toEqual(source());
  });

  it('gives each function a little less time than its state', () => {
    const states = Object.values(at(source(), 'States') as object);
    const seen = new Set<string>();
    for (const state of states) {
      const placeholder = /\$\{(\w+)FunctionArn\}/.exec(String(at(state, 'Arguments', 'FunctionName')))?.[1];
      const limit = at(state, 'TimeoutSeconds');
      if (placeholder === undefined || typeof limit !== 'number') continue;
      seen.add(placeholder);
      const timeout = Number(template.Resources[`${placeholder}LambdaFunction`]?.Properties.Timeout);
      expect(timeout, placeholder).toBeLessThan(limit);
      expect(timeout, placeholder).toBeGreaterThanOrEqual(limit * 0.9);
    }
    // Watch has the timeout of a turn, which is not that of the function.
    expect(seen.size).toBe(8);
  });

  it('passes asl-validator', () => {
    const { isValid, errorsText } = aslValidator(source());
    expect(isValid, errorsText('\n')).toBe(true);
  });

  it('has a function for every placeholder of the definition, and no other', () => {
    const wanted = new Set([...JSON.stringify(source()).matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name));
    const substitutions = machine().DefinitionSubstitutions as Record<string, unknown>;
    expect(Object.keys(substitutions).sort()).toEqual([...wanted].sort());
    const invoked = identityResources('WorkflowRole', 'lambda:InvokeFunction').map((arn) => at(arn, 'Fn::GetAtt', 0));
    for (const [name, arn] of Object.entries(substitutions)) {
      const id = name.replace('FunctionArn', 'LambdaFunction');
      expect(arn).toEqual({ 'Fn::GetAtt': [id, 'Arn'] });
      expect(invoked).toContain(id);
    }
    expect(invoked).toHaveLength(wanted.size);
  });

  it('is a Standard machine that is traced and logged without inputs and results', () => {
    expect(machine()).toMatchObject({
      StateMachineType: 'STANDARD',
      LoggingConfiguration: { Level: 'ALL', IncludeExecutionData: false },
      TracingConfiguration: { Enabled: true },
    });
  });
});

function identityResources(role: string, action: string): readonly unknown[] {
  return asList(at(template.Resources[role], 'Properties', 'Policies'))
    .flatMap((policy) => asList(at(policy, 'PolicyDocument', 'Statement')))
    .filter((statement) => asList(at(statement, 'Action')).includes(action))
    .flatMap((statement) => asList(at(statement, 'Resource')));
}

describe('the events', () => {
  const rule = (id: string) => template.Resources[id]?.Properties ?? {};

  it('start a run for a config in the bucket, which sends its events', () => {
    expect(at(template.Resources.Bucket, 'Properties', 'NotificationConfiguration')).toEqual({
      EventBridgeConfiguration: { EventBridgeEnabled: true },
    });
    expect(rule('ConfigDropped').EventPattern).toEqual({
      source: ['aws.s3'],
      'detail-type': ['Object Created'],
      detail: {
        bucket: { name: [{ Ref: 'Bucket' }] },
        object: { key: [{ wildcard: 'configs/*.yaml' }, { wildcard: 'configs/*.yml' }] },
      },
    });
  });

  it.each([
    ['ConfigDropped', 'StartLambdaFunction'],
    ['TaskChanged', 'OnTaskEventLambdaFunction'],
    ['ExecutionEnded', 'OnExecutionEventLambdaFunction'],
    ['SweepSchedule', 'SweepLambdaFunction'],
  ])('%s calls %s, which lets it', (id, target) => {
    expect(asList(rule(id).Targets).map((each) => at(each, 'Arn'))).toEqual([{ 'Fn::GetAtt': [target, 'Arn'] }]);
    const permission = ofType(template, 'AWS::Lambda::Permission').find(
      ([, { Properties }]) => at(Properties.SourceArn, 'Fn::GetAtt', 0) === id,
    );
    expect(permission?.[1].Properties.FunctionName).toEqual({ Ref: target });
  });

  it('are held to our cluster and our machine', () => {
    expect(at(rule('TaskChanged').EventPattern, 'detail', 'clusterArn')).toEqual([
      { 'Fn::GetAtt': ['Cluster', 'Arn'] },
    ]);
    expect(at(rule('ExecutionEnded').EventPattern, 'detail')).toEqual({
      stateMachineArn: [{ Ref: 'TrainWorkflow' }],
      status: ['FAILED', 'TIMED_OUT', 'ABORTED'],
    });
  });
});

describe('the cluster', () => {
  it('has Fargate, Fargate Spot and both Auto Scaling groups to run on', () => {
    expect(at(template.Resources.ClusterCapacity, 'Properties', 'CapacityProviders')).toEqual([
      'FARGATE',
      'FARGATE_SPOT',
      { Ref: 'Ec2CapacityProvider' },
      { Ref: 'Ec2SpotCapacityProvider' },
    ]);
    for (const [, { Properties }] of ofType(template, 'AWS::ECS::CapacityProvider')) {
      expect(Properties).toMatchObject({
        AutoScalingGroupProvider: { ManagedScaling: { Status: 'ENABLED' }, ManagedTerminationProtection: 'ENABLED' },
      });
    }
  });

  it('leaves the desired capacity to ECS, and the floor to the control plane when the stack is updated', () => {
    const groups = ofType(template, 'AWS::AutoScaling::AutoScalingGroup');
    expect(groups).toHaveLength(2);
    for (const [, group] of groups) {
      expect(group.Properties).not.toHaveProperty('DesiredCapacity');
      expect(group.Properties).toMatchObject({ MinSize: '0', NewInstancesProtectedFromScaleIn: true });
      expect(group).toHaveProperty('UpdatePolicy.AutoScalingScheduledAction.IgnoreUnmodifiedGroupSizeProperties', true);
    }
  });

  it('has a task definition for each role, for Fargate and EC2, that launch knows how to override', () => {
    expect(ofType(template, 'AWS::ECS::TaskDefinition').map(([id]) => id)).toEqual([
      'WorkerTask',
      'ParameterServerTask',
    ]);
    for (const [, { Properties }] of ofType(template, 'AWS::ECS::TaskDefinition')) {
      expect(Properties.RequiresCompatibilities).toEqual(['FARGATE', 'EC2']);
      expect(asList(Properties.ContainerDefinitions).map((each) => at(each, 'Name'))).toEqual([containerName]);
    }
  });
});

describe('the settings of the world', () => {
  /** Every variable that cloud/aws/settings.ts reads, by what it asks of the environment. */
  const read = [...readFileSync(join(root, 'cloud/aws/settings.ts'), 'utf8').matchAll(/CUTTLEFISH_[A-Z0-9_]+/g)].map(
    ([name]) => name,
  );

  it('are all given to the functions', () => {
    const given = Object.keys(
      at(template.Resources.StartLambdaFunction, 'Properties', 'Environment', 'Variables') as object,
    );
    for (const name of new Set(read)) expect(given).toContain(name);
  });

  it('are given to the tasks as far as tasks use them', () => {
    for (const id of ['WorkerTask', 'ParameterServerTask']) {
      const environment = at(template.Resources[id], 'Properties', 'ContainerDefinitions', 0, 'Environment');
      expect(asList(environment).map((each) => at(each, 'Name'))).toEqual([
        'CUTTLEFISH_WORLD',
        'CUTTLEFISH_TABLE',
        'CUTTLEFISH_BUCKET',
        'CUTTLEFISH_ACCOUNT',
        'CUTTLEFISH_DATA',
      ]);
    }
  });

  it('name a table with the keys that the adapter writes', () => {
    expect(at(template.Resources.Table, 'Properties', 'KeySchema')).toEqual([
      { AttributeName: 'pk', KeyType: 'HASH' },
      { AttributeName: 'sk', KeyType: 'RANGE' },
    ]);
  });
});

describe('the rules trip over', () => {
  it.each(mutations)('%s', (_, change, message) => {
    const copy = structuredClone(template);
    change(copy.Resources as never);
    expect(findings(copy).join('\n')).toMatch(message);
  });
});
