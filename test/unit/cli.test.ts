import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { crowded, overridesOf, readConfig, readConfigText, workersOf } from '../../cli/config.ts';
import { checkAws, checkBundles, checkNode, checkStateFolder, compareVersions } from '../../cli/doctor.ts';
import { watchFolder } from '../../cli/inbox.ts';
import { phaseInWords } from '../../cli/look.ts';
import { exitCodeFor } from '../../cli/output.ts';
import { commandFor } from '../../cli/paths.ts';
import { createProgram, type Handlers } from '../../cli/program.ts';
import { summarise } from '../../cli/result.ts';
import { matchRun } from '../../cli/runs.ts';
import { formatLine, parseLine } from '../../cli/task-logs.ts';
import { failureTable } from '../../core/failure.ts';
import type { RunResult } from '../../core/result.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cuttlefish-cli-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('commandFor() is what a person can type: with the state folder when it is not the usual one', () => {
  expect(commandFor('resume', 'a-1', join(process.cwd(), '.cuttlefish'))).toBe('cuttlefish resume a-1');
  expect(commandFor('resume', 'a-1', '/tmp/x')).toBe('cuttlefish resume a-1 --state /tmp/x');
  expect(commandFor('cancel', 'a-1', "/tmp/o'clock x")).toBe(`cuttlefish cancel a-1 --state '/tmp/o'\\''clock x'`);
});

describe('matchRun()', () => {
  const runs = [
    { runId: 'digits-aaa1', name: 'digits' },
    { runId: 'digits-aab2', name: 'digits' },
    { runId: 'mnist-ccc3', name: 'mnist' },
    { runId: 'mnist', name: 'other' },
  ];
  test.each([
    ['digits-aaa1', { kind: 'one', runId: 'digits-aaa1' }],
    ['digits-aaa', { kind: 'one', runId: 'digits-aaa1' }],
    ['digits', { kind: 'several', runIds: ['digits-aaa1', 'digits-aab2'] }],
    ['other', { kind: 'one', runId: 'mnist' }],
    // An id counts before a name or a beginning.
    ['mnist', { kind: 'one', runId: 'mnist' }],
    ['nothing', { kind: 'none' }],
    ['', { kind: 'none' }],
  ])('%j', (given, expected) => expect(matchRun(runs, given)).toEqual(expected));
});

describe('config files', () => {
  const config = (data: string) =>
    `version: 1\nname: x\ndata: ${data}\nnetwork: {layers: [{dense: {units: 10, activation: softmax}}]}\n`;
  const none = { chaos: [] };

  test('a missing file, a folder and a giant are told apart, and a giant is not read whole', () => {
    expect(() => readConfigText(join(folder, 'no.yaml'))).toThrow(/there is no file .*no\.yaml/);
    expect(() => readConfigText(folder)).toThrow(/is a folder; accepted: a YAML file/);
    const big = join(folder, 'big.yaml');
    writeFileSync(big, 'a'.repeat(3_000_000));
    expect(readConfigText(big).length).toBeLessThan(100_000);
    expect(() => readConfig(big, none, 'local')).toThrow(/problem/);
  });

  test('N2 a relative data.path becomes absolute, an absolute one and a URI stay', () => {
    const path = join(folder, 'a.yaml');
    writeFileSync(path, config('{source: mnist, path: some/where}'));
    expect(readConfig(path, none, 'local').config.data).toMatchObject({ path: join(process.cwd(), 'some/where') });
    for (const given of ['/abs/olute', 's3://bucket/prefix']) {
      writeFileSync(path, config(`{source: mnist, path: '${given}'}`));
      expect(readConfig(path, none, undefined).config.data).toMatchObject({ path: given });
    }
  });

  test('N2 so do the test file of a csv, also with --data, and a model', () => {
    const path = join(folder, 'a.yaml');
    const csv = config('{source: csv, path: a.csv, testPath: some/b.csv}');
    writeFileSync(path, csv);
    const testPath = join(process.cwd(), 'some/b.csv');
    expect(readConfig(path, none, 'local').config.data).toMatchObject({ path: join(process.cwd(), 'a.csv'), testPath });
    const given = readConfig(path, { ...none, data: '/abs/c.csv' }, 'local').config.data;
    expect(given).toMatchObject({ path: '/abs/c.csv', testPath });
    writeFileSync(path, `version: 1\nname: a\ndata: {source: digits}\nnetwork: {model: some/model.json}\n`);
    expect(readConfig(path, none, 'local').config.network).toEqual({ model: join(process.cwd(), 'some/model.json') });
  });

  test('the same file with the same options is the same text, other options another', () => {
    const path = join(folder, 'a.yaml');
    writeFileSync(path, config('{source: digits}'));
    const text = (epochs?: number) => readConfig(path, { ...none, ...(epochs ? { epochs } : {}) }, 'local').text;
    expect(text(3)).toBe(text(3));
    expect(text(3)).not.toBe(text(4));
  });

  test('overrides', () => {
    expect(workersOf('4')).toEqual({ min: 1, max: 4 });
    expect(workersOf('2:8')).toEqual({ min: 2, max: 8 });
    expect(
      overridesOf({ data: '/d', workers: '3', epochs: 2, parameterServers: 0, chaos: ['kill all at step 3'] }, 'local'),
    ).toEqual({
      dataPath: '/d',
      workers: { min: 1, max: 3 },
      epochs: 2,
      parameterServers: 0,
      chaos: ['kill all at step 3'],
      launch: 'local',
    });
    expect(overridesOf(none, undefined)).toEqual({});
  });

  test('a warning when there are more threads than processors', () => {
    const path = join(folder, 'threads.yaml');
    const said = (cluster: string, processors: number) => {
      writeFileSync(path, `${config('{source: digits}')}cluster: ${cluster}\n`);
      return crowded(readConfig(path, none, 'local').config, processors);
    };
    expect(said('{workers: 2, worker: {threads: 2}}', 4)).toBeUndefined();
    expect(said('{workers: 2, worker: {threads: 2}}', 3)).toMatch(/2 worker\(s\) with 2 threads each .* 3 processor/);
    expect(said('{workers: 8}', 4)).toBeUndefined();
  });
});

