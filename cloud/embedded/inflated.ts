/**
 * Inflated data files, kept beside the runs that use them: the next task of this machine reads them instead of inflating
 * again. Names are digests of the compressed files, so that a source that changes has another name.
 *
 * Invariants
 *  IF1 Nothing depends on it: what is not there, cannot be read or cannot be kept is inflated. Whoever reads checks it.
 *  IF2 Never more than `roomBytes`: what was not used for longest goes first. Who is reading it keeps what it has opened.
 *  IF3 A file appears whole under its name, see files.ts.
 */
import { existsSync } from 'node:fs';
import { open, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { InflatedFiles } from '../ports.ts';
import { publishBeside, readBytes } from './files.ts';

export interface InflatedOptions {
  readonly folder: string;
  readonly temp: string;
  readonly roomBytes?: number;
  readonly putAfterMs?: number;
}

const defaultRoomBytes = 2 ** 30;
/** Who inflated a file is about to take its first step: writing waits until that has been. */
const defaultPutAfterMs = 2_000;

export function createInflatedFiles(options: InflatedOptions): InflatedFiles {
  const { folder, temp, roomBytes = defaultRoomBytes, putAfterMs = defaultPutAfterMs } = options;

  /** IF2. */
  async function makeRoom(bytes: number): Promise<void> {
    const paths = (await readdir(folder)).map((name) => join(folder, name));
    const files = await Promise.all(paths.map(async (path) => ({ path, ...(await stat(path)) })));
    let total = files.reduce((sum, { size }) => sum + size, bytes);
    for (const { path, size } of files.sort((a, b) => a.mtimeMs - b.mtimeMs)) {
      if (total <= roomBytes) return;
      await unlink(path);
      total -= size;
    }
  }

  return {
    async get(name, isSound) {
      const path = join(folder, name);
      try {
        const file = await open(path, 'r');
        try {
          const now = new Date();
          await file.utimes(now, now);
          const content = await readBytes(file, 0, (await file.stat()).size);
          if (isSound(content)) return content;
          await unlink(path);
        } finally {
          await file.close();
        }
      } catch {
        // IF1
      }
      return undefined;
    },

    async put(name, content) {
      if (content.length > roomBytes) return;
      await setTimeout(putAfterMs, undefined, { ref: false });
      try {
        // Several tasks inflate the same at the start of a run.
        if (existsSync(join(folder, name))) return;
        await makeRoom(content.length);
        await publishBeside(join(folder, name), content, { temp });
      } catch {
        // IF1: a full disk, a folder that is read-only, or another process that makes room as well.
      }
    },
  };
}
