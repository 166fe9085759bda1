import { createMemoryWorld } from '../support/memory-world.ts';
import { describeClock } from './clock.ts';
import { describeDatasets } from './datasets.ts';
import { describeObjectStore } from './object-store.ts';
import { describeScaling } from './scaling.ts';
import { describeTable } from './table.ts';
import { describeTaskRunner } from './task-runner.ts';

const name = 'memory';

describeTable(name, async () => createMemoryWorld().table);
describeObjectStore(name, async () => createMemoryWorld().objects);
describeScaling(name, async () => createMemoryWorld().scaling);
describeClock(name, async () => createMemoryWorld().clock);
describeTaskRunner(name, async () => {
  const { tasks, controls } = createMemoryWorld();
  return {
    tasks,
    limit: (count) => {
      controls.capacity = count;
    },
  };
});
describeDatasets(name, async () => {
  const { datasets, controls } = createMemoryWorld();
  return { datasets, put: async (path, body) => controls.addFile(path, body), uri: (path) => path };
});
