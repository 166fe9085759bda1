/** The state folder, the bucket and the data of the embedded world when something is wrong with them. */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { fileLog, lineLog } from '../../cloud/embedded/log.ts';
import { openStateFolder, requireWritable } from '../../cloud/embedded/state-folder.ts';
import { closeWorlds, newFolder, newWorld, otherProcess } from '../support/embedded.ts';

afterEach(closeWorlds);

describe('the state folder', () => {
  it('is made with its layout, and opened again', () => {
    const root = join(newFolder(), 'deep', '.cuttlefish');
    openStateFolder(root);
    expect(JSON.parse(readFileSync(join(root, 'VERSION'), 'utf8'))).toEqual({ layout: 1 });
    expect(openStateFolder(root).bucket).toBe(join(root, 'bucket'));
  });

  it.each([
    ['{"layout":2}', /layout 2.*reads layout 1.*--state/s],
    ['{}', /layout unknown.*reads layout 1/],
    ['rubbish', /rubbish.*reads layout 1/],
  ])('of another version (%s) is refused and left as it is', (text, message) => {
    const root = newFolder();
    writeFileSync(join(root, 'VERSION'), text);
    expect(() => openStateFolder(root)).toThrow(message);
    expect(() => openStateFolder(root)).toThrow(root);
    expect(readdirSync(root)).toEqual(['VERSION']);
  });

  it('is never made of a folder that holds something else', () => {
    const root = newFolder();
    writeFileSync(join(root, 'thesis.tex'), '');
    expect(() => openStateFolder(root)).toThrow(/not a state folder.*thesis\.tex/);
    expect(readdirSync(root)).toEqual(['thesis.tex']);
  });

  it('is refused where there can be none, with the reason', () => {
    const root = newFolder();
    writeFileSync(join(root, 'file'), '');
    for (const place of [join(root, 'file'), join(root, 'file', 'below')]) {
      expect(() => openStateFolder(place)).toThrow(/there can be no state folder .*file.*--state/);
    }
    // Node's recursive mkdir never comes back from here.
    if (process.platform === 'linux') expect(() => openStateFolder('/proc/cuttlefish/state')).toThrow(/--state/);
  });

  it('that cannot be written is refused by who is about to write', () => {
    const state = openStateFolder(join(newFolder(), 'state'));
    requireWritable(state);
    expect(readdirSync(state.tmp)).toEqual([]);
    rmdirSync(state.tmp);
    expect(() => requireWritable(state)).toThrow(/cannot be written: .*--state/);
  });

  it('may be prepared with a config to start', () => {
    const root = newFolder();
    mkdirSync(join(root, 'bucket', 'configs'), { recursive: true });
    expect(() => openStateFolder(root)).not.toThrow();
  });

  it('forgets temporary files of killed processes after a while', () => {
    const root = newFolder();
    const { tmp } = openStateFolder(root);
    for (const name of ['old', 'young']) writeFileSync(join(tmp, name), '');
    utimesSync(join(tmp, 'old'), 0, 0);
    openStateFolder(root);
    expect(readdirSync(tmp)).toEqual(['young']);
  });
});

describe('the bucket', () => {
  it.each([
    '',
    '/etc/passwd',
    '../outside',
    'a/../../outside',
    'a/./b',
    'a//b',
    'a/',
    'nul\0l',
    'a\\..\\b',
    'x'.repeat(1025),
  ])('refuses the key %j', async (key) => {
    const { objects } = await newWorld();
    await expect(objects.put(key, 'x', 'always')).rejects.toMatchObject({ name: 'DataInvalid' });
    await expect(objects.get(key)).rejects.toThrow(/accepted: names separated by "\/"/);
  });

  it('lists no path outside, and no file that is being written', async () => {
    const { objects, stateDir } = await newWorld();
    await expect(objects.list('../')).rejects.toThrow(/object key/);
    await objects.put('a', 'x', 'always');
    writeFileSync(join(stateDir, 'tmp', 'half'), 'x');
    expect(await objects.list('')).toEqual(['a']);
    expect(readdirSync(join(stateDir, 'bucket'))).toEqual(['a']);
  });

  it('names the version by the content, also of a file that a person put there', async () => {
    const { objects, stateDir } = await newWorld();
    const stored = await objects.put('a.yaml', 'name: x\n', 'always');
    writeFileSync(join(stateDir, 'bucket', 'b.yaml'), 'name: x\n');
    const version = stored.kind === 'stored' ? stored.version : '';
    expect(version).toMatch(/^[0-9a-f]{64}$/);
    expect(await objects.getVersion('b.yaml', version)).toMatchObject({ version });
    writeFileSync(join(stateDir, 'bucket', 'b.yaml'), 'name: y\n');
    expect(await objects.getVersion('b.yaml', version)).toBeUndefined();
    expect(objects.locate('b.yaml')).toBe(join(stateDir, 'bucket', 'b.yaml'));
  });

  it('says what is in the way when a key is both an object and a folder', async () => {
    const { objects } = await newWorld();
    await objects.put('a', 'x', 'always');
    await expect(objects.put('a/b', 'x', 'always')).rejects.toMatchObject({ name: 'StorageFailed' });
    await objects.put('c/d', 'x', 'always');
    await expect(objects.put('c', 'x', 'always')).rejects.toThrow(/could not store .*bucket\/c/);
    expect(await objects.get('c')).toBeUndefined();
    await objects.delete('c');
    expect(await objects.list('')).toEqual(['a', 'c/d']);
  });

  it('and the table tell what could not be stored when there is no room, and leave nothing half', async () => {
    const { objects, table, stateDir } = await newWorld();
    // Files of at most 64 KiB: what the system says is EFBIG, as a full disk says ENOSPC.
    const other = otherProcess('fill', { stateDir, bytes: 300_000 }, 'ulimit -f 64');
    const failure = { kind: 'StorageFailed', reason: expect.stringMatching(/larger than .*EFBIG/) };
    expect(await other.next()).toMatchObject({ ...failure, what: expect.stringMatching(/runs\/r\/large\.bin$/) });
    expect(await other.next()).toMatchObject(failure);
    expect(await objects.list('')).toEqual([]);
    expect(await table.query('run', '')).toEqual([]);
    expect(readdirSync(join(stateDir, 'tmp'))).toEqual([]);
    expect(await table.put('run', 'row', {}, { absent: true })).toEqual({ kind: 'stored', version: 1 });
  });
});

