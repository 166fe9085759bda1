/**
 * Which process drives a run: one lock file per run in the state folder. Two `train` commands with one state folder are
 * fine as long as they drive different runs.
 *
 * Invariants
 *  L1  Of many processes that take the lock of a run at once, exactly one gets it.
 *  L2  A lock whose process is gone is free: kill -9 leaves nothing that a person has to delete. A process is known by
 *      its id and its start time, so a reused id does not keep a lock alive.
 */
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRunning, ownIdentity, type ProcessIdentity } from '../cloud/embedded/processes.ts';

export interface Driver extends ProcessIdentity {
  readonly command: string;
}

export type Locked = { readonly kind: 'locked'; release(): void } | { readonly kind: 'busy'; readonly driver: Driver };

export function takeLock(stateDir: string, runId: string, command: string): Locked {
  const path = lockPath(stateDir, runId);
  mkdirSync(join(stateDir, 'locks'), { recursive: true });
  const mine: Driver = { ...ownIdentity(), command };
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(mine));
  try {
    // Each turn either gets the lock, finds it held by a live process, or removes one dead holder.
    for (let turn = 0; turn < 100; turn++) {
      try {
        linkSync(draft, path);
        return { kind: 'locked', release: () => releaseIfMine(path, mine) };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const holder = readLock(path);
      if (holder && isRunning(holder)) return { kind: 'busy', driver: holder };
      removeStale(path, holder);
    }
    throw new Error(`cannot take the lock ${path}: it changes hands all the time`);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Who drives the run at this moment, if anyone. */
export function driverOf(stateDir: string, runId: string): Driver | undefined {
  const holder = readLock(lockPath(stateDir, runId));
  return holder && isRunning(holder) ? holder : undefined;
}

function lockPath(stateDir: string, runId: string): string {
  return join(stateDir, 'locks', `${runId}.json`);
}

function readLock(path: string): Driver | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Driver;
  } catch {
    return undefined;
  }
}

/** Move first, look again, then delete: another process may have replaced the dead holder in between. */
function removeStale(path: string, seen: Driver | undefined): void {
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  const moved = readLock(aside);
  if (moved && (moved.pid !== seen?.pid || moved.start !== seen.start) && isRunning(moved)) {
    try {
      linkSync(aside, path);
    } catch {
      // Somebody else has it by now.
    }
  }
  rmSync(aside, { force: true });
}

function releaseIfMine(path: string, mine: Driver): void {
  const holder = readLock(path);
  if (holder?.pid === mine.pid && holder.start === mine.start) rmSync(path, { force: true });
}
