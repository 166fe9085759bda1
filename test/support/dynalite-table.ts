/** The table port on a DynamoDB that runs in this process, for contract tests of the real adapter. */
import type { AddressInfo } from 'node:net';
import { CreateTableCommand, type CreateTableCommandInput, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import dynalite from 'dynalite';
import { systemIds } from '../../cloud/aws/basics.ts';
import { awsTable } from '../../cloud/aws/table.ts';
import type { Table } from '../../cloud/ports.ts';

/** The same keys as infra/table.yml (a test of the stack compares the two). */
export const tableSchema: Omit<CreateTableCommandInput, 'TableName'> = {
  AttributeDefinitions: [
    { AttributeName: 'pk', AttributeType: 'S' },
    { AttributeName: 'sk', AttributeType: 'S' },
  ],
  KeySchema: [
    { AttributeName: 'pk', KeyType: 'HASH' },
    { AttributeName: 'sk', KeyType: 'RANGE' },
  ],
  BillingMode: 'PAY_PER_REQUEST',
};

export interface DynaliteTable {
  readonly client: DynamoDBClient;
  readonly endpoint: string;
  /** A new, empty table each time. */
  make(): Promise<Table>;
  /** The same, for a process that has only the name. */
  makeNamed(): Promise<string>;
  close(): Promise<void>;
}

export async function startDynalite(): Promise<DynaliteTable> {
  const server = dynalite({ createTableMs: 0 });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const endpoint = `http://127.0.0.1:${port}`;
  const client = new DynamoDBClient({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
  });
  let tables = 0;
  const makeNamed = async (): Promise<string> => {
    tables += 1;
    const name = `runs-${tables}`;
    await client.send(
      new CreateTableCommand({
        TableName: name,
        ...tableSchema,
      }),
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    return name;
  };
  return {
    client,
    endpoint,
    makeNamed,
    async make() {
      const name = await makeNamed();
      return awsTable(client, () => name, systemIds);
    },
    async close() {
      client.destroy();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
