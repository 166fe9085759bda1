/** The template that `serverless package` makes offline, compared with the sources; and the rules, each shown to trip. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import aslValidator from 'asl-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { wirePort } from '../../cloud/aws/task-identity.ts';
import { containerName } from '../../cloud/aws/tasks.ts';
import { functionNames } from '../../functions/registry.ts';
import { asList, at, ofType, type PackagedStack, packageStack, root, type Template } from '../support/package-stack.ts';
import { mutations } from '../support/stack-mutations.ts';
import { wildcardResources } from '../support/stack-rules/access.ts';
import { findings } from '../support/stack-rules/index.ts';

const functions = functionNames.map((name) => name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()));
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
        Role: { 'Fn::Sub': `\${${pascal(name)}Role.Arn}` },
      });
      expect(template.Resources).toHaveProperty(`${pascal(name)}LogGroup`);
      expect(existsSync(join(stack.folder, 'package', `${name}.zip`)), name).toBe(true);
    }
  });

  it('are small enough to start fast', () => {
    for (const name of functions) {
      expect([name, statSync(join(stack.folder, 'package', `${name}.zip`)).size <= 300_000]).toEqual([name, true]);
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
      { 'Fn::If': ['UsesOnDemand', { Ref: 'Ec2CapacityProvider' }, { Ref: 'AWS::NoValue' }] },
      { 'Fn::If': ['UsesSpot', { Ref: 'Ec2SpotCapacityProvider' }, { Ref: 'AWS::NoValue' }] },
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
        'CUTTLEFISH_STAGE',
        'CUTTLEFISH_TABLE',
        'CUTTLEFISH_BUCKET',
        'CUTTLEFISH_ACCOUNT',
        'CUTTLEFISH_DATA_BUCKETS',
      ]);
    }
  });

  it('open the port that tasks listen on, between them', () => {
    for (const id of ['TaskIngress', 'TaskEgress']) {
      expect(template.Resources[id]?.Properties).toMatchObject({ FromPort: wirePort, ToPort: wirePort });
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
