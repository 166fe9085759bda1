import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemIds } from '../../cloud/aws/basics.ts';
import { itemBytes, itemLimitBytes } from '../../cloud/aws/item-size.ts';
import { awsTable } from '../../cloud/aws/table.ts';
import { json, jsonError, type Recorded, startAwsStub, stubClient } from '../support/aws-stub.ts';
import { type DynaliteTable, startDynalite } from '../support/dynalite-table.ts';

let dynamo: DynaliteTable;
beforeAll(async () => {
  dynamo = await startDynalite();
});
afterAll(() => dynamo.close());

describe('the DynamoDB table', () => {
  it('keeps JSON values exactly, with bytes at the top level', async () => {
    const table = await dynamo.make();
    const value = {
      text: 'naïve "quotes"\n',
      empty: '',
      numbers: [0, -1.5, 1e20, 2 ** 53 + 2, 0.1 + 0.2, 1.17549435e-38],
      nested: { yes: true, nothing: null, list: [{ a: 1 }, []] },
      bytes: new Uint8Array([0, 1, 254, 255]),
      absent: undefined,
    };
    await table.put('run', 'row', value, { absent: true });
    const { absent, ...kept } = value;
    expect((await table.get('run', 'row'))?.value).toEqual(kept);
  });

  it('stores exactly one of many concurrent writes with the same condition', async () => {
    const table = await dynamo.make();
    const absent = await Promise.all(
      Array.from({ length: 10 }, (_, i) => table.put('run', 'row', { i }, { absent: true })),
    );
    expect(absent.filter(({ kind }) => kind === 'stored')).toHaveLength(1);
    const version = await Promise.all(
      Array.from({ length: 10 }, (_, i) => table.put('run', 'row', { i }, { version: 1 })),
    );
    expect(version.filter(({ kind }) => kind === 'stored')).toHaveLength(1);
    expect(await table.get('run', 'row')).toMatchObject({ version: 2, fence: 0 });
  });

  it('tells the row that stood in the way', async () => {
    const table = await dynamo.make();
    await table.put('run', 'row', { by: 'first' }, { absent: true });
    expect(await table.put('run', 'row', { by: 'second' }, { version: 7 })).toEqual({
      kind: 'conflict',
      current: { key: 'row', value: { by: 'first' }, version: 1, fence: 0 },
    });
    expect(await table.put('run', 'other', {}, { version: 1 })).toEqual({ kind: 'conflict', current: undefined });
  });

  it('refuses a smaller fence, accepts an equal or greater one, and a version write keeps the fence', async () => {
    const table = await dynamo.make();
    expect(await table.put('run', 'row', { g: 3 }, { fence: 3 })).toEqual({ kind: 'stored', version: 1 });
    expect(await table.put('run', 'row', { g: 2 }, { fence: 2 })).toMatchObject({
      kind: 'conflict',
      current: { fence: 3 },
    });
    expect(await table.put('run', 'row', { g: 3 }, { fence: 3 })).toEqual({ kind: 'stored', version: 2 });
    expect(await table.put('run', 'row', { g: 'v' }, { version: 2 })).toEqual({ kind: 'stored', version: 3 });
    expect(await table.get('run', 'row')).toMatchObject({ fence: 3, version: 3, value: { g: 'v' } });
    expect(await table.put('run', 'row', {}, { version: 3, fence: 2 })).toMatchObject({ kind: 'conflict' });
    expect(await table.put('run', 'row', {}, { version: 2, fence: 4 })).toMatchObject({ kind: 'conflict' });
    expect(await table.put('run', 'row', {}, { version: 3, fence: 4 })).toEqual({ kind: 'stored', version: 4 });
    expect(await table.get('run', 'row')).toMatchObject({ fence: 4, version: 4 });
  });

  it('deletes on the version only, and what is not there without complaint', async () => {
    const table = await dynamo.make();
    await table.put('run', 'row', {}, { absent: true });
    expect(await table.delete('run', 'row', 2)).toBe('conflict');
    expect(await table.delete('run', 'row', 1)).toBe('deleted');
    expect(await table.delete('run', 'row', 1)).toBe('deleted');
    expect(await table.get('run', 'row')).toBeUndefined();
  });

  it('reads a query over several pages, sorted, and only of its partition', async () => {
    const table = await dynamo.make();
    const bytes = new Uint8Array(300_000);
    for (const key of ['part/3', 'part/1', 'part/0', 'part/2', 'other']) {
      await table.put('run', key, { bytes }, { absent: true });
    }
    await table.put('run2', 'part/9', {}, { absent: true });
    expect((await table.query('run', 'part/')).map(({ key }) => key)).toEqual(['part/0', 'part/1', 'part/2', 'part/3']);
    expect(await table.query('run', '')).toHaveLength(5);
    expect(await table.query('nobody', 'part/')).toEqual([]);
  });

  it('refuses a value over the item limit with its size and the limit, and takes one just below', async () => {
    const table = await dynamo.make();
    const fits = { bytes: new Uint8Array(itemLimitBytes - 200) };
    expect(await table.put('run', 'row', fits, { absent: true })).toEqual({ kind: 'stored', version: 1 });
    await expect(table.put('run', 'big', { bytes: new Uint8Array(itemLimitBytes) }, { absent: true })).rejects.toThrow(
      /row "big" of "run".*409\d+ bytes.*at most 409600/,
    );
    expect(await table.get('run', 'big')).toBeUndefined();
  });

  it('counts an item by the rules of the service', () => {
    expect(itemBytes({ ab: { S: 'é' }, n: { N: '1234' }, b: { B: new Uint8Array(5) }, t: { BOOL: true } })).toBe(
      2 + 2 + (1 + 4) + (1 + 5) + (1 + 1),
    );
  });
});

