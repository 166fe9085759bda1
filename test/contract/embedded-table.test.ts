/** The embedded table among processes that race, sleep and die. */
import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { isRunning, startOf } from '../../cloud/embedded/processes.ts';
import type { Stored } from '../../cloud/ports.ts';
import { closeWorlds, newWorld, otherProcess } from '../support/embedded.ts';

afterEach(closeWorlds);

describe('the embedded table among processes', () => {
  it('stores exactly one of ten concurrent writes from ten processes, for each condition', async () => {
    const { stateDir, table } = await newWorld();
    for (const when of [{ absent: true as const }, { version: 1 }]) {
      const writers = Array.from({ length: 10 }, (_, i) => otherProcess('put', { stateDir, value: { i }, when }));
      for (const writer of writers) expect(await writer.next()).toBe('ready');
      for (const writer of writers) writer.send('go');
      const answers = await Promise.all(writers.map((writer) => writer.next<Stored<unknown>>()));
      expect(answers.filter(({ kind }) => kind === 'stored')).toHaveLength(1);
      const winner = answers.findIndex(({ kind }) => kind === 'stored');
      expect((await table.get('run', 'row'))?.value).toEqual({ i: winner });
    }
    expect((await table.get('run', 'row'))?.version).toBe(2);
  });

  it('loses and repeats no increment of a counter that four processes share, and shows no reader half a value', async () => {
    const { stateDir, table } = await newWorld();
    const writers = Array.from({ length: 4 }, () => otherProcess('count', { stateDir, times: 150 }));
    for (const writer of writers) await writer.next();
    for (const writer of writers) writer.send('go');
    let counting = true;
    const counted = Promise.all(writers.map((writer) => writer.next<{ conflicts: number }>())).then((answers) => {
      counting = false;
      return answers;
    });
    let last = 0;
    while (counting) {
      const row = await table.get<{ n: number; padding: string }>('run', 'counter');
      if (row) {
        expect(row.value.n).toBe(row.version);
        expect(row.value.padding).toHaveLength(2000);
        // D1: never an older value after a newer one.
        expect(row.version).toBeGreaterThanOrEqual(last);
        last = row.version;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    const conflicts = (await counted).reduce((sum, answer) => sum + answer.conflicts, 0);
    expect(conflicts).toBeGreaterThan(0); // they did race
    expect(await table.get('run', 'counter')).toMatchObject({ value: { n: 600 }, version: 600 });
    // What is replaced is removed: the first name, the newest version, and the folder for the one after it.
    expect(readdirSync(join(stateDir, 'table', 'run', 'counter')).length).toBeLessThanOrEqual(4);
  });

  for (const at of ['read', 'prepared']) {
    for (const when of [{ version: 1 }, { fence: 1 }]) {
      it(`refuses a writer that was stopped after it had ${at} (${JSON.stringify(when)}) and was overtaken`, async () => {
        const { stateDir, table } = await newWorld();
        await table.put('run', 'row', { by: 'first' }, { fence: 1 });
        const sleepy = otherProcess('sleepy', { stateDir, at, when });
        await sleepy.next();
        await vi.waitFor(() => expect(stateOf(sleepy.pid)).toBe('T'));
        // Far enough that the version it aims at, 2, has been written and removed.
        for (let version = 1; version < 6; version++) {
          const done = await table.put('run', 'row', { by: 'awake', version }, { version, fence: 2 });
          expect(done).toEqual({ kind: 'stored', version: version + 1 });
        }
        process.kill(sleepy.pid, 'SIGCONT');
        expect(await sleepy.next()).toMatchObject({ kind: 'conflict', current: { version: 6, fence: 2 } });
        expect(await table.get('run', 'row')).toMatchObject({ version: 6, value: { by: 'awake', version: 5 } });
        const names = readdirSync(join(stateDir, 'table', 'run', 'row'));
        expect(names.filter((name) => name.startsWith('v'))).toEqual(['v000000000001', 'v000000000006']);
      });
    }
  }

  it('refuses a first writer that was stopped while the row was made, deleted and made again', async () => {
    const { stateDir, table } = await newWorld();
    const sleepy = otherProcess('sleepy', { stateDir, at: 'read', when: { absent: true } });
    await sleepy.next();
    await vi.waitFor(() => expect(stateOf(sleepy.pid)).toBe('T'));
    await table.put('run', 'row', { by: 'awake' }, { absent: true });
    expect(await table.delete('run', 'row', 1)).toBe('deleted');
    expect(await table.put('run', 'row', { by: 'second life' }, { absent: true })).toMatchObject({ kind: 'stored' });
    process.kill(sleepy.pid, 'SIGCONT');
    expect(await sleepy.next()).toMatchObject({ kind: 'conflict', current: { value: { by: 'second life' } } });
    expect((await table.get('run', 'row'))?.value).toEqual({ by: 'second life' });
  });

  it('is whole after its writers were killed in the middle, again and again', async () => {
    const { stateDir, table } = await newWorld();
    for (let round = 0; round < 6; round++) {
      const writers = [0, 1].map(() => otherProcess('scribble', { stateDir }));
      for (const writer of writers) for (let i = 0; i < 5 + 10 * round; i++) await writer.next();
      for (const writer of writers) writer.child.kill('SIGKILL');
      await Promise.all(writers.map((writer) => writer.ended));
      for (const row of await table.query<{ check: number; bytes: Uint8Array }>('run', 'row/')) {
        expect(row.value.bytes).toHaveLength(20_000);
        expect(row.value.bytes.every((byte) => byte === row.value.check)).toBe(true);
        const next = await table.put('run', row.key, row.value, { version: row.version });
        expect(next).toEqual({ kind: 'stored', version: row.version + 1 });
      }
      // The write above has cleaned up what the killed ones left.
      for (const { key } of await table.query('run', 'row/')) {
        const names = readdirSync(join(stateDir, 'table', 'run', key.replace('/', '%2f')));
        expect(names.filter((name) => name.startsWith('v')).length).toBeLessThanOrEqual(2);
      }
    }
  });

  it('writes and reads a small row in about a millisecond', async () => {
    const { table } = await newWorld();
    const times: number[] = [];
    let when: { absent: true } | { version: number } = { absent: true };
    for (let i = 0; i < 200; i++) {
      const start = performance.now();
      const done: Stored<unknown> = await table.put(
        'run',
        'progress',
        { step: i, loss: 0.5, tasks: [{ slot: 'worker/0' }] },
        when,
      );
      times.push(performance.now() - start);
      if (done.kind === 'stored') when = { version: done.version };
    }
    // The best tenth, and ten times the usual: a busy machine does not fail it, but a sync per write does.
    const usual = times.sort((a, b) => a - b)[20] ?? Number.POSITIVE_INFINITY;
    expect(usual).toBeLessThan(5);
  });

  it('says which row it cannot read when somebody damaged its file', async () => {
    const { stateDir, table } = await newWorld();
    await table.put('run', 'row', {}, { absent: true });
    writeFileSync(join(stateDir, 'table', 'run', 'row', 'v000000000001'), '{"half');
    await expect(table.get('run', 'row')).rejects.toMatchObject({ name: 'StorageFailed' });
    await expect(table.get('run', 'row')).rejects.toThrow(/could not read row "row" of "run": its file is damaged/);
  });
});

describe('the embedded lock among processes', () => {
  it('has one holder of five that come at once, and a new one after kill -9 of the holder', async () => {
    const { stateDir, lock } = await newWorld();
    for (let round = 0; round < 2; round++) {
      const all = Array.from({ length: 5 }, () => otherProcess('lock', { stateDir }));
      for (const one of all) await one.next();
      for (const one of all) one.send('go');
      const answers = await Promise.all(all.map((one) => one.next<{ kind: string; pid: number }>()));
      const held = answers.filter(({ kind }) => kind === 'held');
      expect(held).toHaveLength(1);
      expect(new Set(answers.map(({ pid }) => pid))).toEqual(new Set([held[0]?.pid]));
      expect(await lock.acquire('run-1')).toMatchObject({ kind: 'busy', pid: held[0]?.pid });
      for (const one of all) one.child.kill('SIGKILL');
      await Promise.all(all.map((one) => one.ended));
    }
    const mine = await lock.acquire('run-1');
    expect(mine.kind).toBe('held');
    expect(await lock.acquire('run-1')).toMatchObject({ kind: 'busy', pid: process.pid });
    expect(await lock.acquire('run-2')).toMatchObject({ kind: 'held' });
    if (mine.kind === 'held') await mine.release();
    expect(await lock.holder('run-1')).toBeUndefined();
    expect(await lock.acquire('run-1')).toMatchObject({ kind: 'held' });
  });
});

describe('a process', () => {
  it('is not running once it has ended, and a used-again id is another process', () => {
    expect(startOf(process.pid)).toBe(startOf(process.pid));
    expect(isRunning({ pid: process.pid, start: startOf(process.pid) ?? '' })).toBe(true);
    expect(isRunning({ pid: process.pid, start: 'another time' })).toBe(false);
    expect(startOf(2 ** 22 + 1)).toBeUndefined();
  });
});

/** `T` for a stopped process. */
function stateOf(pid: number): string | undefined {
  return execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).trim()[0];
}
