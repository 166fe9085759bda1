/**
 * Objects as files: `bucket/<key>`, so that a person can look at them and drop a config there.
 *
 * Invariants
 *  A1  A file appears under its key whole: it is written and synced in another folder, then renamed (`always`) or linked
 *      (`absent`: link() refuses a taken name, so one of many wins). The folder is synced too: an object survives a
 *      power cut once `put` has answered.
 *  A2  No key leaves the bucket: its parts are names, never `..`, and it is relative.
 *  A3  The version of an object is the SHA-256 of its content, so the same bytes always have the same version.
 *  A4  A large object does not hold up its writer; it must not change the bytes until `put` has answered.
 */
import { createHash, webcrypto } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { readdir, readFile, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CuttlefishError } from '../../core/failure.ts';
import type { ObjectStore } from '../ports.ts';
import { codeOf, makeFolder, publish, publishBeside, storageFailed } from './files.ts';

export interface ObjectsOptions {
  readonly folder: string;
  /** For files that are being written; on the same file system. */
  readonly temp: string;
}

const longestKey = 1024;
/** What is larger is written and digested beside the event loop, where a task goes on training (A4). */
const largeBytes = 256 * 1024;
const notThere = ['ENOENT', 'ENOTDIR'];

export function createObjects({ folder, temp }: ObjectsOptions): ObjectStore {
  const pathOf = (key: string) => join(folder, ...partsOf(key));

  async function get(key: string) {
    const path = pathOf(key);
    try {
      const body = new Uint8Array(await readFile(path));
      return { body, version: digestOf(body) };
    } catch (error) {
      // A folder is no object, as in a bucket.
      if ([...notThere, 'EISDIR'].includes(codeOf(error) ?? '')) return undefined;
      throw storageFailed(path, error);
    }
  }

  async function walk(prefix: string, at: string, found: string[]): Promise<void> {
    let entries: Dirent[];
    try {
      entries = await readdir(join(folder, at), { withFileTypes: true });
    } catch (error) {
      if (notThere.includes(codeOf(error) ?? '')) return;
      throw storageFailed(join(folder, at), error);
    }
    for (const entry of entries) {
      const key = `${at}${entry.name}`;
      if (entry.isFile() && key.startsWith(prefix)) found.push(key);
      // Into folders that the prefix names, and all below them.
      const below = `${key}/`;
      if (entry.isDirectory() && (below.startsWith(prefix) || prefix.startsWith(below)))
        await walk(prefix, below, found);
    }
  }

  return {
    get,

    async getVersion(key, version) {
      const found = await get(key);
      return found?.version === version ? found : undefined;
    },

    async put(key, body, when, sha256) {
      const path = pathOf(key);
      try {
        makeFolder(dirname(path));
      } catch (error) {
        throw storageFailed(path, error);
      }
      const absent = when !== 'always';
      if (body.length < largeBytes) {
        const stored = publish(path, body, { temp, absent, sync: true });
        return stored ? { kind: 'stored', version: sha256 ?? digestOf(body) } : { kind: 'conflict' };
      }
      const [stored, version] = await Promise.all([
        publishBeside(path, body, { temp, absent, sync: true }),
        sha256 ?? digestBeside(body),
      ]);
      return stored ? { kind: 'stored', version } : { kind: 'conflict' };
    },

    async list(prefix) {
      const found: string[] = [];
      const start = prefix.slice(0, prefix.lastIndexOf('/') + 1);
      if (start !== '') partsOf(start.slice(0, -1));
      await walk(prefix, start, found);
      return found.sort();
    },

    async delete(key) {
      const path = pathOf(key);
      try {
        await unlink(path);
      } catch (error) {
        // unlink of a folder is EISDIR on Linux and EPERM elsewhere; a folder is no object.
        if (![...notThere, 'EISDIR', 'EPERM'].includes(codeOf(error) ?? '')) throw storageFailed(path, error);
      }
    },

    locate: (key) => pathOf(key),
  };
}

export function digestOf(body: Uint8Array | string): string {
  return createHash('sha256').update(body).digest('hex');
}

async function digestBeside(body: Uint8Array | string): Promise<string> {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  const digest = await webcrypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Buffer.from(digest).toString('hex');
}

/** A2. */
function partsOf(key: string): readonly string[] {
  const parts = key.split('/');
  const wrong =
    key === ''
      ? 'it is empty'
      : key.startsWith('/')
        ? 'it starts with "/"'
        : key.includes('\0')
          ? 'it holds a NUL character'
          : key.includes('\\')
            ? 'it holds a "\\"'
            : parts.some((part) => part === '..' || part === '.')
              ? 'it has the part "." or ".."'
              : parts.includes('')
                ? 'it has an empty part'
                : Buffer.byteLength(key) > longestKey
                  ? `it is longer than ${longestKey} bytes`
                  : undefined;
  if (wrong === undefined) return parts;
  throw new CuttlefishError({
    kind: 'DataInvalid',
    source: `the object key ${JSON.stringify(key)}`,
    message: `${wrong}; accepted: names separated by "/", such as configs/digits.yaml`,
  });
}
