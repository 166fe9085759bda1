/** What a stage allows bounds every config: what asks for more is refused with its line, what asks for nothing is bounded. */
import { describe, expect, test } from 'vitest';
import { readSettings } from '../../cloud/aws/settings.ts';
import { parseConfig } from '../../core/config/parse.ts';
import { makePlan } from '../../core/planning.ts';
import { type Quotas, within } from '../../core/quotas.ts';
import { functions } from '../../functions/registry.ts';
import { stubEnvironment } from '../support/aws-stub.ts';
import { createMemoryWorld } from '../support/memory-world.ts';
import { objectCreated } from '../support/workflow-harness.ts';

const quotas: Quotas = {
  maxTasks: 4,
  maxVcpus: 8,
  maxDurationMs: 2 * 3_600_000,
  maxCostUsd: 5,
  launch: ['fargate', 'fargate-spot'],
  data: ['s3://own/data/', 's3://shared/'],
};
const text = (more = '', data = '{ source: digits }'): string => `version: 1
name: bounded
data: ${data}
network: { layers: [{ dense: { units: 10, activation: softmax } }] }
${more}`;
const check = (more: string, data?: string) => within(parseConfig(text(more, data), 'a.yaml'), quotas, 'a.yaml');
const shape = { inputShape: [28, 28, 1], outputs: 10, task: 'classification', trainSamples: 320 } as const;
const planOf = (more: string, bounds = quotas) => {
  const parsed = within(parseConfig(text(more), 'a.yaml'), bounds, 'a.yaml');
  if (parsed.kind === 'invalid') throw new Error(JSON.stringify(parsed.issues));
  const { config, positions } = parsed;
  const facts = { runId: 'r', configDigest: 'd', world: 'aws', quotas: bounds, positions } as const;
  return makePlan(config, { ...facts, shape: { ...shape, validationSamples: 0, testSamples: 40 } });
};

describe('a config that asks for more than the stage allows', () => {
  test.each([
    [
      'cluster: { launch: fargate, workers: 5 }',
      '5:38 cluster.workers: "5" workers and parameter servers are more than',
    ],
    ['cluster: { launch: fargate, workers: 3, parameterServers: 2 }', 'at most 4 together'],
    [
      'limits: { maxDuration: 3h }',
      '5:24 limits.maxDuration: "3h" is longer than this stage allows; accepted: at most 2h',
    ],
    ['limits: { maxCostUsd: 6 }', '5:23 limits.maxCostUsd: "6" is more than this stage allows; accepted: at most 5'],
    ['cluster: { launch: ec2 }', 'cluster.launch: "ec2" is other capacity'],
  ])('%s', (more, said) => {
    const parsed = check(more);
    const issues = parsed.kind === 'invalid' ? parsed.issues : [];
    const lines = issues.map((i) => `${i.line}:${i.column} ${i.path}: ${i.message}; accepted: ${i.accepted}`);
    expect(lines.join('\n')).toContain(said);
  });

  test.each(['s3://other/mnist/', 's3://own/runs/somebody-else/', 's3://own/data-evil/x', 's3://sharedx/a'])(
    'names data in another place: %s',
    (path) => {
      expect(check('', `{ source: mnist, path: "${path}" }`)).toMatchObject({
        kind: 'invalid',
        issues: [{ path: 'data.path', line: 3, accepted: 'under s3://own/data/ or s3://shared/' }],
      });
    },
  );

  test('names a model in another place', () => {
    const model = text().replace(/network: .*/, 'network: { model: "s3://other/model.json" }');
    expect(within(parseConfig(model, 'a'), quotas, 'a')).toMatchObject({
      issues: [{ path: 'network.model', line: 4 }],
    });
  });

  test('hears of everything at once', () => {
    const parsed = check('cluster: { launch: ec2, workers: 8 }\nlimits: { maxDuration: 9h, maxCostUsd: 9 }');
    expect(parsed).toMatchObject({ kind: 'invalid', issues: { length: 4 } });
  });

  test('needs more vCPU than are allowed', () => {
    expect(planOf('cluster: { launch: fargate, workers: 4, worker: { cpu: 4096 } }')).toMatchObject({
      kind: 'invalid',
      issues: [
        { path: 'cluster.workers', message: expect.stringContaining('16 vCPU together'), accepted: /at most 8/ },
      ],
    });
  });
});

test('what a config leaves open is bounded, not refused', () => {
  expect(planOf('cluster: { launch: fargate }')).toMatchObject({
    kind: 'planned',
    plan: { limits: { maxDurationMs: 2 * 3_600_000, maxCostUsd: 5 } },
  });
  expect(planOf('cluster: { launch: fargate }\nlimits: { maxDuration: 1h, maxCostUsd: 2 }')).toMatchObject({
    plan: { limits: { maxDurationMs: 3_600_000, maxCostUsd: 2 } },
  });
});

test('what follows by itself stays within too: the ladder, and larger sizes for what ran out of memory', () => {
  const spotOnly: Quotas = { ...quotas, launch: ['ec2-spot'] };
  expect(planOf('cluster: { launch: ec2-spot }', spotOnly)).toMatchObject({
    plan: { cluster: { ladder: ['ec2-spot'] } },
  });
  const large = 'cluster: { launch: fargate, workers: 4, worker: { cpu: 2048, memoryMiB: 8192 } }';
  expect(planOf(large)).toMatchObject({
    plan: { cluster: { worker: { growth: [{ cpu: 2048, memoryMiB: 16384 }] } } },
  });
});

test.each(['image: evil', 'role: admin', 'command: [sh]', 'taskDefinition: x', 'subnets: [a]', 'environment: {A: b}'])(
  'no config can say %s',
  (field) => {
    for (const more of [field, `cluster: { ${field} }`, `cluster: { worker: { ${field} } }`]) {
      expect(check(more).kind, more).toBe('invalid');
    }
  },
);

test('a file in the bucket that asks for too much starts nothing, and finds why beside it', async () => {
  const world = createMemoryWorld({ kind: 'aws', quotas });
  const put = await world.objects.put('configs/big.yaml', text('cluster: { launch: fargate, workers: 8 }'), 'always');
  const event = objectCreated('configs/big.yaml', put.kind === 'stored' ? put.version : '');
  expect(await functions.start(event, world)).toEqual({ kind: 'rejected' });
  const told = await world.objects.get('configs/big.yaml.errors.txt');
  expect(new TextDecoder().decode(told?.body)).toMatch(/5:38 cluster\.workers: "8".*at most 4 together/);
  expect(world.controls.executions.size).toBe(0);
});

test('the environment of the stack says the quotas', () => {
  const limits = {
    CUTTLEFISH_MAX_TASKS: '16',
    CUTTLEFISH_MAX_VCPU: '64',
    CUTTLEFISH_MAX_HOURS: '0.5',
    CUTTLEFISH_MAX_COST_USD: '',
  };
  expect(readSettings({ ...stubEnvironment, ...limits, CUTTLEFISH_GROUP_EC2_SPOT: '' }).quotas()).toEqual({
    maxTasks: 16,
    maxVcpus: 64,
    maxDurationMs: 1_800_000,
    launch: ['fargate', 'fargate-spot', 'ec2'],
    data: ['s3://runs-bucket/data/', 's3://shared-data/'],
  });
  expect(() => readSettings({ ...stubEnvironment, CUTTLEFISH_MAX_TASKS: 'many' }).quotas()).toThrow(
    /MAX_TASKS is "many"/,
  );
});
