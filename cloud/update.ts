/**
 * Read, change, write back under the version that was read; again when someone else was faster. For rows that several
 * functions may write at once (run, tasks, signal).
 *
 * Invariants
 *  U1  `change` sees the newest value on every try and must be free of effects; returning `undefined` leaves the row as it is.
 *  U2  The number of tries is bounded: a row that changes under us that often is a bug, and is told as one.
 */
import { CuttlefishError } from '../core/failure.ts';
import type { Cloud } from './ports.ts';

const maxTries = 25;

/** The value that is stored afterwards, whether it was changed or left. */
export async function updateRow<T>(
  { table }: Pick<Cloud, 'table'>,
  partition: string,
  key: string,
  change: (current: T | undefined) => T | undefined,
): Promise<T | undefined> {
  let row = await table.get<T>(partition, key);
  for (let tries = 0; tries < maxTries; tries += 1) {
    const next = change(row?.value);
    if (next === undefined) return row?.value;
    const stored = await table.put(
      partition,
      key,
      next,
      row === undefined ? { absent: true } : { version: row.version },
    );
    if (stored.kind === 'stored') return next;
    row = stored.current;
  }
  throw new CuttlefishError({
    kind: 'StorageFailed',
    what: `row "${key}" of "${partition}"`,
    reason: `it was changed by someone else ${maxTries} times in a row`,
  });
}

/** Deletes the row whatever its version; someone who rewrites it in between is deleted too. */
export async function removeRow({ table }: Pick<Cloud, 'table'>, partition: string, key: string): Promise<void> {
  for (let tries = 0; tries < maxTries; tries += 1) {
    const row = await table.get(partition, key);
    if (row === undefined || (await table.delete(partition, key, row.version)) === 'deleted') return;
  }
}
