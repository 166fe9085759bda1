/**
 * P3 with storage that fails: parts of checkpoints that are damaged or gone, and a disk with no room for them. Real
 * processes, real files. Every run ends with the weights of the undisturbed one.
 */
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { randomIds } from '../../cloud/embedded/ids.ts';
import { createTable } from '../../cloud/embedded/table.ts';
import type { RunResult } from '../../core/result.ts';
import { type CheckpointIndex, keys } from '../../core/run.ts';
import { Lab, type Running, small, until } from './harness.ts';

/** Two epochs of 20 steps; with a checkpoint every 5 there are several to step back to. */
const inTable = small({ name: 'kept', pace: '40ms', everySteps: 5 });
/** The same, with more parameters than the table takes. */
const inBucket = inTable.replace('units: 32', 'units: 512');

let undisturbed: Readonly<Record<'table' | 'bucket', string>>;
beforeAll(async () => {
  const [table, bucket] = await Promise.all(
    [inTable, inBucket].map(async (text) => {
      const lab = new Lab();
      try {
        return (await lab.train(lab.config('kept', text.replace('pace: 40ms', 'pace: 0ms')))).weightsDigest ?? '';
      } finally {
        lab.close();
      }
    }),
  );
  undisturbed = { table: table!, bucket: bucket! };
}, 60_000);

const labs: Lab[] = [];
afterAll(() => {
  for (const lab of labs) lab.close();
});

/** A run that was killed, with its tasks, after so many lines that match. */
async function killedRun(lab: Lab, training: Running, line: RegExp, times: number): Promise<void> {
  await until(
    `${times} times ${line}`,
    30_000,
    () => (training.text().match(new RegExp(line, 'g')) ?? []).length >= times,
  );
  training.child.kill('SIGKILL');
  await training.ended;
  await until('the tasks to end with their parent', 8000, () => lab.leftovers().length === 0);
}

function runIdIn(lab: Lab): string {
  return readdirSync(join(lab.stateDir, 'bucket', 'runs'))[0]!;
}

async function checkpointsOf(lab: Lab, runId: string): Promise<CheckpointIndex['manifests']> {
  const table = createTable({ folder: join(lab.stateDir, 'table'), temp: join(lab.stateDir, 'tmp'), ids: randomIds });
  return (await table.get<CheckpointIndex>(runId, keys.checkpoints))?.value.manifests ?? [];
}

/** The files that hold the newest checkpoint's part of that name. */
async function filesOf(lab: Lab, runId: string, name: 'parameters' | 'optimizer'): Promise<readonly string[]> {
  const [newest] = await checkpointsOf(lab, runId);
  const digest = newest!.parts.find((part) => part.name === name)!.digest;
  const folder = newest!.store === 'table' ? join('table', runId) : join('bucket', 'runs', runId);
  const all = readdirSync(join(lab.stateDir, folder), { recursive: true, withFileTypes: true });
  const found = all.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return found.filter((path) => path.includes(digest.replace('sha256:', '')));
}

/** Turns one digit in the middle into another: the file stays as long as it was, and JSON where it was. */
function flip(path: string): void {
  const bytes = readFileSync(path);
  let at = bytes.length >> 1;
  while (!/[A-Za-z]/.test(String.fromCharCode(bytes[at]!))) at += 1;
  bytes[at]! ^= 0x20;
  writeFileSync(path, bytes);
}

const damages = {
  'has a part with another content': { name: 'parameters', damage: flip },
  'has a part cut off': { name: 'optimizer', damage: (path: string) => truncateSync(path, 1000) },
  'lacks a part': { name: 'optimizer', damage: (path: string) => rmSync(path) },
} as const;

test.each([
  ['table', 'has a part with another content'],
  ['table', 'has a part cut off'],
  ['table', 'lacks a part'],
  ['bucket', 'has a part cut off'],
] as const)(
  'the newest checkpoint, in the %s, %s: back to the one before, to the same weights',
  async (store, what) => {
    const { name, damage } = damages[what];
    const lab = new Lab();
    labs.push(lab);
    const config = lab.config('kept', store === 'table' ? inTable : inBucket);
    await killedRun(lab, lab.start(['train', config]), /checkpoint at step/, 3);
    const runId = runIdIn(lab);
    const [newest, before] = await checkpointsOf(lab, runId);
    expect(before!.step).toBeLessThan(newest!.step);
    const files = await filesOf(lab, runId, name);
    expect(files).not.toEqual([]);
    for (const path of files) damage(path);

    const resumed = await lab.run(['resume', runId, '--json']);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect((JSON.parse(resumed.stdout) as RunResult).weightsDigest).toBe(undisturbed[store]);
    const events = lab.events(runId) as readonly { event: string; step?: number }[];
    expect(events).toContainEqual(expect.objectContaining({ event: 'checkpoint.damaged', step: newest!.step }));
    expect(events).toContainEqual(expect.objectContaining({ event: 'training.restored', step: before!.step }));
    expect(lab.leftovers()).toEqual([]);
  },
  60_000,
);

test('no space left while a checkpoint is written: training goes on, and the checkpoints before stay intact', async () => {
  const lab = new Lab();
  labs.push(lab);
  const config = lab.config('kept', inTable);
  await killedRun(lab, lab.start(['train', config]), /checkpoint at step/, 2);
  const runId = runIdIn(lab);
  const [kept] = await checkpointsOf(lab, runId);

  // As on a full disk, every write of the optimizer's part is refused; what is smaller still finds room.
  await killedRun(lab, lab.startLimited(['resume', runId], 'ulimit -f 160'), /a checkpoint could not be saved/, 2);
  const after = await checkpointsOf(lab, runId);
  expect(after[0]).toEqual(kept);

  const resumed = await lab.run(['resume', runId, '--json']);
  expect(resumed.code, resumed.stderr).toBe(0);
  expect((JSON.parse(resumed.stdout) as RunResult).weightsDigest).toBe(undisturbed.table);
  const events = lab.events(runId) as readonly { event: string; step?: number }[];
  expect(events).toContainEqual(expect.objectContaining({ event: 'checkpoint.failed' }));
  expect(events.filter(({ event }) => event === 'training.restored').map(({ step }) => step)).toEqual([
    kept!.step,
    kept!.step,
  ]);
  expect(events.map(({ event }) => event)).not.toContain('checkpoint.damaged');
  expect(lab.leftovers()).toEqual([]);
}, 60_000);

test('no room from beginning to end: the run succeeds without a checkpoint, and says so', async () => {
  const lab = new Lab();
  labs.push(lab);
  const config = lab.config('kept', inTable.replace('pace: 40ms', 'pace: 5ms'));
  const ended = await lab.startLimited(['train', config, '--json'], 'ulimit -f 160').ended;
  expect(ended.code, ended.stderr).toBe(0);
  expect((JSON.parse(ended.stdout) as RunResult).weightsDigest).toBe(undisturbed.table);
  expect(ended.stderr).toMatch(/a checkpoint could not be saved: could not store .*larger than/);
  expect(ended.stderr).not.toMatch(/checkpoint at step/);
}, 60_000);
