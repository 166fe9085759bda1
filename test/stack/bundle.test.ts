/**
 * The bundles that are deployed, run as Lambda runs them: loaded in a process of their own with the environment that the
 * template gives, the real SDK inside, and S3, DynamoDB and Step Functions behind addresses on this machine.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemIds } from '../../cloud/aws/basics.ts';
import { awsObjects } from '../../cloud/aws/objects.ts';
import { readSettings } from '../../cloud/aws/settings.ts';
import { awsTable } from '../../cloud/aws/table.ts';
import type { ObjectStore, Table } from '../../cloud/ports.ts';
import { systemClock } from '../../cloud/system-clock.ts';
import { type AwsStub, json, jsonError, startAwsStub, stubClient, stubEnvironment } from '../support/aws-stub.ts';
import { type DynaliteTable, startDynalite } from '../support/dynalite-table.ts';
import { root } from '../support/package-stack.ts';
import { type SmallS3, startSmallS3 } from '../support/small-s3.ts';

const run = promisify(execFile);
let dynamo: DynaliteTable;
let s3: SmallS3;
let stub: AwsStub;
let env: NodeJS.ProcessEnv;
let objects: ObjectStore;
let table: Table;

beforeAll(async () => {
  [dynamo, s3, stub] = await Promise.all([startDynalite(), startSmallS3(), startAwsStub()]);
  const name = await dynamo.makeNamed();
  const settings = { ...stubEnvironment, CUTTLEFISH_TABLE: name, CUTTLEFISH_WORLD: 'aws' };
  env = {
    ...settings,
    PATH: process.env.PATH,
    AWS_ACCESS_KEY_ID: 'stub',
    AWS_SECRET_ACCESS_KEY: 'stub',
    AWS_ENDPOINT_URL: stub.endpoint,
    AWS_ENDPOINT_URL_DYNAMODB: dynamo.endpoint,
    AWS_ENDPOINT_URL_S3: s3.endpoint,
  };
  objects = awsObjects(new S3Client(stubClient(s3.endpoint)), readSettings(settings), systemClock);
  table = awsTable(dynamo.client, () => name, systemIds);
});
afterAll(() => Promise.all([dynamo?.close(), s3?.close(), stub?.close()]));

type Outcome = { readonly output?: unknown; readonly error?: { readonly name: string; readonly message: string } };

/** What the Lambda runtime does with a bundle, and what it hands back: the output, or name and message of the error. */
async function invoke(name: string, event: unknown): Promise<Outcome> {
  const script = `
    const { handler } = await import(${JSON.stringify(join(root, 'dist/functions', name, 'index.mjs'))});
    const say = (outcome) => process.stderr.write('outcome ' + JSON.stringify(outcome) + '\\n');
    await handler(${JSON.stringify(event)}).then(
      (output) => say({ output }),
      (error) => say({ error: { name: error.name, message: error.message } }),
    );`;
  const { stderr } = await run(process.execPath, ['--input-type=module', '--eval', script], { env, timeout: 60_000 });
  const line = stderr.split('\n').find((each) => each.startsWith('outcome ')) ?? '';
  return JSON.parse(line.slice('outcome '.length)) as Outcome;
}

const digits = `version: 1
name: digits
data: { source: digits, samples: 2000 }
network: { layers: [{ dense: { units: 16, activation: relu } }, { dense: { units: 10, activation: softmax } }] }
training: { epochs: 1, batchSize: 64 }
cluster: { launch: fargate-spot, workers: 2 }
`;
const dropped = (key: string, version: string) => ({
  source: 'aws.s3',
  'detail-type': 'Object Created',
  detail: { version: '0', bucket: { name: 'runs-bucket' }, object: { key, size: 1, etag: 'e', 'version-id': version } },
});

async function drop(key: string, text: string): Promise<string> {
  const put = await objects.put(key, text, 'always');
  return put.kind === 'stored' ? put.version : '';
}

describe('the deployed bundles', () => {
  it('start one execution for a dropped config, and say so when it comes twice', async () => {
    const version = await drop('configs/digits.yaml', digits);
    stub.answer(
      (request) => json({ executionArn: `arn:execution:${request.input.name}`, startDate: 1 }),
      jsonError('ExecutionAlreadyExists', 'Execution Already Exists'),
    );
    const first = await invoke('start', dropped('configs/digits.yaml', version));
    expect(first.output).toMatchObject({ kind: 'started', runId: expect.stringMatching(/^digits-[0-9a-f]{12}$/) });
    const second = await invoke('start', dropped('configs/digits.yaml', version));
    expect(second.output).toMatchObject({ kind: 'exists' });
    expect(stub.requests.map(({ operation, input }) => [operation, input.name])).toEqual([
      ['StartExecution', stub.requests[0]?.input.name],
      ['StartExecution', stub.requests[0]?.input.name],
    ]);
  });

  it('write what is wrong with a config beside it', async () => {
    const version = await drop('configs/broken.yaml', 'version: 1\nname: broken\nnetwrok: {}\n');
    expect((await invoke('start', dropped('configs/broken.yaml', version))).output).toMatchObject({ kind: 'rejected' });
    const errors = await objects.get('configs/broken.yaml.errors.txt');
    expect(Buffer.from(errors?.body ?? []).toString()).toContain('netwrok');
  });

  it('validate, plan and launch a run over S3, DynamoDB and ECS', async () => {
    const version = await drop('configs/other.yaml', digits);
    const input = { configUri: 's3://runs-bucket/configs/other.yaml', version, runId: 'other-run', submission: 'ff' };
    const validated = await invoke('validate', { ...input, executionArn: 'arn:execution:other-run' });
    expect(validated).toEqual({ output: { runId: 'other-run', configKey: 'runs/other-run/config.yaml' } });
    const planned = await invoke('plan', { runId: 'other-run' });
    expect(planned.error).toBeUndefined();
    expect(planned.output).toMatchObject({ runId: 'other-run', usesScaling: false });
    expect((await table.get('other-run', 'run'))?.value).toMatchObject({ phase: 'planned' });
    expect(await objects.list('runs/other-run/')).toEqual(['runs/other-run/config.yaml', 'runs/other-run/plan.json']);

    stub.requests.length = 0;
    const arns = [1, 2].map((n) => `arn:aws:ecs:us-east-1:111122223333:task/training/${n}`);
    stub.answer(json({ tasks: arns.map((taskArn) => ({ taskArn })), failures: [] }));
    expect((await invoke('launch', { runId: 'other-run' })).output).toMatchObject({ launched: 2, missing: 0 });
    expect(stub.requests.map(({ operation, input }) => [operation, input.count, input.startedBy])).toEqual([
      ['RunTask', 2, 'other-run'],
    ]);
    expect((await table.query('other-run', 'task/')).map(({ key }) => key)).toEqual(arns.map((arn) => `task/${arn}`));
  });

  it('fail under the name that the workflow catches', async () => {
    const { error } = await invoke('validate', { config: 'version: 1\n', runId: 'bad' });
    expect(error?.name).toBe('ConfigInvalid');
    expect((await invoke('decide', { runId: 'nobody', turn: 0, beat: -1, silent: false })).error?.name).toBe(
      'Unexpected',
    );
  });
});