describe('the program', () => {
  const asked: unknown[] = [];
  const handlers = {
    train: async (...given: unknown[]) => {
      asked.push(given);
    },
  } as unknown as Handlers;
  const parse = (...args: string[]) => {
    const program = createProgram(handlers, '1.2.3');
    for (const command of [program, ...program.commands]) {
      command.exitOverride().configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
    }
    return program.parseAsync(args, { from: 'user' });
  };

  test('M1 every command has --json, --state, and examples that begin with its name', () => {
    for (const command of createProgram(handlers, '1.2.3').commands) {
      let help = '';
      command.configureOutput({ writeOut: (text) => (help += text) });
      command.outputHelp();
      expect(help, command.name()).toContain('--json');
      expect(help, command.name()).toContain('--state');
      expect(help, command.name()).toContain(`Examples:\n  $ cuttlefish ${command.name()}`);
    }
  });

  test('train gets its options parsed', async () => {
    await parse('train', 'a.yaml', '--workers', '2:4', '--epochs', '3', '--chaos', 'one', '--chaos', 'two', '--json');
    expect(asked.at(-1)).toMatchObject([
      'a.yaml',
      { workers: '2:4', epochs: 3, chaos: ['one', 'two'], json: true, state: '.cuttlefish' },
    ]);
  });

  test.each([
    [['train', 'a.yaml', '--workers', '0']],
    [['train', 'a.yaml', '--workers', '3:2']],
    [['train', 'a.yaml', '--workers', 'x']],
    [['train', 'a.yaml', '--epochs', '1.5']],
    [['train', 'a.yaml', '--parameter-servers', '-1']],
    [['train']],
    [['nothing']],
  ])('M2 %j is refused', async (args) => {
    await expect(parse(...args)).rejects.toMatchObject({ exitCode: 1 });
  });
});

describe('exit codes', () => {
  test('every kind of failure has one, and only a cancelled run has 3', () => {
    for (const kind of Object.keys(failureTable)) {
      const code = exitCodeFor({ kind } as Parameters<typeof exitCodeFor>[0]);
      expect(code === 3, kind).toBe(kind === 'Cancelled');
      expect(code === 2, kind).toBe(['ConfigInvalid', 'DataInvalid', 'Conflict'].includes(kind));
    }
  });
});

describe('log lines', () => {
  test('one of ours keeps its fields and is named by its slot', () => {
    const from = { task: 'worker/abc', lastAt: '' };
    const line = parseLine(
      '{"at":"2026-01-02T03:04:05.678Z","level":"info","event":"epoch.ended","slot":"worker/1","step":7}',
      from,
    );
    expect(line.task).toBe('worker/1');
    expect(formatLine(line)).toBe('03:04:05.678  worker/1            info   epoch.ended  step=7');
    expect(from.lastAt).toBe('2026-01-02T03:04:05.678Z');
  });

  test('K2 anything else is text at the time of the line before', () => {
    const from = { task: 'worker/1', lastAt: '2026-01-02T03:04:05.678Z' };
    for (const text of ['Error: no', '{"half":', '{}']) {
      expect(parseLine(text, from)).toEqual({ at: from.lastAt, task: 'worker/1', text });
    }
  });
});

