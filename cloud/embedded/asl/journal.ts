/**
 * The journal of one execution on disk: one JSON line for each record, appended.
 *
 * Invariants
 *  G1  A record is in the journal before anything that depends on it is done.
 *  G2  What a killed process left half-written is cut off at the next open; what is before it stays as it is.
 *  G3  After an append that failed there is no other: what is on disk stays a prefix of what happened.
 *  G4  Only the owner of an execution appends (owner.ts); anybody may read.
 *
 * Appends are synchronous and not flushed to the disk: they survive the death of the process, not that of the machine
 * (there, lost lines mean that functions are called again, and those are idempotent).
 */
import { closeSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { CuttlefishError } from '../../../core/failure.ts';
import { History, type JournalRecord } from './history.ts';

export interface Journal {
  readonly history: History;
  append(record: JournalRecord): void;
  close(): void;
}

/** The records that are whole, and the bytes they take. */
export function readJournal(path: string): { readonly records: readonly JournalRecord[]; readonly bytes: number } {
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return { records: [], bytes: 0 };
    throw error;
  }
  const records: JournalRecord[] = [];
  let bytes = 0;
  let events = 0;
  for (;;) {
    const end = content.indexOf(10, bytes);
    const record = end < 0 ? undefined : parseRecord(content.toString('utf8', bytes, end));
    if (record === undefined || (record.id !== undefined && record.id !== events + 1)) return { records, bytes };
    records.push(record);
    events = record.id ?? events;
    bytes = end + 1;
  }
}

function parseRecord(line: string): JournalRecord | undefined {
  try {
    const record: unknown = JSON.parse(line);
    return typeof record === 'object' && record !== null && 'type' in record ? (record as JournalRecord) : undefined;
  } catch {
    return undefined;
  }
}

export function readHistory(path: string): History {
  const history = new History();
  for (const record of readJournal(path).records) history.add(record);
  return history;
}

export function openJournal(path: string): Journal {
  const { records, bytes } = readJournal(path);
  const history = new History();
  for (const record of records) history.add(record);
  const file = openSync(path, 'a');
  truncateSync(path, bytes);
  let failed: CuttlefishError | undefined;
  return {
    history,
    append(record) {
      if (failed !== undefined) throw failed;
      const line = Buffer.from(`${JSON.stringify(record)}\n`);
      try {
        const written = writeSync(file, line);
        if (written !== line.length) throw new Error(`only ${written} of ${line.length} bytes were written`);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        failed = new CuttlefishError({ kind: 'StorageFailed', what: `the journal ${path}`, reason }, { cause: error });
        throw failed;
      }
      history.add(record);
    },
    close: () => closeSync(file),
  };
}