it('the folder of temporary files may be tidied away', async () => {
  const { objects, table, state } = await newWorld();
  rmdirSync(state.tmp);
  expect(await objects.put('a', 'x', 'always')).toMatchObject({ kind: 'stored' });
  rmdirSync(state.tmp);
  expect(await table.put('run', 'row', {}, { absent: true })).toEqual({ kind: 'stored', version: 1 });
});

describe('data on this machine', () => {
  it('is read from relative, absolute and file:// paths and through links', async () => {
    const folder = newFolder();
    const { datasets } = await newWorld({ baseFolder: folder });
    writeFileSync(join(folder, 'a b.csv'), 'x');
    symlinkSync(join(folder, 'a b.csv'), join(folder, 'link.csv'));
    for (const uri of ['a b.csv', './link.csv', join(folder, 'a b.csv'), pathToFileURL(join(folder, 'a b.csv')).href]) {
      expect(Buffer.from((await datasets.read(uri)) ?? []).toString(), uri).toBe('x');
    }
    expect(await datasets.list('.')).toEqual(['a b.csv', 'link.csv']);
  });

  it.each([
    ['s3://cuttlefish-localhost/x', /s3:\/\/cuttlefish-local\/<key>/],
    ['s3://cuttlefish-local/../VERSION', /"\.\."/],
    ['http://example.com/x', /"http:\/\/" cannot be read/],
    ['', /empty/],
    ['a\0b', /NUL/],
    ['file://host.example/x', /file:\/\/host\.example\/x/],
  ])('refuses %j', async (uri, message) => {
    const { datasets } = await newWorld();
    await expect(datasets.read(uri)).rejects.toThrow(message);
    await expect(datasets.read(uri)).rejects.toMatchObject({ name: 'DataInvalid' });
  });

  it('tells a folder from a file', async () => {
    const folder = newFolder();
    const { datasets } = await newWorld({ baseFolder: folder });
    mkdirSync(join(folder, 'data'));
    writeFileSync(join(folder, 'file'), '');
    await expect(datasets.read('data')).rejects.toThrow(/it is a folder/);
    expect(await datasets.list('file')).toBeUndefined();
    expect(await datasets.read('file/x')).toBeUndefined();
    await expect(datasets.read('file', { from: -1, to: 2 })).rejects.toThrow(/range -1 to 2/);
  });
});

describe('scarce instances', () => {
  it('come only as many as there are', async () => {
    const { scaling } = await newWorld({ capacity: { instances: { ec2: 2 } } });
    expect(await scaling.setFloor('ec2', 5)).toMatchObject({ inService: 2 });
    expect(await scaling.describe('ec2')).toMatchObject({ inService: 2, floor: 5 });
  });
});

describe('the log', () => {
  it('writes JSON lines of its level and above, with their context', async () => {
    const lines: string[] = [];
    const log = lineLog((line) => lines.push(line), {
      level: 'info',
      context: { runId: 'r' },
      clock: { now: () => 0 },
    });
    log.write('debug', 'run.planned');
    log.write('warn', 'task.lost', { slot: 'worker/1' });
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    log.write('error', 'task.lost', circular);
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { at: '1970-01-01T00:00:00.000Z', level: 'warn', event: 'task.lost', runId: 'r', slot: 'worker/1' },
    ]);
    const path = join(newFolder(), 'log.jsonl');
    fileLog(path).write('info', 'run.planned');
    expect(readFileSync(path, 'utf8')).toMatch(/"event":"run\.planned"}\n$/);
    expect(() => fileLog('/no/such/folder/log').write('info', 'run.planned')).not.toThrow();
  });
});
