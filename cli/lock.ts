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

export interface Driver {
  readonly pid: number;
  /** Start time of the process as the system tells it; empty where the system does not. */
  readonly born: string;
  readonly command: string;
}

export type Locked = { readonly kind: 'locked'; release(): void } | { readonly kind: 'busy'; readonly driver: Driver };

export function takeLock(stateDir: string, runId: string, command: string): Locked {
  const path = lockPath(stateDir, runId);
  mkdirSync(join(stateDir, 'locks'), { recursive: true });
  const mine: Driver = { pid: process.pid, born: bornAt(process.pid), command };
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
      if (holder && isAlive(holder)) return { kind: 'busy', driver: holder };
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
  return holder && isAlive(holder) ? holder : undefined;
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
  if (moved && (moved.pid !== seen?.pid || moved.born !== seen.born) && isAlive(moved)) {
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
  if (holder?.pid === mine.pid && holder.born === mine.born) rmSync(path, { force: true });
}

export function isAlive({ pid, born }: Pick<Driver, 'pid' | 'born'>): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const now = bornAt(pid);
  return now === '' || born === '' || now === born;
}

function bornAt(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold spaces; the fields after it do not. Start time is field 22, state is 3.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? 'ended' : (fields[19] ?? '');
  } catch {
    return '';
  }
}
