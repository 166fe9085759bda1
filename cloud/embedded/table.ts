/**
 * The table as folders, shared by processes that may be killed or stopped at any instruction. There is no lock, so
 * there is none that a killed process could leave behind.
 *
 *   table/<partition>/<key>/
 *     v000000000001          its first version; its name stays for ever, its content goes when it is replaced
 *     v000000000007          the current version: the highest number. A deleted row is a tombstone
 *     n000000000007-<next>/  where version 8 is prepared; <next> is a random name that version 7 carries
 *
 * A write reads the current version N, prepares N+1 in the folder that N names, and links it to the name v<N+1>.
 * link() fails when that name is taken: of many writers one wins. Then what is older than N+1 is removed.
 *
 * Invariants
 *  E1  A version is linked whole, under a name that was never used: v<N+1> may only be removed after folder n<N> and
 *      all that was prepared in it are gone, so a writer that slept meanwhile finds no source to link (link() refuses
 *      a file without names, also when it had been looked up before) and none can be prepared again, because a folder's
 *      name is random and made once, before the version that carries it. v1 has no folder before it; its name is kept.
 *  E2  Numbers go up by one and go on after a delete, so a row that was deleted and made again has no version twice.
 *  E3  Older versions are removed in ascending order, so whoever lists a folder while a version existed sees that one or
 *      a later one; a name seen but gone when it is opened means that a later one exists, and one lists again.
 *  E4  Rows survive kill -9 of every process. They need not survive a power cut (no run does on one machine), so nothing
 *      is synced to the disk here.
 *
 * The calls are synchronous: a write is ten short system calls, an order of magnitude faster without the thread pool. Only
 * removing a folder is not: the system lets the caller wait for that, half a millisecond in which it could train.
 */
import { linkSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, unlinkSync } from 'node:fs';
import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CuttlefishError } from '../../core/failure.ts';
import type { Ids, Row, Stored, Table, When } from '../ports.ts';
import { attempt, codeOf, damaged, makeFolder, publish, storageFailed, writeWhole } from './files.ts';
import { checkItem } from './item-size.ts';
import { keyOf, nameOf } from './names.ts';
import { decodeRow, encodeRow, encodeTombstone, type RowFile, toRow } from './row-file.ts';

export interface TableOptions {
  readonly folder: string;
  /** For files that replace others; on the same file system. */
  readonly temp: string;
  readonly ids: Ids;
  /** Called where another process may overtake this one; tests stop the process there. */
  readonly pausePoint?: (where: 'read' | 'prepared' | 'linked') => void;
}

interface Current {
  /** 0 when the row was never written. */
  readonly version: number;
  readonly file: RowFile | undefined;
}

const nothing: Current = { version: 0, file: undefined };
const rowsBetweenBreaths = 64;
/** Each turn lost is one that another writer won, so only damage comes this far. */
const manyTurns = 10_000;

