import { createHash } from 'node:crypto';
import { S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { allowedObject, awsDatasets } from '../../cloud/aws/datasets.ts';
import { awsObjects } from '../../cloud/aws/objects.ts';
import { readSettings } from '../../cloud/aws/settings.ts';
import { systemClock } from '../../cloud/system-clock.ts';
import { type AwsStub, s3Error, startAwsStub, stubClient, stubEnvironment } from '../support/aws-stub.ts';

let stub: AwsStub;
const settings = readSettings(stubEnvironment);
const slept: number[] = [];
const clock = { ...systemClock, sleep: async (ms: number) => void slept.push(ms) };
const objects = (maxAttempts = 1) => awsObjects(new S3Client(stubClient(stub.endpoint, maxAttempts)), settings, clock);
const datasets = () => awsDatasets(new S3Client(stubClient(stub.endpoint)), settings);
const stored = (version: string) => ({ headers: { 'x-amz-version-id': version, etag: '"e"' } });
const listing = (keys: readonly string[], next?: string, folders: readonly string[] = []) => ({
  headers: { 'content-type': 'application/xml' },
  body: `<?xml version="1.0"?><ListBucketResult><IsTruncated>${next !== undefined}</IsTruncated>${
    next === undefined ? '' : `<NextContinuationToken>${next}</NextContinuationToken>`
  }${keys.map((key) => `<Contents><Key>${key}</Key></Contents>`).join('')}${folders
    .map((prefix) => `<CommonPrefixes><Prefix>${prefix}</Prefix></CommonPrefixes>`)
    .join('')}</ListBucketResult>`,
});

beforeAll(async () => {
  stub = await startAwsStub();
});
beforeEach(() => {
  stub.requests.length = 0;
  slept.length = 0;
});
afterAll(() => stub.close());

describe('the object store on S3', () => {
  it('puts a whole body with a checksum, for the account that must own the bucket', async () => {
    stub.answer(stored('v1'));
    expect(await objects().put('runs/a/result.json', '{"é":1}', 'always')).toEqual({ kind: 'stored', version: 'v1' });
    const [request] = stub.requests;
    expect(request).toMatchObject({ method: 'PUT', path: '/runs-bucket/runs/a/result.json' });
    expect(request?.body.toString()).toBe('{"é":1}');
    expect(request?.headers).toMatchObject({
      'content-type': 'application/json',
      'x-amz-expected-bucket-owner': '111122223333',
    });
    expect(request?.headers['x-amz-checksum-crc32']).toBeDefined();
    expect(request?.headers).not.toHaveProperty('if-none-match');
  });

  it('sends the digest that the caller has, so that S3 checks it, and takes no checksum of its own', async () => {
    stub.answer(stored('v1'));
    const digest = createHash('sha256').update('abc').digest();
    await objects().put('k', 'abc', 'always', digest.toString('hex'));
    expect(stub.requests[0]?.headers['x-amz-checksum-sha256']).toBe(digest.toString('base64'));
    expect(stub.requests[0]?.headers).not.toHaveProperty('x-amz-checksum-crc32');
  });

  it('puts an absent object with If-None-Match, and takes 412 for a conflict', async () => {
    stub.answer(stored('v1'), s3Error(412, 'PreconditionFailed'));
    expect((await objects().put('k', 'a', { absent: true })).kind).toBe('stored');
    expect(stub.requests[0]?.headers['if-none-match']).toBe('*');
    expect(await objects().put('k', 'b', { absent: true })).toEqual({ kind: 'conflict' });
  });

  it('asks again after 409, a bounded number of times', async () => {
    stub.answer(s3Error(409, 'ConditionalRequestConflict'), stored('v2'));
    expect(await objects().put('k', 'a', { absent: true })).toEqual({ kind: 'stored', version: 'v2' });
    expect(slept).toHaveLength(1);
    stub.answer(...Array.from({ length: 6 }, () => s3Error(409, 'ConditionalRequestConflict')));
    await expect(objects().put('k', 'a', { absent: true })).rejects.toThrow(/object k.*ConditionalRequestConflict/);
  });

  it('knows its own earlier win when the answer to a put was lost', async () => {
    stub.answer({ drop: true }, s3Error(412, 'PreconditionFailed'), { ...stored('v1'), body: 'mine' });
    expect(await objects(2).put('k', 'mine', { absent: true })).toEqual({ kind: 'stored', version: 'v1' });
    stub.answer({ drop: true }, s3Error(412, 'PreconditionFailed'), { ...stored('v1'), body: 'theirs' });
    expect(await objects(2).put('k', 'mine', { absent: true })).toEqual({ kind: 'conflict' });
  });

  it('gets a body and its version; what is not there is undefined, what is refused is an error', async () => {
    stub.answer(
      { ...stored('v3'), body: new Uint8Array([0, 255]) },
      s3Error(404, 'NoSuchKey'),
      s3Error(403, 'AccessDenied'),
    );
    expect(await objects().get('k')).toEqual({ body: new Uint8Array([0, 255]), version: 'v3' });
    expect(await objects().get('k')).toBeUndefined();
    await expect(objects().get('k')).rejects.toMatchObject({
      name: 'StorageFailed',
      message: /object k.*AccessDenied/,
    });
  });

  it('gets an exact version; a delete marker or an unknown id is gone', async () => {
    stub.answer(
      { ...stored('v1'), body: 'old' },
      s3Error(404, 'NoSuchVersion'),
      s3Error(405, 'MethodNotAllowed'),
      s3Error(400, 'InvalidArgument'),
    );
    expect((await objects().getVersion('k', 'v1'))?.version).toBe('v1');
    expect(stub.requests[0]?.query.get('versionId')).toBe('v1');
    for (let i = 0; i < 3; i++) expect(await objects().getVersion('k', 'v1')).toBeUndefined();
  });

  it('lists every page, sorted, and deletes what may not be there', async () => {
    stub.answer(listing(['runs/b', 'runs/c'], 'more'), listing(['runs/a']), { status: 204 }, s3Error(404, 'NoSuchKey'));
    expect(await objects().list('runs/')).toEqual(['runs/a', 'runs/b', 'runs/c']);
    expect(stub.requests.map(({ query }) => [query.get('prefix'), query.get('continuation-token')])).toEqual([
      ['runs/', null],
      ['runs/', 'more'],
    ]);
    await objects().delete('runs/a');
    await objects().delete('runs/a');
    expect(objects().locate('runs/a')).toBe('s3://runs-bucket/runs/a');
  });
});

describe('training data on S3', () => {
  it('reads a file, a range of it, and nothing behind its end', async () => {
    stub.answer(
      { body: 'abcdef' },
      { status: 206, body: 'cd' },
      s3Error(416, 'InvalidRange'),
      s3Error(404, 'NoSuchKey'),
    );
    const uri = 's3://runs-bucket/data/mnist/images';
    expect(Buffer.from((await datasets().read(uri)) ?? []).toString()).toBe('abcdef');
    expect(Buffer.from((await datasets().read(uri, { from: 2, to: 4 })) ?? []).toString()).toBe('cd');
    expect(stub.requests[1]?.headers.range).toBe('bytes=2-3');
    expect(await datasets().read(uri, { from: 9, to: 12 })).toEqual(new Uint8Array());
    expect(await datasets().read(uri, { from: 4, to: 4 })).toEqual(new Uint8Array());
    expect(await datasets().read(uri)).toBeUndefined();
  });

  it('lists the files of a folder; no folder is undefined, a folder of folders is empty', async () => {
    stub.answer(listing(['data/m/', 'data/m/b', 'data/m/a']), listing([]), listing([], undefined, ['data/m/x/']));
    expect(await datasets().list('s3://runs-bucket/data/m')).toEqual(['a', 'b']);
    expect(stub.requests[0]?.query.get('prefix')).toBe('data/m/');
    expect(await datasets().list('s3://runs-bucket/data/m')).toBeUndefined();
    expect(await datasets().list('s3://runs-bucket/data/m')).toEqual([]);
  });

  const prefixes = settings.dataPrefixes();
  it.each(['s3://runs-bucket/data/mnist/x', 's3://shared-data/images/a/b.csv', 's3://runs-bucket/data/'])(
    'allows %s',
    (uri) => {
      expect(() => allowedObject(uri, prefixes)).not.toThrow();
    },
  );
  it.each([
    'http://169.254.170.2/v2/credentials',
    'file:///etc/passwd',
    '/etc/passwd',
    's3://other-bucket/data/x',
    's3://runs-bucket/configs/secret.yaml',
    's3://runs-bucket/data-evil/x',
    's3://runs-bucket/data/../configs/x',
    's3://runs-bucket/data/./x',
    's3://runs-bucket/data//x',
    's3://runs-bucket/data/%2e%2e/configs/x',
    's3://runs-bucket/data/a\\..\\b',
    's3://runs-bucket/data/a\nb',
    's3://shared-data-evil/a',
    's3://runs-bucket@evil/data/x',
  ])('refuses %j', (uri) => {
    expect(() => allowedObject(uri, prefixes)).toThrow(/accepted: a path under s3:\/\/runs-bucket\/data\/ or/);
  });
});
