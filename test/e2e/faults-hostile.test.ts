/**
 * P2, P3, P4 and P6 against a person: processes stopped and killed from outside at bad moments, commands given twice, and
 * the state folder taken away. Real processes and signals. Nothing hangs, nothing is left, the weights are the same.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { randomIds } from '../../cloud/embedded/ids.ts';
import { createTable } from '../../cloud/embedded/table.ts';
import type { RunResult } from '../../core/result.ts';
import { keys, type MemberRow } from '../../core/run.ts';
import { Lab, type Running, small, until } from './harness.ts';

/** Two epochs of 20 steps of 40 ms. */
const slow = small({ name: 'slow', pace: '40ms', everySteps: 5 });

let undisturbed: string | undefined;
beforeAll(async () => {
  const reference = new Lab();
  try {
    const config = reference.config('slow', slow.replace('pace: 40ms', 'pace: 0ms'));
    undisturbed = (await reference.train(config)).weightsDigest;
  } finally {
    reference.close();
  }
}, 60_000);

let lab: Lab;
beforeEach(() => {
  lab = new Lab();
});
afterEach(() => lab.close());

const training = (run: Running) => until('training', 30_000, () => /checkpoint at step/.test(run.text()));
const runId = () => readdirSync(join(lab.stateDir, 'bucket', 'runs'))[0]!;

/** The process that has the slot now. */
async function processOf(slot: string): Promise<number> {
  const table = createTable({ folder: join(lab.stateDir, 'table'), temp: join(lab.stateDir, 'tmp'), ids: randomIds });
  const row = await table.get<MemberRow>(runId(), keys.member(slot));
  return JSON.parse(readFileSync(join(lab.stateDir, 'tasks', row!.value.taskId, 'process.json'), 'utf8')).pid;
}

const leader = (run: Running) => /(worker\/\d) leads/.exec(run.text())![1]!;
const follower = (run: Running) => (leader(run) === 'worker/0' ? 'worker/1' : 'worker/0');

async function finished(run: Running): Promise<RunResult> {
  const ended = await run.ended;
  expect(ended.code, ended.stderr).toBe(0);
  const result = JSON.parse(ended.stdout) as RunResult;
  expect(result.weightsDigest).toBe(undisturbed);
  expect(lab.leftovers()).toEqual([]);
  return result;
}

test.each([
  ['a worker', follower],
  ['the leader', leader],
] as const)(
  '%s that is stopped from outside and never wakes is replaced and ended',
  async (_, victim) => {
    const config = lab.config('slow', slow);
    const run = lab.start(['train', config, '--json', '--workers', '2:2']);
    await training(run);
    process.kill(await processOf(victim(run)), 'SIGSTOP');
    const result = await finished(run);
    expect(result).toMatchObject({ recoveries: 1, lostSteps: 0 });
    expect(lab.events(result.runId).map(({ event }) => event)).toContain('member.silent');
  },
  60_000,
);

test('tasks killed one after the other, each while the one before is being replaced', async () => {
  const config = lab.config('slow', slow);
  const run = lab.start(['train', config, '--json', '--workers', '3:3']);
  await training(run);
  const launches = () => run.text().match(/decided to launch: replace/g)?.length ?? 0;
  for (const [i, slot] of ['worker/0', 'worker/1', 'worker/2'].entries()) {
    process.kill(await processOf(slot), 'SIGKILL');
    // Decided, not yet there: its replacement is starting when the next one dies.
    if (i < 2) await until('the replacement', 15_000, () => launches() > i);
  }
  expect((await finished(run)).lostSteps).toBe(0);
}, 60_000);

test('the train command stopped for a while and woken again goes on as if nothing had been', async () => {
  const config = lab.config('slow', slow);
  const run = lab.start(['train', config, '--json']);
  await training(run);
  run.child.kill('SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 4000));
  run.child.kill('SIGCONT');
  expect(await finished(run)).toMatchObject({ recoveries: 0, lostSteps: 0 });
}, 60_000);

test('the train command killed again and again, at any moment, comes to the same weights', async () => {
  const config = lab.config('slow', slow);
  for (const afterMs of [150, 700, 1500, 900, 2200]) {
    const run = lab.start(['train', config]);
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    run.child.kill('SIGKILL');
    await run.ended;
  }
  await finished(lab.start(['train', config, '--json']));
}, 60_000);

test('the state folder removed under a run: one clear error, and no process stays', async () => {
  const config = lab.config('slow', slow);
  const run = lab.start(['train', config, '--json']);
  await training(run);
  // Gone at once: removing file by file would race with those who write them.
  const moved = `${lab.stateDir}-moved`;
  renameSync(lab.stateDir, moved);
  const ended = await run.ended;
  rmSync(moved, { recursive: true, force: true });
  expect(ended.code).toBe(2);
  expect(ended.stderr).toMatch(/state folder .* is gone/);
  expect(ended.stderr).not.toMatch(/\n\s+at /);
  expect(lab.leftovers()).toEqual([]);
}, 60_000);

test('cancelled by two at once; resumed while it runs; its logs followed to the end', async () => {
  // Long enough for four commands to be given meanwhile.
  const config = lab.config('slow', slow.replace('epochs: 2', 'epochs: 20'));
  const run = lab.start(['train', config, '--json']);
  await training(run);
  const following = lab.run(['logs', 'slow', '--follow']);
  const resume = await lab.run(['resume', 'slow']);
  expect(resume.code).toBe(2);
  expect(resume.stderr).toContain(`process ${run.child.pid}`);
  const cancels = await Promise.all([lab.run(['cancel', 'slow']), lab.run(['cancel', 'slow'])]);
  for (const cancel of cancels) expect([0, 2], cancel.stderr).toContain(cancel.code);
  expect(cancels.map(({ code }) => code)).toContain(0);
  expect((await run.ended).code).toBe(3);
  const followed = await following;
  expect(followed.code).toBe(0);
  expect(followed.stdout).toMatch(/run\.cancelled/);
  expect(lab.leftovers()).toEqual([]);
}, 60_000);

test('serve with many files at once, and things that are no configs', async () => {
  lab.dropConfig('huge.yaml', 'a'.repeat(3_000_000));
  const inbox = join(lab.stateDir, 'bucket', 'configs');
  mkdirSync(join(inbox, 'folder.yaml'));
  symlinkSync('/dev/zero', join(inbox, 'endless.yaml'));
  symlinkSync(join(lab.folder, 'nowhere'), join(inbox, 'broken.yaml'));
  const elsewhere = lab.config('linked', small({ name: 'linked', epochs: 1, samples: 320, workers: '1' }));
  symlinkSync(elsewhere, join(inbox, 'linked.yaml'));
  writeFileSync(join(inbox, 'gone.yaml'), 'version: 1\n');
  for (let i = 0; i < 8; i += 1) {
    lab.dropConfig(`run-${i}.yaml`, small({ name: `run-${i}`, epochs: 1, samples: 320, workers: '1' }));
  }
  rmSync(join(inbox, 'gone.yaml'));
  const ended = await lab.run(['serve', '--once', '--json']);
  expect(ended.code, ended.stderr).toBe(0);
  const { runs } = JSON.parse(ended.stdout) as { runs: { runId: string; status: string }[] };
  expect(runs.map(({ status }) => status)).toEqual(Array.from({ length: 9 }, () => 'succeeded'));
  expect(readFileSync(join(inbox, 'huge.yaml.errors.txt'), 'utf8')).toMatch(/at most 64 KiB/);
  expect(lab.leftovers()).toEqual([]);
}, 90_000);
