/** What was seen of a task, by several at once: the end is told once, and nobody is left unwoken. */
import { expect, test } from 'vitest';
import { type EventRow, keys, prefixes, type TaskRow } from '../../core/run.ts';
import { observeTask } from '../../functions/observe-task.ts';
import { createMemoryWorld } from '../support/memory-world.ts';

const ended = {
  taskId: 'a'.repeat(32),
  role: 'worker',
  state: 'stopped',
  stop: { code: 'EssentialContainerExited', reason: 'exited', exitCode: 137 },
} as const;

test('an end that several see at once is one line of the history, and each of them wakes the run', async () => {
  const cloud = createMemoryWorld();
  const woken: string[] = [];
  const wake = async (why: string) => woken.push(why);
  await Promise.all([1, 2, 3].map(() => observeTask(cloud, 'run-1', ended, wake)));
  const events = await cloud.table.query<EventRow>('run-1', prefixes.event);
  expect(events.map(({ value }) => value.event)).toEqual(['task.lost']);
  expect(woken.length).toBeGreaterThan(0);
  const row = await cloud.table.get<TaskRow>('run-1', keys.task(ended.taskId));
  expect(row?.value).toMatchObject({ state: 'stopped', told: true });
});

test('whoever comes after one that died while telling tells it, in the same line', async () => {
  const cloud = createMemoryWorld();
  await expect(observeTask(cloud, 'run-1', ended, () => Promise.reject(new Error('killed')))).rejects.toThrow('killed');
  const woken: string[] = [];
  expect(await observeTask(cloud, 'run-1', ended, async (why) => woken.push(why))).toBe(true);
  expect(woken).toHaveLength(1);
  expect(await cloud.table.query('run-1', prefixes.event)).toHaveLength(1);
  expect(await observeTask(cloud, 'run-1', ended, async (why) => woken.push(why))).toBe(false);
  expect(woken).toHaveLength(1);
});
