/**
 * The table port on DynamoDB: one item a row, `{pk, sk, value: map, version: N, fence: N, writer: S}`.
 *
 * Invariants
 *  B1  Every write is one conditional UpdateItem; the version grows inside it, so no read comes before a write.
 *  B2  Every read is strongly consistent, every query is read to its last page.
 *  B3  `writer` names the call that wrote the row. When the SDK repeats a write whose answer was lost, the condition
 *      fails against our own earlier success: seeing our own name in the row, we answer `stored`.
 *  B4  A row that DynamoDB would refuse for its size is refused before the call, with the size and the limit.
 */
import {
  type AttributeValue,
  DeleteItemCommand,
  type DynamoDBClient,
  GetItemCommand,
  paginateQuery,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { marshall, unmarshall } from '@aws-sdk/util-dynamodb';
import { CuttlefishError } from '../../core/failure.ts';
import type { Ids, Row, Stored, Table, When } from '../ports.ts';
import { readRefusal } from './errors.ts';
import { itemBytes, itemLimitBytes } from './item-size.ts';

type Item = Record<string, AttributeValue>;

export function awsTable(client: DynamoDBClient, tableName: () => string, ids: Ids): Table {
  async function readItem(partition: string, key: string): Promise<Item | undefined> {
    const { Item: item } = await client.send(
      new GetItemCommand({ TableName: tableName(), Key: itemKey(partition, key), ConsistentRead: true }),
    );
    return item;
  }

  return {
    async get<T>(partition: string, key: string) {
      const item = await readItem(partition, key);
      return item === undefined ? undefined : toRow<T>(item);
    },

    async put<T>(partition: string, key: string, value: T, when: When): Promise<Stored<T>> {
      const writer = ids.hex(8);
      const map = { M: marshall(value as Record<string, unknown>, marshalling) as Item };
      refuseIfTooLarge(partition, key, map);
      const write = writeFor(when);
      try {
        const { Attributes: written } = await client.send(
          new UpdateItemCommand({
            TableName: tableName(),
            Key: itemKey(partition, key),
            UpdateExpression: `SET #value = :value, #writer = :writer, ${write.update}`,
            ConditionExpression: write.condition,
            ExpressionAttributeNames: {
              '#value': 'value',
              '#writer': 'writer',
              '#version': 'version',
              // DynamoDB refuses a name that no expression uses.
              ...('version' in when ? {} : { '#pk': 'pk' }),
              ...('version' in when && !('fence' in when) ? {} : { '#fence': 'fence' }),
            },
            ExpressionAttributeValues: { ':value': map, ':writer': { S: writer }, ...write.values },
            ReturnValues: 'UPDATED_NEW',
            ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
          }),
        );
        return { kind: 'stored', version: Number(written?.version?.N ?? Number.NaN) };
      } catch (thrown) {
        const refusal = readRefusal(thrown);
        if (refusal.name !== 'ConditionalCheckFailedException') throw tableFailure(partition, key, thrown);
        // The row as the condition saw it; where the service does not send it, as it is now.
        const item = (thrown as { Item?: Item }).Item ?? (await readItem(partition, key));
        if (item?.writer?.S === writer) return { kind: 'stored', version: toRow(item).version };
        return { kind: 'conflict', current: item === undefined ? undefined : toRow<T>(item) };
      }
    },

    async delete(partition, key, version) {
      try {
        await client.send(
          new DeleteItemCommand({
            TableName: tableName(),
            Key: itemKey(partition, key),
            ConditionExpression: 'attribute_not_exists(#pk) OR #version = :version',
            ExpressionAttributeNames: { '#pk': 'pk', '#version': 'version' },
            ExpressionAttributeValues: { ':version': { N: String(version) } },
          }),
        );
        return 'deleted';
      } catch (thrown) {
        if (readRefusal(thrown).name === 'ConditionalCheckFailedException') return 'conflict';
        throw tableFailure(partition, key, thrown);
      }
    },

    async query<T>(partition: string, prefix: string) {
      const rows: Row<T>[] = [];
      const pages = paginateQuery(
        { client },
        {
          TableName: tableName(),
          ConsistentRead: true,
          // An empty prefix means the whole partition; DynamoDB refuses begins_with of an empty string.
          KeyConditionExpression: prefix === '' ? '#pk = :pk' : '#pk = :pk AND begins_with(#sk, :prefix)',
          ExpressionAttributeNames: { '#pk': 'pk', ...(prefix === '' ? {} : { '#sk': 'sk' }) },
          ExpressionAttributeValues: {
            ':pk': { S: partition },
            ...(prefix === '' ? {} : { ':prefix': { S: prefix } }),
          },
        },
      );
      for await (const page of pages) for (const item of page.Items ?? []) rows.push(toRow<T>(item));
      return rows;
    },
  };
}

/** The conditions of ports.ts, and what each does to version and fence. */
function writeFor(when: When): { condition: string; update: string; values: Item } {
  if ('absent' in when) {
    return {
      condition: 'attribute_not_exists(#pk)',
      update: '#version = :one, #fence = :zero',
      values: { ':one': { N: '1' }, ':zero': { N: '0' } },
    };
  }
  if ('version' in when && 'fence' in when) {
    return {
      condition: '#version = :expected AND #fence <= :fence',
      update: '#version = #version + :one, #fence = :fence',
      values: { ':one': { N: '1' }, ':expected': { N: String(when.version) }, ':fence': { N: String(when.fence) } },
    };
  }
  if ('version' in when) {
    return {
      condition: '#version = :expected',
      update: '#version = #version + :one',
      values: { ':one': { N: '1' }, ':expected': { N: String(when.version) } },
    };
  }
  return {
    condition: 'attribute_not_exists(#pk) OR #fence <= :fence',
    update: '#version = if_not_exists(#version, :zero) + :one, #fence = :fence',
    values: { ':one': { N: '1' }, ':zero': { N: '0' }, ':fence': { N: String(when.fence) } },
  };
}

// A diverging loss may pass 2^53 before it becomes Infinity; it is a double on both sides, so nothing is lost.
const marshalling = { removeUndefinedValues: true, allowImpreciseNumbers: true } as const;

function toRow<T>(item: Item): Row<T> {
  return {
    key: item.sk?.S ?? '',
    value: unmarshall(item.value?.M ?? {}, { wrapNumbers: Number }) as T,
    version: Number(item.version?.N ?? 0),
    fence: Number(item.fence?.N ?? 0),
  };
}

function itemKey(partition: string, key: string): Item {
  return { pk: { S: partition }, sk: { S: key } };
}

function refuseIfTooLarge(partition: string, key: string, map: AttributeValue): void {
  const bytes = itemBytes({
    ...itemKey(partition, key),
    value: map,
    writer: { S: '0'.repeat(16) },
    // The widest that the counters can become.
    version: { N: String(Number.MAX_SAFE_INTEGER) },
    fence: { N: String(Number.MAX_SAFE_INTEGER) },
  });
  if (bytes <= itemLimitBytes) return;
  throw new CuttlefishError({
    kind: 'StorageFailed',
    what: `row "${key}" of "${partition}"`,
    reason: `it is ${bytes} bytes, a row of the table takes at most ${itemLimitBytes}; larger values go to the bucket`,
  });
}

function tableFailure(partition: string, key: string, thrown: unknown): CuttlefishError {
  const { name, message } = readRefusal(thrown);
  return new CuttlefishError(
    { kind: 'StorageFailed', what: `row "${key}" of "${partition}"`, reason: `${name}: ${message}` },
    { cause: thrown },
  );
}
