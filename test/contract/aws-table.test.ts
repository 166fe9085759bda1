import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemIds } from '../../cloud/aws/basics.ts';
import { itemBytes, itemLimitBytes } from '../../cloud/aws/item-size.ts';
import { awsTable } from '../../cloud/aws/table.ts';
import { json, jsonError, type Recorded, startAwsStub, stubClient } from '../support/aws-stub.ts';
import { type DynaliteTable, startDynalite } from '../support/dynalite-table.ts';
import { describeTable } from './table.ts';

let dynamo: DynaliteTable;
beforeAll(async () => {
  dynamo = await startDynalite();
});
afterAll(() => dynamo.close());

describeTable('DynamoDB', () => dynamo.make());

describe('the DynamoDB table', () => {
  it('keeps numbers beyond the safe integers as the doubles that they are', async () => {
    const table = await dynamo.make();
    await table.put('run', 'row', { loss: [2 ** 53 + 2, 3.4e38] }, { absent: true });
    expect((await table.get('run', 'row'))?.value).toEqual({ loss: [2 ** 53 + 2, 3.4e38] });
  });

  it('takes a value to the last byte of the limit and no more', async () => {
    const table = await dynamo.make();
    const overhead = itemBytes({
      pk: { S: 'run' },
      sk: { S: 'row' },
      value: { M: { bytes: { B: new Uint8Array() } } },
      writer: { S: '0'.repeat(16) },
      version: { N: String(Number.MAX_SAFE_INTEGER) },
      fence: { N: String(Number.MAX_SAFE_INTEGER) },
    });
    const most = new Uint8Array(itemLimitBytes - overhead);
    expect((await table.put('run', 'row', { bytes: most }, { absent: true })).kind).toBe('stored');
    const more = { bytes: new Uint8Array(most.length + 1) };
    await expect(table.put('run', 'row', more, { version: 1 })).rejects.toThrow('it is 409601 bytes');
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
