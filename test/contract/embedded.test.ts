/** The ports of the embedded world, each against its clauses. Real files, real processes. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach } from 'vitest';
import { embeddedBucket } from '../../cloud/embedded/datasets.ts';
import { closeWorlds, newFolder, newWorld } from '../support/embedded.ts';
import { describeClock } from './clock.ts';
import { describeDatasets } from './datasets.ts';
import { describeObjectStore } from './object-store.ts';
import { describeScaling } from './scaling.ts';
import { describeTable } from './table.ts';
import { describeTaskRunner } from './task-runner.ts';

afterEach(closeWorlds);

describeTable('embedded', async () => (await newWorld()).table);
describeObjectStore('embedded', async () => (await newWorld()).objects);
describeScaling('embedded', async () => (await newWorld()).scaling);
describeClock('embedded', async () => (await newWorld()).clock);
describeTaskRunner('embedded', async () => {
  const capacity = { maxTasks: 100 };
  const { tasks } = await newWorld({ capacity });
  return {
    tasks,
    limit: (count) => {
      capacity.maxTasks = count;
    },
  };
});
describeDatasets('embedded, folders', async () => {
  const folder = newFolder();
  const { datasets } = await newWorld({ baseFolder: folder });
  return {
    datasets,
    uri: (path) => path,
    refused: 's3://someone-else/data/train.csv',
    put: async (path, body) => {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), body);
    },
  };
});
describeDatasets('embedded, its own bucket', async () => {
  const { datasets, objects } = await newWorld();
  return {
    datasets,
    uri: (path) => `s3://${embeddedBucket}/${path}`,
    refused: 'https://example.com/train.csv',
    put: async (path, body) => {
      await objects.put(path, body, 'always');
    },
  };
});