describe('summarise()', () => {
  const artifacts = { metrics: '/m', report: '/r', result: '/x', events: '/e', plan: '/p', model: '/model.json' };
  const result: RunResult = {
    runId: 'a-1',
    status: 'succeeded',
    epochs: 2,
    steps: 1234,
    metrics: { accuracy: 0.98765, loss: 0.01 },
    weightsDigest: 'sha256:ff',
    recoveries: 1,
    lostSteps: 3,
    generations: 2,
    goodput: 0.913,
    durationMs: 4200,
    receipt: {
      tasks: 2,
      taskSeconds: 9,
      transitions: 9,
      tasksUsd: 0,
      transitionsUsd: 0,
      usd: 0,
      pricesAsOf: '2026-11-01',
    },
    artifacts,
  };
  test('says what came out and where it lies', () => {
    const text = summarise(result);
    expect(text).toContain('Trained.');
    expect(text).toContain('accuracy    0.9877');
    expect(text).toContain('2 (1,234 steps)');
    expect(text).toContain('1 (2 generations, 3 steps repeated)');
    expect(text).toContain('/model.json');
  });
  test('says why it failed, and nothing that is not there', () => {
    const text = summarise({
      ...result,
      status: 'failed',
      metrics: {},
      failure: { kind: 'NotConverging', step: 3, loss: 'NaN' },
    });
    expect(text).toContain('The run failed.');
    expect(text).toContain('the loss became NaN at step 3');
    expect(text).not.toContain('undefined');
  });
});

describe('phaseInWords()', () => {
  test('a run that nobody drives is interrupted, unless it has ended', () => {
    expect(phaseInWords('training', { pid: 1, sinceMs: 0 })).toBe('training');
    expect(phaseInWords('training', undefined)).toBe('interrupted (was training)');
    expect(phaseInWords('succeeded', undefined)).toBe('succeeded');
  });
});

describe('doctor', () => {
  test('compareVersions() compares numbers, not text', () => {
    expect(compareVersions('v20.9.0', '20.19.0')).toBeLessThan(0);
    expect(compareVersions('22.1.0', '20.19.0')).toBeGreaterThan(0);
    expect(compareVersions('20.19.0', 'v20.19.0')).toBe(0);
  });
  test('an old Node, missing bundles and a foreign state folder fail with advice', () => {
    const state = join(folder, 'state');
    mkdirSync(state);
    writeFileSync(join(state, 'VERSION'), '{"layout":99}\n');
    for (const check of [checkNode('v18.0.0'), checkBundles(folder), checkStateFolder(state)]) {
      expect(check.status, check.name).toBe('fail');
      expect(check.advice, check.name).toBeTruthy();
    }
    expect(checkNode('v20.19.0').status).toBe('ok');
  });
  test('a state folder that is not there yet is left like that', () => {
    const state = join(folder, 'new');
    expect(checkStateFolder(state).status).toBe('ok');
    expect(() => readConfigText(join(state, 'VERSION'))).toThrow(/no file/);
  });
  test('of the AWS environment only names are told', () => {
    expect(JSON.stringify(checkAws({ AWS_PROFILE: 'private-name' }))).not.toContain('private-name');
  });
});

describe('watchFolder()', () => {
  test('IN1, IN2 a file is told once when it has settled, and again when it is written anew', async () => {
    const told: string[] = [];
    const inbox = watchFolder(folder, async (name) => {
      told.push(name);
    });
    const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
    writeFileSync(join(folder, 'b.yaml'), '1');
    writeFileSync(join(folder, 'a.yml'), '1');
    writeFileSync(join(folder, 'a.yml.errors.txt'), 'not a config');
    writeFileSync(join(folder, '.c.yaml.swp'), 'not a config');
    // A link to a file is as good as the file; what may never end is not read.
    writeFileSync(join(folder, 'elsewhere'), '1');
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'link.yaml'));
    symlinkSync('/dev/zero', join(folder, 'zero.yaml'));
    symlinkSync(join(folder, 'nowhere'), join(folder, 'broken.yaml'));
    mkdirSync(join(folder, 'folder.yaml'));
    mkdirSync(join(folder, 'team'));
    writeFileSync(join(folder, 'team', 'd.yaml'), '1');
    await inbox.settled();
    await wait(700);
    expect(told).toEqual(['a.yml', 'b.yaml', 'link.yaml', 'team/d.yaml']);
    writeFileSync(join(folder, 'b.yaml'), '22');
    await wait(1200);
    expect(told.slice(4)).toEqual(['b.yaml']);
    inbox.close();
    writeFileSync(join(folder, 'e.yaml'), '1');
    await wait(700);
    expect(told).toHaveLength(5);
  });
});
