/**
 * Small steps on files that the embedded world is made of.
 *
 * Invariants
 *  B1  A file appears under its name whole or not at all: it is written under a temporary name in a folder that nobody
 *      lists, then renamed or linked.
 *  B2  What the file system refuses becomes StorageFailed, which names the file and the reason.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CuttlefishError } from '../../core/failure.ts';
import { randomIds } from './ids.ts';

/** The errno name of what was thrown, e.g. `ENOENT`. */
export function codeOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined;
}

const refusals: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left on the disk',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file would be larger than this process may write (ulimit -f)',
  EROFS: 'the file system is read-only',
  EMFILE: 'too many files are open (ulimit -n)',
};

/** Of a file that is there but does not hold what was written: the machine went down, or somebody changed it. */
export const damaged = 'its file is damaged; use another state folder (--state), or remove what is damaged';

/** What the file system said, in words where its own are hard to act on. */
export function refusalOf(thrown: unknown): string {
  const code = codeOf(thrown) ?? '';
  if (Object.hasOwn(refusals, code)) return `${refusals[code]} (${code})`;
  return thrown instanceof Error ? thrown.message : String(thrown);
}

export function storageFailed(what: string, cause: unknown): CuttlefishError {
  if (cause instanceof CuttlefishError) return cause;
  const reason = refusalOf(cause);
  return new CuttlefishError({ kind: 'StorageFailed', what, reason }, { cause });
}

/** Runs a step and gives what the file system refused a name; the codes in `expected` answer undefined. */
export function attempt<T>(what: string, step: () => T, expected: readonly string[] = []): T | undefined {
  try {
    return step();
  } catch (error) {
    if (expected.includes(codeOf(error) ?? '')) return undefined;
    throw storageFailed(what, error);
  }
}

/**
 * Makes the folder and those above it. Node's own way never comes back where a folder looks as if it could be made but
 * cannot (below /proc), and says "no such file" of a file system that is read-only.
 */
export function makeFolder(path: string): void {
  const above = dirname(path);
  for (let turn = 0; ; turn += 1) {
    const refused = mkdirUnlessThere(path);
    if (refused === undefined) return;
    // Other processes make and remove folders here too: what is above may have come since, and gone since.
    if (codeOf(refused) !== 'ENOENT' || above === path || turn === fewTurns) throw refused;
    if (!existsSync(above)) makeFolder(above);
  }
}
const fewTurns = 5;

function mkdirUnlessThere(path: string): unknown {
  try {
    mkdirSync(path);
    return undefined;
  } catch (error) {
    return isFolder(path) ? undefined : error;
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Writes all the bytes (a write may be short) to a new file; a half-written file is removed again. */
export function writeWhole(path: string, body: Uint8Array | string, sync: boolean): void {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  const file = openSync(path, 'wx', 0o644);
  try {
    for (let done = 0; done < bytes.byteLength; ) done += writeSync(file, bytes, done);
    if (sync) fsyncSync(file);
  } catch (error) {
    attempt(path, () => unlinkSync(path), ['ENOENT']);
    throw error;
  } finally {
    closeSync(file);
  }
}

/** A rename is durable once its folder is. Not every file system can sync a folder, and then nothing better exists. */
export function syncFolder(folder: string): void {
  try {
    const file = openSync(folder, 'r');
    try {
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch {
    // Best effort, see above.
  }
}

export interface PublishOptions {
  /** Folder for the temporary name; must be on the same file system. */
  readonly temp: string;
  readonly absent?: boolean;
  /** Survive a power cut, not only a killed process. */
  readonly sync?: boolean;
}

/** B1. False when `absent` was asked for and the name is taken. */
export function publish(path: string, body: Uint8Array | string, options: PublishOptions): boolean {
  const sync = options.sync ?? false;
  const temp = join(options.temp, randomIds.hex(12));
  try {
    healing(temp, () => writeWhole(temp, body, sync));
    return settle(temp, path, options);
  } catch (error) {
    throw storageFailed(path, error);
  }
}

/** Like `publish`, but the writing is done beside the event loop: for what is large. */
export async function publishBeside(
  path: string,
  body: Uint8Array | string,
  options: PublishOptions,
): Promise<boolean> {
  const temp = join(options.temp, randomIds.hex(12));
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  try {
    healing(temp, () => closeSync(openSync(temp, 'wx', 0o644)));
    const file = await open(temp, 'r+');
    try {
      // Not writeFile, which looks up at the event loop for every half megabyte.
      for (let done = 0; done < bytes.byteLength; ) done += (await file.write(bytes, done)).bytesWritten;
      if (options.sync === true) await file.sync();
    } finally {
      await file.close();
    }
    return settle(temp, path, options);
  } catch (error) {
    attempt(temp, () => unlinkSync(temp), ['ENOENT']);
    throw storageFailed(path, error);
  }
}

/** Gives the file its name. */
function settle(temp: string, path: string, { absent = false, sync = false }: PublishOptions): boolean {
  try {
    if (absent) linkSync(temp, path);
    else renameSync(temp, path);
  } catch (error) {
    unlinkSync(temp);
    if (absent && codeOf(error) === 'EEXIST') return false;
    throw error;
  }
  if (absent) unlinkSync(temp);
  if (sync) syncFolder(dirname(path));
  return true;
}

/** Somebody may have tidied the folder of temporary files away: it holds nothing that is worth keeping. */
function healing(temp: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    makeFolder(dirname(temp));
    write();
  }
}

/** Bytes [from, to) of a file, fewer when it ends before; in one read, where the system does it in one. */
export async function readBytes(file: FileHandle, from: number, to: number): Promise<Uint8Array> {
  const body = new Uint8Array(to - from);
  let done = 0;
  while (done < body.byteLength) {
    const { bytesRead } = await file.read(body, done, body.byteLength - done, from + done);
    if (bytesRead === 0) return body.slice(0, done);
    done += bytesRead;
  }
  return body;
}

/** A JSON file written by `publish`; undefined when there is none. */
export function readJson<T>(path: string): T | undefined {
  const text = attempt(path, () => readFileSync(path, 'utf8'), ['ENOENT', 'ENOTDIR']);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new CuttlefishError({ kind: 'StorageFailed', what: path, reason: damaged, reading: true }, { cause: error });
  }
}