describe('a write whose answer was lost', () => {
  /** The refusal of a repeated write, with the row that `writer` wrote in the way. */
  const refusal = (writer: (request: Recorded) => string) => (request: Recorded) =>
    jsonError('com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException', 'The conditional request failed', {
      Item: {
        pk: { S: 'run' },
        sk: { S: 'row' },
        value: { M: {} },
        version: { N: '1' },
        fence: { N: '0' },
        writer: { S: writer(request) },
      },
    });
  const ours = (request: Recorded) =>
    (request.input.ExpressionAttributeValues as Record<string, { S: string }>)[':writer']?.S ?? '';

  it('is known as our own when the SDK repeats it, and as a conflict when someone else wrote', async () => {
    const stub = await startAwsStub();
    try {
      const client = new DynamoDBClient(stubClient(stub.endpoint, 2));
      const table = awsTable(client, () => 'runs', systemIds);
      stub.answer({ drop: true }, refusal(ours));
      expect(await table.put('run', 'row', {}, { absent: true })).toEqual({ kind: 'stored', version: 1 });
      stub.answer(
        { drop: true },
        refusal(() => 'someone else'),
      );
      expect(await table.put('run', 'row', {}, { absent: true })).toMatchObject({
        kind: 'conflict',
        current: { version: 1 },
      });
    } finally {
      await stub.close();
    }
  });

  it('asks for the row in the way with the write, and says what could not be stored', async () => {
    const stub = await startAwsStub();
    try {
      const table = awsTable(new DynamoDBClient(stubClient(stub.endpoint)), () => 'runs', systemIds);
      stub.answer(json({ Attributes: { version: { N: '4' } } }), jsonError('ResourceNotFoundException', 'no table'));
      await table.put('run', 'row', { a: 1 }, { version: 3 });
      expect(stub.requests[0]?.input).toMatchObject({
        TableName: 'runs',
        ConditionExpression: '#version = :expected',
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
      });
      await expect(table.put('run', 'row', {}, { absent: true })).rejects.toMatchObject({
        name: 'StorageFailed',
        message: expect.stringContaining('row "row" of "run": ResourceNotFoundException: no table'),
      });
    } finally {
      await stub.close();
    }
  });
});
