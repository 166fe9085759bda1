import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { driverOf, takeLock } from '../../cli/lock.ts';

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'cuttlefish-lock-'));
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

test('a lock names the process that drives the run, and is free after its release', () => {
  const lock = takeLock(stateDir, 'digits-1', 'train');
  expect(lock.kind).toBe('locked');
  expect(driverOf(stateDir, 'digits-1')?.pid).toBe(process.pid);
  expect(takeLock(stateDir, 'digits-1', 'resume')).toMatchObject({
    kind: 'busy',
    driver: { pid: process.pid, command: 'train' },
  });
  expect(takeLock(stateDir, 'digits-2', 'train').kind).toBe('locked');
  if (lock.kind === 'locked') lock.release();
  expect(driverOf(stateDir, 'digits-1')).toBeUndefined();
  expect(takeLock(stateDir, 'digits-1', 'train').kind).toBe('locked');
});

test('L2 the lock of a process that is gone, or of another process with its id, is free', () => {
  mkdirSync(join(stateDir, 'locks'), { recursive: true });
  const write = (run: string, driver: object) =>
    writeFileSync(join(stateDir, 'locks', `${run}.json`), JSON.stringify(driver));
  write('gone', { pid: 2 ** 22 + 1, start: '1', command: 'train' });
  write('reused', { pid: process.pid, start: '1', command: 'train' });
  writeFileSync(join(stateDir, 'locks', 'torn.json'), '{"pid":');
  for (const run of ['gone', 'reused', 'torn']) {
    expect(driverOf(stateDir, run)).toBeUndefined();
    expect(takeLock(stateDir, run, 'train').kind, run).toBe('locked');
  }
  expect(readdirSync(join(stateDir, 'locks')).sort()).toEqual(['gone.json', 'reused.json', 'torn.json']);
});

test('L1 of eight processes that take a dead lock at once exactly one gets it', async () => {
  mkdirSync(join(stateDir, 'locks'), { recursive: true });
  writeFileSync(join(stateDir, 'locks', 'r.json'), JSON.stringify({ pid: 2 ** 22 + 1, start: '1', command: 'x' }));
  const { build } = await import('esbuild');
  const bundle = join(stateDir, 'lock.mjs');
  await build({
    entryPoints: [fileURLToPath(new URL('../../cli/lock.ts', import.meta.url))],
    outfile: bundle,
    format: 'esm',
    platform: 'node',
    bundle: true,
  });
  // All start at the same instant, and hold what they got until the last has asked.
  const at = Date.now() + 700;
  const script = `const { takeLock } = await import(${JSON.stringify(bundle)});
    while (Date.now() < ${at});
    console.log(takeLock(${JSON.stringify(stateDir)}, 'r', 'race').kind);
    setTimeout(() => {}, 700);`;
  const kinds = await Promise.all(
    Array.from(
      { length: 8 },
      () =>
        new Promise<string>((resolve) => {
          const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
          let text = '';
          child.stdout.on('data', (chunk) => (text += chunk));
          child.on('close', () => resolve(text.trim()));
        }),
    ),
  );
  expect(kinds.filter((kind) => kind === 'locked')).toHaveLength(1);
  expect(kinds.filter((kind) => kind === 'busy')).toHaveLength(7);
});