export function createTable(options: TableOptions): Table {
  const pause = options.pausePoint ?? (() => {});
  const folderOf = (partition: string, key: string) => join(options.folder, nameOf(partition), nameOf(key));

  /** One conditional step; `encode` gives the file of the next version or undefined when the condition does not hold. */
  async function write(
    partition: string,
    key: string,
    encode: (next: string, row: Row<unknown> | undefined) => Uint8Array | undefined,
  ): Promise<{ stored: number } | { row: Row<unknown> | undefined }> {
    const folder = folderOf(partition, key);
    for (let turn = 0; turn < manyTurns; turn++) {
      const current = readCurrent(folder);
      const row = current.file && toRow(key, current.version, current.file);
      const next = options.ids.hex(8);
      const file = encode(next, row);
      if (file === undefined) return { row };
      pause('read');
      const version = current.version + 1;
      if (!tryVersion(folder, current, version, next, file)) continue; // overtaken: look again
      pause('linked');
      await removeOlder(folder, version);
      return { stored: version };
    }
    throw new Error(`lost ${manyTurns} races for ${folder}, or its files were changed by hand`);
  }

  /** False when another writer was faster. */
  function tryVersion(folder: string, current: Current, version: number, next: string, file: Uint8Array): boolean {
    const target = join(folder, versionName(version));
    const nextFolder = join(folder, nextName(version, next));
    if (current.version === 0) makeFolder(nextFolder);
    else mkdirSync(nextFolder);
    let linked = false;
    try {
      if (current.file === undefined) {
        linked = publish(target, file, { temp: options.temp, absent: true });
        return linked;
      }
      const draft = join(folder, nextName(current.version, current.file.next), next);
      writeWhole(draft, file, false);
      pause('prepared');
      linkSync(draft, target);
      linked = true;
      return true;
    } catch (error) {
      if (['ENOENT', 'EEXIST'].includes(codeOf(error) ?? '')) return false;
      throw error;
    } finally {
      if (!linked) {
        if (current.file) removeFile(join(folder, nextName(current.version, current.file.next), next));
        attempt(nextFolder, () => rmdirSync(nextFolder), ['ENOENT', 'ENOTEMPTY']);
      }
    }
  }

  /** E1 and E3: the folders in which versions up to this one were prepared first, then the versions, upwards. */
  async function removeOlder(folder: string, version: number): Promise<void> {
    const names = attempt(folder, () => readdirSync(folder).sort(), ['ENOENT']) ?? [];
    for (const name of names.filter((found) => found[0] === 'n' && numberIn(found) < version)) {
      await removeFolder(join(folder, name));
    }
    for (const name of names.filter((found) => found[0] === 'v' && numberIn(found) < version)) {
      const path = join(folder, name);
      if (numberIn(name) > 1) removeFile(path);
      else if (statSync(path).size > 0) publish(path, '', { temp: options.temp });
    }
  }

  return {
    async get<T>(partition: string, key: string) {
      return guard(partition, key, () => read<T>(folderOf(partition, key), key));
    },

    async put<T>(partition: string, key: string, value: T, when: When): Promise<Stored<T>> {
      checkItem(partition, key, value);
      const done = await guard(partition, key, () =>
        write(partition, key, (next, row) => {
          const fence = fenceAfter(when, row);
          return fence === undefined ? undefined : encodeRow(next, fence, value);
        }),
      );
      if ('stored' in done) return { kind: 'stored', version: done.stored };
      return { kind: 'conflict', current: done.row as Row<T> | undefined };
    },

    async delete(partition, key, version) {
      const done = await guard(partition, key, () =>
        write(partition, key, (next, row) => (row?.version === version ? encodeTombstone(next) : undefined)),
      );
      return 'stored' in done || done.row === undefined ? 'deleted' : 'conflict';
    },

    async query<T>(partition: string, prefix: string) {
      const folder = join(options.folder, nameOf(partition));
      const names = attempt(folder, () => readdirSync(folder), ['ENOENT']) ?? [];
      const keys = names
        .map(keyOf)
        .filter((key) => key.startsWith(prefix))
        .sort();
      const rows: Row<T>[] = [];
      for (const [i, key] of keys.entries()) {
        const row = await guard(partition, key, () => read<T>(join(folder, nameOf(key)), key));
        if (row) rows.push(row);
        if (i % rowsBetweenBreaths === rowsBetweenBreaths - 1) await new Promise((resolve) => setImmediate(resolve));
      }
      return rows;
    },
  };
}

/** The fence that the row has after the write, undefined when the condition does not hold. */
function fenceAfter(when: When, row: Row<unknown> | undefined): number | undefined {
  if ('absent' in when) return row === undefined ? 0 : undefined;
  if ('version' in when && row?.version !== when.version) return undefined;
  if (!('fence' in when)) return row?.fence ?? 0;
  return row === undefined || row.fence <= when.fence ? when.fence : undefined;
}

function read<T>(folder: string, key: string): Row<T> | undefined {
  const { version, file } = readCurrent(folder);
  return file && toRow<T>(key, version, file);
}

function readCurrent(folder: string): Current {
  for (let turn = 0; turn < manyTurns; turn++) {
    const names = attempt(folder, () => readdirSync(folder), ['ENOENT']) ?? [];
    let highest = 0;
    for (const name of names) if (name[0] === 'v') highest = Math.max(highest, numberIn(name));
    if (highest === 0) return nothing;
    const path = join(folder, versionName(highest));
    const file = attempt(path, () => readFileSync(path), ['ENOENT']);
    // Gone, or the emptied first version: a later one was there before this one went.
    if (file !== undefined && file.length > 0) return { version: highest, file: decodeRow(file) };
  }
  throw new Error(`${folder} was changed by hand: its newest version cannot be read`);
}

const versionName = (version: number): string => `v${String(version).padStart(12, '0')}`;
const nextName = (version: number, next: string): string => `n${String(version).padStart(12, '0')}-${next}`;
const numberIn = (name: string): number => Number(name.slice(1, 13));

function removeFile(path: string): void {
  attempt(path, () => unlinkSync(path), ['ENOENT']);
}

/** Until nothing can be prepared there any more: a writer that still holds the path may add a file in between. */
async function removeFolder(folder: string): Promise<void> {
  for (;;) {
    const names = attempt(folder, () => readdirSync(folder), ['ENOENT']);
    if (names === undefined) return;
    for (const name of names) removeFile(join(folder, name));
    try {
      await rmdir(folder);
      return;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return;
      if (codeOf(error) !== 'ENOTEMPTY') throw error;
    }
  }
}

async function guard<T>(partition: string, key: string, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    const what = `row "${key}" of "${partition}"`;
    if (!(error instanceof SyntaxError)) throw storageFailed(what, error);
    throw new CuttlefishError({ kind: 'StorageFailed', what, reason: damaged, reading: true }, { cause: error });
  }
}
