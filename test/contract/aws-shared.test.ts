/** The AWS adapters of objects and data sets against the clauses of their ports. */
import { S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll } from 'vitest';
import { awsDatasets } from '../../cloud/aws/datasets.ts';
import { awsObjects } from '../../cloud/aws/objects.ts';
import { readSettings } from '../../cloud/aws/settings.ts';
import { systemClock } from '../../cloud/system-clock.ts';
import { stubClient, stubEnvironment } from '../support/aws-stub.ts';
import { type SmallS3, startSmallS3 } from '../support/small-s3.ts';
import { describeClock } from './clock.ts';
import { describeDatasets } from './datasets.ts';
import { describeObjectStore } from './object-store.ts';

let s3: SmallS3;
let buckets = 0;
beforeAll(async () => {
  s3 = await startSmallS3();
});
afterAll(() => s3.close());

/** A bucket of its own for each test, and all of it allowed as training data. */
function newBucket() {
  buckets += 1;
  const bucket = `bucket-${buckets}`;
  const settings = readSettings({ ...stubEnvironment, CUTTLEFISH_BUCKET: bucket, CUTTLEFISH_DATA_BUCKETS: bucket });
  return { bucket, settings, client: new S3Client(stubClient(s3.endpoint)) };
}

describeClock('AWS', async () => systemClock);
describeObjectStore('S3', async () => {
  const { settings, client } = newBucket();
  return awsObjects(client, settings, systemClock);
});
describeDatasets('S3', async () => {
  const { bucket, settings, client } = newBucket();
  const objects = awsObjects(client, settings, systemClock);
  return {
    datasets: awsDatasets(client, settings),
    uri: (path) => `s3://${bucket}/${path}`,
    refused: 's3://someone-else/data/train.csv',
    put: async (path, body) => void (await objects.put(path, body, 'always')),
  };
});
