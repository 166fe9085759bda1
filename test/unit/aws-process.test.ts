import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { jsonLog } from '../../cloud/aws/basics.ts';
import { isThrottling, isTransient, readRefusal } from '../../cloud/aws/errors.ts';
import { embeddedMetrics } from '../../cloud/aws/metrics.ts';
import { readSettings } from '../../cloud/aws/settings.ts';
import { readTaskIdentity } from '../../cloud/aws/task-identity.ts';
import { createAwsCloud } from '../../cloud/aws/world.ts';

describe('readTaskIdentity()', () => {
  const metadata = {
    TaskARN: 'arn:aws:ecs:us-east-1:1:task/training/abc',
    Containers: [{ Name: 'task', Networks: [{ NetworkMode: 'awsvpc', IPv4Addresses: ['10.42.0.7'] }] }],
  };

  it('reads task and address, asking again while the endpoint is not ready', async () => {
    const paths: string[] = [];
    const server = createServer((request, response) => {
      paths.push(request.url ?? '');
      if (paths.length === 1) response.writeHead(500).end();
      else response.end(JSON.stringify(paths.length === 2 ? { TaskARN: metadata.TaskARN } : metadata));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v4/x`;
    try {
      expect(await readTaskIdentity({ ECS_CONTAINER_METADATA_URI_V4: uri }, fetch, 1)).toEqual({
        taskId: metadata.TaskARN,
        host: '10.42.0.7',
      });
      expect(paths).toEqual(['/v4/x/task', '/v4/x/task', '/v4/x/task']);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('says what is wrong outside ECS, and when the endpoint never answers', async () => {
    await expect(readTaskIdentity({})).rejects.toThrow(/ECS_CONTAINER_METADATA_URI_V4 is not set/);
    const refused = async () => {
      throw new Error('connection refused');
    };
    await expect(readTaskIdentity({ ECS_CONTAINER_METADATA_URI_V4: 'http://127.0.0.1:1' }, refused, 1)).rejects.toThrow(
      /cannot be used: connection refused/,
    );
  });
});

describe('jsonLog()', () => {
  it('writes one line an event, which no value can break', () => {
    const lines: string[] = [];
    const log = jsonLog({ CUTTLEFISH_RUN_ID: 'run-1' }, (line) => lines.push(line));
    log.write('info', 'task.stopped', { why: 'a\n{"level":"error"}\u001b[2J' });
    log.write('debug', 'task.lost');
    expect(lines).toHaveLength(1);
    expect(lines[0]?.includes('\n') || lines[0]?.includes(String.fromCharCode(27))).toBe(false);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'info', event: 'task.stopped', runId: 'run-1' });
  });

  it('writes metrics as lines that CloudWatch reads, with the run beside them and not as a dimension', () => {
    const lines: string[] = [];
    const metrics = embeddedMetrics({ CUTTLEFISH_STAGE: 'prod' }, { now: () => 1000 }, (line) => lines.push(line));
    metrics.put({ Loss: 0.25, SamplesPerSecond: 900 }, { runId: 'run-1', generation: 2, step: undefined });
    metrics.put({}, { runId: 'run-1' });
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      {
        _aws: {
          Timestamp: 1000,
          CloudWatchMetrics: [
            {
              Namespace: 'Cuttlefish',
              Dimensions: [['Stage']],
              Metrics: [
                { Name: 'Loss', Unit: 'None' },
                { Name: 'SamplesPerSecond', Unit: 'Count/Second' },
              ],
            },
          ],
        },
        Stage: 'prod',
        runId: 'run-1',
        generation: 2,
        Loss: 0.25,
        SamplesPerSecond: 900,
      },
    ]);
  });
});

describe('readSettings()', () => {
  it('names a missing setting and who sets it, when it is used and not before', () => {
    const settings = readSettings({});
    expect(() => settings.table()).toThrow(/CUTTLEFISH_TABLE is not set: serverless.yml .* infra\/tasks.yml/);
    expect(() => settings.capacityProvider('local')).toThrow(/"local".*accepted: ec2, ec2-spot/);
    expect(settings.capacityProvider('fargate')).toBe('FARGATE');
  });

  it('is not needed to make a world', () => {
    expect(createAwsCloud({ AWS_REGION: 'us-east-1' }).kind).toBe('aws');
  });
});

describe('readRefusal()', () => {
  it.each([
    [{ name: 'ThrottlingException', $metadata: { httpStatusCode: 400 } }, true, true],
    [{ name: 'InvalidParameterException', message: 'Rate exceeded', $metadata: { httpStatusCode: 400 } }, true, true],
    [{ name: 'InvalidParameterException', message: 'bad subnet', $metadata: { httpStatusCode: 400 } }, false, false],
    [{ name: 'ServerException', message: 'x', $metadata: { httpStatusCode: 500 } }, false, true],
    [{ name: 'ECONNRESET', message: 'socket hang up' }, false, true],
    [{ name: 'AccessDeniedException', message: 'no', $metadata: { httpStatusCode: 400 } }, false, false],
  ])('reads %j', (thrown, throttling, transient) => {
    expect(isThrottling(readRefusal(thrown))).toBe(throttling);
    expect(isTransient(readRefusal(thrown))).toBe(transient);
  });
});
