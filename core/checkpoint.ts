/**
 * What a checkpoint consists of, and which ones stay: cutting into parts and chunks, digests, the index. No storage here;
 * container/checkpoint.ts reads and writes.
 *
 * Invariants
 *  C1  A part is named by the digest of its bytes: the same bytes are the same part, in any checkpoint.
 *  C2  `nextIndex` never drops the newest manifest that is not damaged, unless for a newer one (R3).
 */
import { createHash } from 'node:crypto';
import type { CheckpointIndex, CheckpointManifest, CheckpointPart } from './run.ts';
import type { Range } from './shards.ts';

/** Payload of one table row, below the limit of 400 KB with room for keys. */
export const chunkBytes = 350 * 1024;
/** Digests of damaged parts that the index remembers. */
const maxDamaged = 32;

/** Parameters and optimizer slots with their description. */
export interface PartContent {
  readonly part: CheckpointPart;
  readonly bytes: Uint8Array;
}

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A view, not a copy. Little-endian, as every machine that runs Node is. */
export function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** A copy, aligned. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  const values = new Float32Array(bytes.length / 4);
  bytesOf(values).set(bytes);
  return values;
}

export function chunkRanges(bytes: number): Range[] {
  return Array.from({ length: Math.ceil(bytes / chunkBytes) }, (_, i) => ({
    from: i * chunkBytes,
    to: Math.min(bytes, (i + 1) * chunkBytes),
  }));
}

export function describePart(
  name: CheckpointPart['name'],
  bytes: Uint8Array,
  store: CheckpointManifest['store'],
  digest = digestOf(bytes),
): PartContent {
  const chunks = store === 'table' ? chunkRanges(bytes.length).length : 0;
  return { part: { name, digest, bytes: bytes.length, chunks }, bytes };
}

export function sameContent(a: CheckpointManifest, b: CheckpointManifest): boolean {
  return a.step === b.step && a.store === b.store && digests(a) === digests(b);
}

function digests(manifest: CheckpointManifest): string {
  return manifest.parts.map((part) => `${part.name}=${part.digest}`).join();
}

/** The part by its name; a manifest without it is damaged. */
export function partOf(manifest: CheckpointManifest, name: CheckpointPart['name']): CheckpointPart | undefined {
  return manifest.parts.find((part) => part.name === name);
}

/** Manifests that a save at `next.step` would go behind: they must be proved damaged before it may. */
export function aheadOf(index: CheckpointIndex, next: CheckpointManifest): readonly CheckpointManifest[] {
  return index.manifests.filter((manifest) => manifest.step >= next.step && !sameContent(manifest, next));
}

/**
 * Written before the parts are: what a crash from here on may leave behind is known to whoever saves next.
 * `leftovers` are parts of earlier saves that nobody finished or cleaned up after.
 */
export function intentIndex(
  index: CheckpointIndex,
  next: CheckpointManifest,
): { readonly index: CheckpointIndex; readonly leftovers: readonly string[] } {
  const fresh = next.parts.map((part) => part.digest);
  const unnamed = index.unnamed ?? [];
  const kept = new Set([...fresh, ...index.manifests.flatMap(partDigests)]);
  return {
    index: { ...index, unnamed: [...new Set([...unnamed, ...fresh])] },
    leftovers: unnamed.filter((digest) => !kept.has(digest)),
  };
}

/**
 * The index after a save: the new manifest first, those before it as far as `keep` goes, and none that names a damaged
 * part. `unnamed` are the parts that no manifest names any more.
 */
export function nextIndex(
  index: CheckpointIndex,
  next: CheckpointManifest,
  keep: number,
  damaged: readonly string[],
): CheckpointIndex & { readonly unnamed: readonly string[] } {
  // What was stored just now is whole again.
  const fresh = partDigests(next);
  const bad = [...new Set([...index.damaged, ...damaged])].filter((digest) => !fresh.includes(digest));
  const older = index.manifests.filter(
    (manifest) => !sameContent(manifest, next) && !partDigests(manifest).some((digest) => bad.includes(digest)),
  );
  const manifests = [next, ...older].slice(0, Math.max(1, keep));
  const named = new Set(manifests.flatMap(partDigests));
  const unnamed = [...new Set(index.manifests.flatMap(partDigests))].filter((digest) => !named.has(digest));
  return { manifests, damaged: bad.slice(-maxDamaged), unnamed };
}

function partDigests(manifest: CheckpointManifest): string[] {
  return manifest.parts.filter((part) => part.bytes > 0).map((part) => part.digest);
}
