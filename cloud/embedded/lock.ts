/**
 * Who drives what in a state folder: one process at a time, e.g. one for each run.
 *
 * Invariants
 *  H1  Of many processes that acquire a free lock at once exactly one holds it: a lock is a row, taken by a conditional
 *      write.
 *  H2  The lock of a process that is gone is free. A process is known by its id and start time, so kill -9 leaves nothing
 *      to clean up and a process id used again holds nothing. All processes of a state folder must see each other (one
 *      machine, one container).
 *  H3  Releasing a lock that was lost meanwhile changes nothing.
 */
import type { Clock, Table } from '../ports.ts';
import { isRunning, ownIdentity, type ProcessIdentity } from './processes.ts';

export type Acquired =
  | { readonly kind: 'held'; release(): Promise<void> }
  | { readonly kind: 'busy'; readonly pid: number; readonly sinceMs: number };

export interface Lock {
  acquire(name: string): Promise<Acquired>;
  /** Who holds it at this moment, if anyone. */
  holder(name: string): Promise<{ readonly pid: number; readonly sinceMs: number } | undefined>;
}

interface LockRow extends ProcessIdentity {
  readonly sinceMs: number;
}

const partition = 'embedded-locks';

export function createLock({ table, clock }: { readonly table: Table; readonly clock: Pick<Clock, 'now'> }): Lock {
  return {
    async acquire(name) {
      for (;;) {
        const row = await table.get<LockRow>(partition, name);
        if (row && isRunning(row.value)) return { kind: 'busy', pid: row.value.pid, sinceMs: row.value.sinceMs };
        const mine: LockRow = { ...ownIdentity(), sinceMs: clock.now() };
        const done = await table.put(partition, name, mine, row ? { version: row.version } : { absent: true });
        if (done.kind === 'conflict') continue;
        const release = async () => {
          await table.delete(partition, name, done.version);
        };
        return { kind: 'held', release };
      }
    },

    async holder(name) {
      const row = await table.get<LockRow>(partition, name);
      return row && isRunning(row.value) ? { pid: row.value.pid, sinceMs: row.value.sinceMs } : undefined;
    },
  };
}
