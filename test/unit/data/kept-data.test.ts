/** Inflated files that are kept for the next task: they save time, and change nothing that a task reads (RD3, IF1, IF2). */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createInflatedFiles } from '../../../cloud/embedded/inflated.ts';
import { readDataFile } from '../../../cloud/read-data.ts';

let root: string;
let folder: string;
let temp: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cuttlefish-kept-'));
  [folder, temp] = [join(root, 'inflated'), join(root, 'tmp')];
  for (const path of [folder, temp]) mkdirSync(path);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const size = 2 ** 20 + 77;
const contentOf = (seed: number) => Uint8Array.from({ length: size }, (_, i) => (i * seed + (i >> 9)) & 0xff);
const world = (compressed: Uint8Array, options = {}) => {
  const inflated = createInflatedFiles({ folder, temp, putAfterMs: 0, ...options });
  const get = vi.fn(inflated.get);
  return {
    datasets: { read: async () => compressed, list: async () => undefined, inflated: { ...inflated, get } },
    get,
  };
};
const same = (found: Uint8Array, wanted: Uint8Array) => expect(Buffer.compare(found, wanted)).toBe(0);
const files = () => readdirSync(folder).map((name) => join(folder, name));
/** Keeping is not waited for by whoever reads. */
const keptFiles = async (count: number): Promise<string[]> => {
  await vi.waitFor(() => expect(files()).toHaveLength(count));
  return files();
};

describe('a kept data file', () => {
  it('is what the next task reads', async () => {
    const content = contentOf(3);
    const { datasets, get } = world(gzipSync(content));
    same(await readDataFile(datasets, 'a.gz'), content);
    const [kept = ''] = await keptFiles(1);
    same(readFileSync(kept), content);
    same(await readDataFile(datasets, 'a.gz'), content);
    same((await get.mock.results[1]?.value) as Uint8Array, content);
  });

  it('is not taken for a source that has changed, though its name, length and time are the same', async () => {
    const [before, after] = [contentOf(7), contentOf(9)];
    await readDataFile(world(gzipSync(before)).datasets, 'a.gz');
    await keptFiles(1);
    same(await readDataFile(world(gzipSync(after)).datasets, 'a.gz'), after);
  });

  it.each<[string, (path: string) => void]>([
    ['one bit is flipped', (path) => writeFileSync(path, flipped(readFileSync(path)))],
    ['it is cut short', (path) => truncateSync(path, 1000)],
    ['it is empty', (path) => truncateSync(path, 0)],
  ])('is inflated anew when %s, and mended', async (_, damage) => {
    const content = contentOf(11);
    const { datasets } = world(gzipSync(content));
    await readDataFile(datasets, 'a.gz');
    const [kept = ''] = await keptFiles(1);
    damage(kept);
    same(await readDataFile(datasets, 'a.gz'), content);
    await keptFiles(1);
    await vi.waitFor(() => same(readFileSync(kept), content));
  });

  it('is not made of a file of several parts, whose end speaks of the last one', async () => {
    const content = contentOf(13);
    const parts = Buffer.concat([gzipSync(new Uint8Array(9)), gzipSync(content)]);
    const { datasets } = world(parts);
    expect(await readDataFile(datasets, 'a.gz')).toHaveLength(size + 9);
    await new Promise((resolve) => setImmediate(resolve));
    expect(files()).toEqual([]);
  });

  it('is missed by nobody where nothing can be kept', async () => {
    const content = contentOf(15);
    rmSync(folder, { recursive: true });
    writeFileSync(folder, 'a file');
    same(await readDataFile(world(gzipSync(content)).datasets, 'a.gz'), content);
  });
});

describe('createInflatedFiles()', () => {
  it('makes room by removing what was not used for longest (IF2)', async () => {
    const store = createInflatedFiles({ folder, temp, roomBytes: 25, putAfterMs: 0 });
    const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
    for (const name of ['a', 'b']) {
      await store.put(name, new Uint8Array(10));
      await pause();
    }
    await store.get('a', () => true);
    await store.put('c', new Uint8Array(10));
    expect(readdirSync(folder).sort()).toEqual(['a', 'c']);
    await store.put('large', new Uint8Array(26));
    expect(readdirSync(folder).sort()).toEqual(['a', 'c']);
    expect(readdirSync(temp)).toEqual([]);
  });
});

function flipped(bytes: Buffer): Buffer {
  bytes[5000] = (bytes[5000] ?? 0) ^ 1;
  return bytes;
}
