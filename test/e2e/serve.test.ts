/** P1 with a folder as the bucket: drop a file, get a model; drop it again, get nothing new. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Lab, type Running, small, until } from './harness.ts';

let lab: Lab;
let serving: Running;

interface Listed {
  readonly runId: string;
  readonly name: string;
  readonly phase: string;
}

async function runs(): Promise<readonly Listed[]> {
  return JSON.parse((await lab.run(['status', '--json'])).stdout).runs;
}

beforeAll(async () => {
  lab = new Lab();
  serving = lab.start(['serve']);
  await until('the folder to drop files in', 15_000, () => /bucket\/configs/.test(serving.text()));
});
afterAll(() => lab.close());

test('a dropped file becomes one run, however often the same bytes are dropped', async () => {
  const text = small({ name: 'dropped', epochs: 1 });
  lab.dropConfig('dropped.yaml', text);
  lab.dropConfig('dropped.yaml', text);
  await until('the run to succeed', 30_000, () => /dropped-[0-9a-f]{12}.*succeeded/.test(serving.text()));
  lab.dropConfig('dropped.yaml', text);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const listed = (await runs()).filter((run) => run.name === 'dropped');
  expect(listed).toHaveLength(1);
  expect(listed[0]).toMatchObject({ phase: 'succeeded' });
  expect(existsSync(join(lab.stateDir, 'bucket', 'runs', listed[0]!.runId, 'result.json'))).toBe(true);
});

test('a broken file gets its errors beside it, and they go when it is mended', async () => {
  lab.dropConfig('broken.yaml', 'version: 1\nname: broken\nnetwork: {layers: [{dense: {units: -1}}]}\n');
  const errors = join(lab.stateDir, 'bucket', 'configs', 'broken.yaml.errors.txt');
  await until('the errors file', 15_000, () => existsSync(errors));
  expect(readFileSync(errors, 'utf8')).toMatch(/3:\d+ .*units/);
  expect((await runs()).filter((run) => run.name === 'broken' && run.phase === 'succeeded')).toHaveLength(0);
});

test('several files at once all run', async () => {
  for (const i of [1, 2, 3])
    lab.dropConfig(`many-${i}.yaml`, small({ name: `many-${i}`, epochs: 1, samples: 640, workers: '1' }));
  for (const i of [1, 2, 3]) {
    await until(`many-${i}`, 45_000, () => new RegExp(`many-${i}-[0-9a-f]{12}.*succeeded`).test(serving.text()));
  }
});

test('SIGINT stops it cleanly in the middle of a run, and the next serve continues the run', async () => {
  lab.dropConfig('long.yaml', small({ name: 'long', pace: '50ms', workers: '1' }));
  await until('training', 30_000, () => /long-[0-9a-f]{12}.*checkpoint at step/.test(serving.text()));
  serving.child.kill('SIGINT');
  const ended = await serving.ended;
  expect(ended.code, ended.stderr).toBe(0);
  expect(lab.leftovers()).toEqual([]);
  serving = lab.start(['serve']);
  await until('the run to succeed', 45_000, () => /long-[0-9a-f]{12}.*succeeded/.test(serving.text()));
  serving.child.kill('SIGINT');
  expect((await serving.ended).code).toBe(0);
  expect(lab.leftovers()).toEqual([]);
}, 90_000);
