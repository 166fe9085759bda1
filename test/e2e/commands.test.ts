/** validate, plan, status, logs, doctor, and how every command answers bad input: P7, and DESIGN's exit codes. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Lab, root, small } from './harness.ts';

let lab: Lab;
beforeAll(() => {
  lab = new Lab();
});
afterAll(() => lab.close());

const wrong = `version: 1
name: wrong
data: {source: digits}
network:
  layers:
    - flatten
    - dense: {units: -1}
training: {epoch: 3}
`;

describe('validate', () => {
  test('a good config', async () => {
    const ended = await lab.run(['validate', join(root, 'configs/digits.yaml'), '--json']);
    expect(ended.code, ended.stderr).toBe(0);
    expect(JSON.parse(ended.stdout)).toMatchObject({ status: 'valid' });
  });

  test('every problem at once, with line and column and what would be accepted; exit code 2', async () => {
    const path = lab.config('wrong', wrong);
    const ended = await lab.run(['validate', path]);
    expect(ended.code).toBe(2);
    expect(ended.stderr).toMatch(/7:\d+ .*units.*-1/);
    expect(ended.stderr).toMatch(/8:\d+ .*epochs/);
    const json = await lab.run(['validate', path, '--json']);
    expect(json.code).toBe(2);
    const [file] = JSON.parse(json.stdout).files;
    expect(file.issues.length).toBeGreaterThanOrEqual(2);
    expect(file.issues[0]).toMatchObject({ line: 7 });
  });

  test.each([
    ['a missing file', undefined],
    ['an empty file', ''],
    ['something that is not YAML', '{{{'],
    ['ten megabytes', 'a'.repeat(10_000_000)],
    ['an alias bomb', `a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n`],
  ])('%s is one clear error', async (name, text) => {
    const path = join(lab.folder, `${name.replaceAll(' ', '-')}.yaml`);
    if (text !== undefined) writeFileSync(path, text);
    for (const command of ['validate', 'train', 'plan']) {
      const ended = await lab.run([command, path]);
      expect(ended.code, `${command}: ${ended.stderr}`).toBe(2);
      expect(ended.stderr.trim()).not.toBe('');
      expect(ended.stderr).not.toMatch(/\n\s+at /);
      expect(ended.stderr.length).toBeLessThan(4000);
    }
  });

  test('a folder instead of a file', async () => {
    const ended = await lab.run(['train', lab.folder]);
    expect(ended.code).toBe(2);
    expect(ended.stderr).toMatch(/folder/);
  });
});

describe('plan', () => {
  test('resolves every number, for people and for scripts, and starts nothing', async () => {
    const config = join(root, 'configs/digits.yaml');
    const person = await lab.run(['plan', config]);
    expect(person.code, person.stderr).toBe(0);
    for (const word of ['worker', 'memory', 'steps', 'history', 'hour', 'worst case']) {
      expect(person.stdout.toLowerCase()).toContain(word);
    }
    const script = await lab.run(['plan', config, '--workers', '3', '--json']);
    expect(script.code, script.stderr).toBe(0);
    expect(JSON.parse(script.stdout)).toMatchObject({ schema: 1, cluster: { worker: { max: 3 } } });
    expect(existsSync(join(lab.stateDir, 'bucket'))).toBe(false);
  });
});

describe('after a run', () => {
  let runId: string;
  beforeAll(async () => {
    runId = (await lab.train(lab.config('seen', small({ name: 'seen', epochs: 1 })))).runId;
  });

  test('status lists it, and shows it by id, prefix and name', async () => {
    const list = await lab.run(['status', '--json']);
    expect(JSON.parse(list.stdout).runs).toMatchObject([{ runId, phase: 'succeeded' }]);
    for (const name of [runId, runId.slice(0, 8), 'seen']) {
      const one = await lab.run(['status', name, '--json']);
      expect(JSON.parse(one.stdout), one.stderr).toMatchObject({ runId, phase: 'succeeded', driver: null });
    }
    const person = await lab.run(['status', 'seen']);
    expect(person.stdout).toContain('succeeded');
    expect(person.stdout).not.toContain('undefined');
  });

  test('a name that fits no run, or several, is refused with the candidates', async () => {
    const none = await lab.run(['status', 'nothing']);
    expect(none.code).toBe(2);
    expect(none.stderr).toContain(runId);
    await lab.train(lab.config('seen-2', small({ name: 'seen', epochs: 1, samples: 640 })));
    const several = await lab.run(['status', 'seen']);
    expect(several.code).toBe(2);
    expect(several.stderr).toContain(runId);
  });

  test('logs shows every task by its name, and one with --task', async () => {
    const all = await lab.run(['logs', runId]);
    expect(all.code, all.stderr).toBe(0);
    expect(all.stdout).toContain('worker/0');
    expect(all.stdout).toContain('worker/1');
    const one = await lab.run(['logs', runId, '--task', 'worker/1', '--json']);
    const lines = JSON.parse(one.stdout).lines as { task: string }[];
    expect(lines.length).toBeGreaterThan(0);
    expect(new Set(lines.map((line) => line.task))).toEqual(new Set(['worker/1']));
    const wrongTask = await lab.run(['logs', runId, '--task', 'worker/7']);
    expect(wrongTask.code).toBe(2);
    expect(wrongTask.stderr).toContain('worker/1');
  });

  test('resume of a run that has succeeded is refused, and says what to do', async () => {
    const ended = await lab.run(['resume', runId]);
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain('--fresh');
  });
});

describe('bad input', () => {
  test('a missing data folder costs nothing', async () => {
    const config = lab.config(
      'mnist',
      `version: 1\nname: mnist\ndata: {source: mnist, path: nowhere}\nnetwork: {layers: [flatten, {dense: {units: 10, activation: softmax}}]}\n`,
    );
    const ended = await lab.run(['train', config, '--json']);
    expect(ended.code, ended.stderr).toBe(2);
    expect(ended.stderr).toContain('nowhere');
    expect(lab.leftovers()).toEqual([]);
    const given = join(lab.folder, 'empty');
    mkdirSync(given);
    const override = await lab.run(['train', config, '--data', given, '--json']);
    expect(override.code, override.stderr).toBe(2);
    expect(override.stderr).toContain('train-images');
  });

  test.each([
    [['train'], /missing required argument/],
    [['train', 'x.yaml', '--workers', '0'], /whole number|a number such as/],
    [['train', 'x.yaml', '--workers', '4:2'], /MIN:MAX/],
    [['train', 'x.yaml', '--epochs', 'many'], /whole number/],
    [['trian', 'x.yaml'], /train/],
    [['status', '--nonsense'], /unknown option/],
    [['train', join(root, 'configs/digits.yaml'), '--chaos', 'set fire to worker 1'], /kill worker 1 at step/],
  ])('%j is exit code 2 with one clear line', async (args, message) => {
    const ended = await lab.run(args);
    expect(ended.code).toBe(2);
    expect(ended.stderr).toMatch(message);
    const json = await lab.run([...args, '--json']);
    expect(json.code).toBe(2);
    expect(JSON.parse(json.stdout)).toMatchObject({ status: 'error' });
  });
});

describe('doctor', () => {
  test('finds this machine able to train, and leaves no trace', async () => {
    const fresh = new Lab();
    try {
      const ended = await fresh.run(['doctor', '--json']);
      expect(ended.code, ended.stdout).toBe(0);
      const { checks } = JSON.parse(ended.stdout) as { checks: { name: string; status: string }[] };
      expect(checks.map((check) => check.name)).toEqual(
        expect.arrayContaining(['node', 'packages', 'build', 'engine', 'state', 'disk', 'memory', 'loopback']),
      );
      expect(existsSync(fresh.stateDir)).toBe(false);
    } finally {
      fresh.close();
    }
  });
});
