/**
 * Notices files that are new or have changed in a folder and those below it. Notices of the file system make it quick, a
 * look at regular intervals makes it sure: some file systems send none.
 *
 * Invariants
 *  IN1 A file is told once it has the same size and time at two looks: a copy under way is not told.
 *  IN2 A file that did not change is told once, however often it is looked at; written anew, it is told again.
 *  IN3 One file is told after the other, in the order of their names.
 */
import { type Dirent, type FSWatcher, readdirSync, statSync, watch } from 'node:fs';
import { join, relative, sep } from 'node:path';

export interface Inbox {
  /** Resolves when what was there has been told. */
  settled(): Promise<void>;
  close(): void;
}

const lookMs = 300;
const settleMs = 100;

export function watchFolder(folder: string, tell: (name: string) => Promise<void>): Inbox {
  const seen = new Map<string, string>();
  const told = new Map<string, string>();
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let watcher: FSWatcher | undefined;

  async function look(): Promise<boolean> {
    let unsettled = false;
    const names = filesUnder(folder);
    for (const name of [...told.keys()]) if (!names.includes(name)) told.delete(name);
    for (const name of names) {
      const state = stateOf(join(folder, name));
      if (state === undefined || told.get(name) === state) continue;
      if (seen.get(name) !== state) {
        seen.set(name, state);
        unsettled = true;
        continue;
      }
      told.set(name, state);
      await tell(name);
    }
    return unsettled;
  }

  /** One look at a time. */
  function turn(): Promise<void> {
    looking ??= look()
      .catch(() => false)
      .then((unsettled) => {
        looking = undefined;
        if (!closed) schedule(unsettled ? settleMs : lookMs);
      });
    return looking;
  }

  function schedule(ms: number): void {
    clearTimeout(timer);
    timer = setTimeout(() => void turn(), ms);
  }

  try {
    watcher = watch(folder, () => {
      if (!closed && looking === undefined) schedule(settleMs);
    });
    watcher.on('error', () => watcher?.close());
  } catch {
    // The timer looks.
  }
  schedule(0);

  return {
    async settled() {
      for (let looks = 0; looks < 2; looks += 1) {
        await turn();
        await new Promise((resolve) => setTimeout(resolve, settleMs));
      }
      await turn();
    },
    close() {
      closed = true;
      clearTimeout(timer);
      watcher?.close();
    },
  };
}

/** Configs only: not the errors files beside them, nor what editors leave while they save. */
function filesUnder(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => /^[^.].*\.ya?ml$/i.test(entry.name) && isFile(entry))
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
      .sort();
  } catch {
    return [];
  }
}

/** Also a link to one; not a folder, nor what may never end: a device, a pipe. */
function isFile(entry: Dirent): boolean {
  if (!entry.isSymbolicLink()) return entry.isFile();
  try {
    return statSync(join(entry.parentPath, entry.name)).isFile();
  } catch {
    return false;
  }
}

function stateOf(path: string): string | undefined {
  try {
    const { size, mtimeMs, ino } = statSync(path);
    return `${size} ${mtimeMs} ${ino}`;
  } catch {
    return undefined;
  }
}
