/** The world on AWS: every port on its SDK client. The only composition of this folder; nothing here is global. */
import { AutoScalingClient } from '@aws-sdk/client-auto-scaling';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { ECSClient } from '@aws-sdk/client-ecs';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { S3Client } from '@aws-sdk/client-s3';
import { SFNClient } from '@aws-sdk/client-sfn';
import type { Cloud } from '../ports.ts';
import { systemClock } from '../system-clock.ts';
import { jsonLog, systemIds } from './basics.ts';
import { awsDatasets } from './datasets.ts';
import { embeddedMetrics } from './metrics.ts';
import { awsNotices } from './notices.ts';
import { awsObjects } from './objects.ts';
import { awsScaling } from './scaling.ts';
import { clientOptions, type Environment, readSettings } from './settings.ts';
import { awsTable } from './table.ts';
import { awsTasks } from './tasks.ts';
import { awsWorkflow } from './workflow.ts';

export function createAwsCloud(env: Environment): Cloud {
  const settings = readSettings(env);
  const options = clientOptions(settings);
  const s3 = new S3Client(options);
  const log = jsonLog(env);
  return {
    kind: 'aws',
    // Read when it is asked for: a task has none, and is given none.
    get quotas() {
      return settings.quotas();
    },
    objects: awsObjects(s3, settings, systemClock),
    table: awsTable(new DynamoDBClient(options), settings.table, systemIds),
    tasks: awsTasks(new ECSClient(options), settings, systemClock),
    scaling: awsScaling(new AutoScalingClient(options), settings),
    workflow: awsWorkflow(new SFNClient(options), settings, systemIds),
    datasets: awsDatasets(s3, settings),
    notices: awsNotices(new EventBridgeClient(options), systemClock, log),
    metrics: embeddedMetrics(env, systemClock),
    clock: systemClock,
    ids: systemIds,
    log,
  };
}
