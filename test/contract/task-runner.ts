/** The clauses of the TaskRunner port, K1 to K6, that hold whatever a task is made of. */
import { describe, expect, it, vi } from 'vitest';
import type { LaunchRequest, TaskRunner } from '../../cloud/ports.ts';

export interface RunnerUnderTest {
  readonly tasks: TaskRunner;
  /** At most this many more tasks may start. */
  limit(tasks: number): void;
}

export const launchRequest = (change: Partial<LaunchRequest> = {}): LaunchRequest => ({
  runId: 'digits-0123456789ab',
  role: 'worker',
  count: 2,
  clientToken: 'token-1',
  kind: 'local',
  cpu: 256,
  memoryMiB: 512,
  ...change,
});

export function describeTaskRunner(name: string, make: () => Promise<RunnerUnderTest>): void {
  describe(`${name}: the task runner port`, () => {
    it('K1 starts the tasks of a token once', async () => {
      const { tasks } = await make();
      const first = await tasks.launch(launchRequest());
      expect(first.started).toHaveLength(2);
      expect(new Set(first.started).size).toBe(2);
      expect(first.failures).toEqual([]);
      expect(await tasks.launch(launchRequest())).toEqual(first);
      expect(await tasks.list(launchRequest().runId)).toHaveLength(2);
    });

    it('K1 starts one set also when the same request comes many times at once', async () => {
      const { tasks } = await make();
      const all = await Promise.all(Array.from({ length: 5 }, () => tasks.launch(launchRequest({ count: 1 }))));
      expect(new Set(all.map(({ started }) => started.join())).size).toBe(1);
      expect(await tasks.list(launchRequest().runId)).toHaveLength(1);
    });

    it('K1 refuses a token that belongs to another request', async () => {
      const { tasks } = await make();
      await tasks.launch(launchRequest({ count: 1 }));
      await expect(tasks.launch(launchRequest({ count: 2 }))).rejects.toThrow(/token-1/);
      expect(await tasks.list(launchRequest().runId)).toHaveLength(1);
    });

    it('K2 tells what could not be started, one reason a task', async () => {
      const { tasks, limit } = await make();
      limit(1);
      const { started, failures } = await tasks.launch(launchRequest({ count: 3 }));
      expect(started).toHaveLength(1);
      expect(failures).toHaveLength(2);
      for (const reason of failures) expect(reason).toMatch(/^(RESOURCE:|Capacity is unavailable)/);
    });

    it('K4 stops a task, more than once, and one that is not there, without an error', async () => {
      const { tasks } = await make();
      const { started } = await tasks.launch(launchRequest({ count: 1 }));
      const taskId = started[0]!;
      await tasks.stop(taskId, 'no longer needed');
      await tasks.stop(taskId, 'again');
      await tasks.stop('nobody', 'never was');
      await tasks.stop('../../etc', 'is no id');
      const stopped = await vi.waitFor(
        async () => {
          const [task] = await tasks.list(launchRequest().runId);
          expect(task?.state).toBe('stopped');
          return task;
        },
        { timeout: 5000 },
      );
      expect(stopped?.stop).toMatchObject({ code: 'UserInitiated', reason: expect.stringMatching(/no longer needed/) });
      await tasks.stop(taskId, 'after the end');
    });

    it('K5 lists the tasks of one run, with role and state', async () => {
      const { tasks } = await make();
      const mine = await tasks.launch(launchRequest());
      const server = await tasks.launch(launchRequest({ role: 'parameter-server', count: 1, clientToken: 'token-2' }));
      await tasks.launch(launchRequest({ runId: 'other-0123456789ab', count: 1, clientToken: 'token-3' }));
      const listed = await tasks.list(launchRequest().runId);
      expect(listed.map((task) => task.taskId).sort()).toEqual([...mine.started, ...server.started].sort());
      expect(listed.find((task) => task.taskId === server.started[0])?.role).toBe('parameter-server');
      for (const task of listed) {
        expect(task.runId).toBe(launchRequest().runId);
        expect(['starting', 'running']).toContain(task.state);
      }
      expect(await tasks.list('nobody')).toEqual([]);
    });

    it('K6 lists what has not stopped, of every run', async () => {
      const { tasks } = await make();
      const mine = await tasks.launch(launchRequest({ count: 1 }));
      const other = await tasks.launch(
        launchRequest({ runId: 'other-0123456789ab', count: 1, clientToken: 'token-3' }),
      );
      const live = async () => (await tasks.listLive()).map(({ taskId, runId }) => `${runId} ${taskId}`).sort();
      const both = [`digits-0123456789ab ${mine.started[0]}`, `other-0123456789ab ${other.started[0]}`];
      expect(await live()).toEqual(both);
      await tasks.stop(mine.started[0] ?? '', 'enough');
      await vi.waitFor(async () => expect(await live()).toEqual(both.slice(1)), { timeout: 5000 });
    });
  });
}
