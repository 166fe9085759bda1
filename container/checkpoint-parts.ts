/**
 * The parts of checkpoints in storage: rows of at most 350 KB in the table, or one object each.
 *
 * Invariants
 *  CP1 A part that is already there is compared, not trusted: one that was damaged is written again.
 *  CP2 A part that is read is exactly the bytes that its digest names, or it is reported damaged.
 */
import type { Cloud } from '../cloud/ports.ts';
import { chunkRanges, digestOf, type PartContent } from '../core/checkpoint.ts';
import type { Failure } from '../core/failure.ts';
import { objectKeys } from '../core/object-keys.ts';
import { type CheckpointManifest, type CheckpointPart, keys, type PartRow, prefixes } from '../core/run.ts';

export type PartStorage = Pick<Cloud, 'table' | 'objects'>;
type Store = CheckpointManifest['store'];

export async function storePart(
  cloud: PartStorage,
  runId: string,
  store: Store,
  { part, bytes }: PartContent,
): Promise<void> {
  if (bytes.length === 0) return;
  if (store === 'objects') {
    const key = objectKeys.part(runId, part.digest);
    if ((await cloud.objects.put(key, bytes, { absent: true }, part.digest)).kind === 'stored') return;
    const there = await cloud.objects.get(key);
    if (there === undefined || !equal(there.body, bytes)) await cloud.objects.put(key, bytes, 'always', part.digest);
    return;
  }
  for (const [i, { from, to }] of chunkRanges(bytes.length).entries()) {
    const key = keys.part(part.digest, i);
    const row: PartRow = { bytes: bytes.subarray(from, to) };
    const put = await cloud.table.put<PartRow>(runId, key, row, { absent: true });
    if (put.kind === 'stored') continue;
    const there = put.current ?? (await cloud.table.get<PartRow>(runId, key));
    if (there !== undefined && equal(there.value.bytes, row.bytes)) continue;
    await cloud.table.put<PartRow>(
      runId,
      key,
      row,
      there === undefined ? { absent: true } : { version: there.version },
    );
  }
}

export type PartRead =
  | { readonly kind: 'read'; readonly bytes: Uint8Array }
  | { readonly kind: 'damaged'; readonly failure: Failure };

/** Throws only what the storage throws. */
export async function readPart(
  cloud: PartStorage,
  runId: string,
  store: Store,
  part: CheckpointPart,
): Promise<PartRead> {
  const key = store === 'table' ? `part/${part.digest}` : objectKeys.part(runId, part.digest);
  const damaged = (actual: string): PartRead => ({
    kind: 'damaged',
    failure: { kind: 'CheckpointCorrupt', key, expected: part.digest, actual },
  });
  const bytes = part.bytes === 0 ? new Uint8Array(0) : await readBytes(cloud, runId, store, part);
  if (bytes === undefined) return damaged('missing');
  if (bytes.length !== part.bytes) return damaged(`${bytes.length} bytes instead of ${part.bytes}`);
  const digest = digestOf(bytes);
  return digest === part.digest ? { kind: 'read', bytes } : damaged(digest);
}

async function readBytes(
  cloud: PartStorage,
  runId: string,
  store: Store,
  part: CheckpointPart,
): Promise<Uint8Array | undefined> {
  if (store === 'objects') return (await cloud.objects.get(objectKeys.part(runId, part.digest)))?.body;
  const rows = await Promise.all(
    Array.from({ length: part.chunks }, (_, i) => cloud.table.get<PartRow>(runId, keys.part(part.digest, i))),
  );
  const chunks: Uint8Array[] = [];
  for (const row of rows) {
    if (!(row?.value.bytes instanceof Uint8Array)) return undefined;
    chunks.push(row.value.bytes);
  }
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

export async function deletePart(cloud: PartStorage, runId: string, store: Store, digest: string): Promise<void> {
  if (store === 'objects') return cloud.objects.delete(objectKeys.part(runId, digest));
  for (const row of await cloud.table.query<PartRow>(runId, `${prefixes.part}${digest}/`)) {
    await cloud.table.delete(runId, row.key, row.version);
  }
}

function equal(a: unknown, b: Uint8Array): boolean {
  return a instanceof Uint8Array && Buffer.compare(a, b) === 0;
}
