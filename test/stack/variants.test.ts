/** Every way in which the stack may be deployed packages offline, passes AWS's validator and breaks none of our rules. */
import { createRequire } from 'node:module';
import { afterAll, describe, expect, it } from 'vitest';
import { asList, at, type PackagedStack } from '../support/package-stack.ts';
import { findings } from '../support/stack-rules/index.ts';
import { packageVariant, suppressions, variants } from '../support/stack-variants.ts';
import { validateTemplate } from '../support/validate-template.ts';

const packaged = new Map<string, PackagedStack>();
afterAll(() => {
  for (const stack of packaged.values()) stack.remove();
});

/** Packaged once, when a test first asks for it. */
function stackOf(name: string): PackagedStack {
  const variant = variants[name];
  if (variant === undefined) throw new Error(`there is no variant "${name}"`);
  const stack = packaged.get(name) ?? packageVariant(variant);
  packaged.set(name, stack);
  return stack;
}

describe.each(Object.keys(variants))('a stack %s', (name) => {
  it('passes the validator', () => {
    expect(validateTemplate(stackOf(name).templatePath)).toEqual([]);
  });

  it('breaks none of our rules', () => {
    expect(findings(stackOf(name).template)).toEqual([]);
  });
});

describe('what a stage sets', () => {
  const everything = () => stackOf('with everything of yours').template;

  it('bounds every config, in the environment of the functions', () => {
    const { Parameters } = everything();
    const variables = at(everything().Resources.PlanLambdaFunction?.Properties, 'Environment', 'Variables');
    for (const [variable, parameter, value] of [
      ['CUTTLEFISH_MAX_TASKS', 'MaxTasks', 100],
      ['CUTTLEFISH_MAX_VCPU', 'MaxVcpu', 400],
      ['CUTTLEFISH_MAX_HOURS', 'MaxHours', 72],
      ['CUTTLEFISH_MAX_COST_USD', 'MaxCostUsd', 500],
    ] as const) {
      expect(at(variables, variable)).toEqual({ Ref: parameter });
      expect(Number(Parameters[parameter]?.Default)).toBe(value);
    }
    expect(at(variables, 'CUTTLEFISH_DATA_BUCKETS')).toBe('shared-data,other.data');
  });

  it('lets exactly the named buckets be read', () => {
    const statements = at(everything().Resources.DataPolicy?.Properties, 'PolicyDocument', 'Statement');
    expect(asList(at(statements, 0, 'Resource')).map((resource) => at(resource, 'Fn::Sub'))).toEqual([
      expect.stringMatching(/Bucket.Arn}\/data\/\*$/),
      expect.stringMatching(/:s3:::shared-data\/\*$/),
      expect.stringMatching(/:s3:::other.data\/\*$/),
    ]);
    expect(at(statements, 1, 'Resource')).toHaveLength(3);
  });

  it('chooses the types of the instances', () => {
    const { Resources } = stackOf('with Spot instances for ARM in your own network').template;
    expect(at(Resources.Ec2SpotGroup?.Properties, 'MixedInstancesPolicy', 'LaunchTemplate', 'Overrides')).toEqual([
      { InstanceType: 'm7g.2xlarge' },
      { InstanceType: 'm6g.2xlarge' },
    ]);
  });
});

describe('lists in params', () => {
  const lists = createRequire(import.meta.url)('../../tools/lists.cjs') as Record<
    string,
    (options: { resolveVariable: (name: string) => Promise<string> }) => Promise<unknown>
  >;

  it.each([
    ['instanceTypes', 'm7i.xlarge,m7i.2xlarge', /instance types of one size/],
    ['instanceTypes', '', /instance types of one size/],
    ['dataBuckets', 'arn:aws:s3:::x', /names of buckets/],
    ['dataObjects', 'shared/data', /names of buckets/],
  ])('%s refuses "%s"', async (name, value, message) => {
    await expect(lists[name]?.({ resolveVariable: async () => value })).rejects.toThrow(message);
  });
});

describe('what the checkers leave out', () => {
  it('is little, and each has its reason', () => {
    expect(suppressions.length).toBeLessThanOrEqual(6);
    for (const { reason } of suppressions) expect(reason.length).toBeGreaterThan(40);
  });
});
