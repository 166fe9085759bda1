/**
 * Saving and restoring checkpoints. Saving runs beside training, on a copy of the state; one save at a time.
 *
 * Invariants
 *  CK1 Parts first, the index last: a checkpoint exists exactly when the index lists it, and then all of it is stored.
 *  CK2 The index is written under the version that was read and the generation: a stale leader changes nothing (P5).
 *  CK3 Parts are deleted only after an index that no longer names them is stored, and a save never goes behind an intact
 *      checkpoint: the newest intact one is never deleted (R3).
 *  CK4 A save that fails says so and leaves every earlier checkpoint as it was.
 *  CK5 Restore takes nothing on trust: each length and digest is checked, and what is damaged or missing makes it step
 *      back to the checkpoint before. A storage that does not answer is not damage: that is thrown, to be tried again.
 */
import { webcrypto } from 'node:crypto';
import { record } from '../cloud/journal.ts';
import type { Cloud, Row } from '../cloud/ports.ts';
import {
  aheadOf,
  bytesOf,
  describePart,
  floatsOf,
  intentIndex,
  nextIndex,
  type PartContent,
  partOf,
  sameContent,
} from '../core/checkpoint.ts';
import { CuttlefishError, describeFailure, type Failure, toFailure } from '../core/failure.ts';
import type { RunPlan } from '../core/plan.ts';
import { type CheckpointIndex, type CheckpointManifest, type CheckpointPart, keys } from '../core/run.ts';
import { deletePart, readPart, storePart } from './checkpoint-parts.ts';

type World = Pick<Cloud, 'table' | 'objects' | 'clock' | 'ids' | 'log'>;
type Plan = Pick<RunPlan, 'runId' | 'checkpoint' | 'configDigest'>;

export interface Snapshot {
  /** Copies that nobody writes to any more. */
  readonly parameters: Float32Array;
  readonly slots: Float32Array;
  readonly step: number;
  readonly epoch: number;
  readonly generation: number;
  readonly engine: string;
  readonly epochSums: CheckpointManifest['epochSums'];
  readonly stopState: CheckpointManifest['stopState'];
  readonly optimizerStep: number;
  readonly partitions?: CheckpointManifest['partitions'];
  /** What restoreCheckpoint found damaged, if this task restored. */
  readonly damaged?: readonly string[];
}

export type Saved =
  | {
      readonly kind: 'saved';
      readonly manifest: CheckpointManifest;
      readonly bytes: number;
      readonly durationMs: number;
    }
  | { readonly kind: 'fenced'; readonly current: number }
  | { readonly kind: 'failed'; readonly failure: Failure };

export type Restored =
  | {
      readonly kind: 'restored';
      readonly manifest: CheckpointManifest;
      readonly parameters: Float32Array;
      readonly slots: Float32Array;
      /** Digests of the parts that were damaged in newer checkpoints. */
      readonly damaged: readonly string[];
    }
  | { readonly kind: 'none'; readonly damaged: readonly string[] };

const noIndex: CheckpointIndex = { manifests: [], damaged: [] };
/** Writes of the index that may meet another's; more would be a fault. */
const maxRounds = 4;
const readAttempts = 3;
const readRetryMs = 200;

export async function saveCheckpoint(cloud: World, plan: Plan, snapshot: Snapshot): Promise<Saved> {
  const startedMs = cloud.clock.monotonic();
  const { store } = plan.checkpoint;
  const parts = await Promise.all([
    describe('parameters', bytesOf(snapshot.parameters), store),
    describe('optimizer', bytesOf(snapshot.slots), store),
  ]);
  const { step, epoch, generation, engine, epochSums, stopState, optimizerStep } = snapshot;
  const manifest: CheckpointManifest = {
    step,
    epoch,
    generation,
    atMs: cloud.clock.now(),
    store,
    engine,
    configDigest: plan.configDigest,
    parts: parts.map(({ part }) => part),
    epochSums,
    stopState,
    optimizerStep,
    ...(snapshot.partitions === undefined ? {} : { partitions: snapshot.partitions }),
  };
  try {
    const done = await commit(cloud, plan, manifest, parts, snapshot.damaged ?? []);
    if (done.kind !== 'saved') return done;
    const bytes = parts.reduce((sum, { part }) => sum + part.bytes, 0);
    return { ...done, bytes, durationMs: Math.round(cloud.clock.monotonic() - startedMs) };
  } catch (thrown) {
    const failure = toFailure(thrown);
    if (failure.kind === 'StorageFailed') return { kind: 'failed', failure };
    const what = `the checkpoint of step ${step}`;
    return { kind: 'failed', failure: { kind: 'StorageFailed', what, reason: describeFailure(failure) } };
  }
}

/** From this size on a digest takes so long that it is taken beside the event loop, where training goes on. */
const longBytes = 256 * 1024;

async function describe(
  name: CheckpointPart['name'],
  bytes: Uint8Array,
  store: CheckpointManifest['store'],
): Promise<PartContent> {
  if (bytes.length < longBytes) return describePart(name, bytes, store);
  const digest = await webcrypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return describePart(name, bytes, store, Buffer.from(digest).toString('hex'));
}

type Committed = { readonly kind: 'saved'; readonly manifest: CheckpointManifest } | Exclude<Saved, { kind: 'saved' }>;
type IndexRow = Row<CheckpointIndex>;

async function commit(
  cloud: World,
  plan: Plan,
  manifest: CheckpointManifest,
  parts: readonly PartContent[],
  knownDamaged: readonly string[],
): Promise<Committed> {
  for (let round = 0; round < maxRounds; round += 1) {
    const before = await cloud.table.get<CheckpointIndex>(plan.runId, keys.checkpoints);
    if (before !== undefined && before.fence > manifest.generation) return { kind: 'fenced', current: before.fence };
    const done = await commitOnto(before, cloud, plan, manifest, parts, knownDamaged);
    if (done !== 'moved') return done;
  }
  throw new CuttlefishError({
    kind: 'StorageFailed',
    what: `the index of checkpoints of "${plan.runId}"`,
    reason: `it was changed by somebody else ${maxRounds} times in a row`,
  });
}

/** `moved`: the index is not what it was when it was read; look again. */
async function commitOnto(
  before: IndexRow | undefined,
  cloud: World,
  plan: Plan,
  manifest: CheckpointManifest,
  parts: readonly PartContent[],
  knownDamaged: readonly string[],
): Promise<Committed | 'moved'> {
  const index = before?.value ?? noIndex;
  const same = index.manifests.find((other) => sameContent(other, manifest));
  if (same !== undefined) {
    // Saved already, by us or by a leader before us; whatever of it was lost since is stored again.
    await storeParts(cloud, plan, parts);
    return { kind: 'saved', manifest: same };
  }
  const ahead = aheadOf(index, manifest);
  const damaged = [...knownDamaged, ...(await findDamaged(cloud, plan, ahead))];
  const intact = ahead.find((other) => !other.parts.some((part) => damaged.includes(part.digest)));
  if (intact !== undefined) {
    const message = `the checkpoint of step ${manifest.step} would go behind the intact one of step ${intact.step}`;
    return { kind: 'failed', failure: { kind: 'Conflict', message } };
  }

  const { table } = cloud;
  const { runId, checkpoint } = plan;
  const fence = manifest.generation;
  const intent = intentIndex(index, manifest);
  const first = before === undefined ? ({ absent: true } as const) : { version: before.version, fence };
  const announced = await table.put(runId, keys.checkpoints, intent.index, first);
  if (announced.kind === 'conflict') return 'moved';
  await deleteParts(cloud, plan, intent.leftovers);
  await storeParts(cloud, plan, parts);
  const next = nextIndex(index, manifest, checkpoint.keep, damaged);
  const written = await table.put(runId, keys.checkpoints, next, { version: announced.version, fence });
  if (written.kind === 'conflict') return 'moved';
  await deleteParts(cloud, plan, next.unnamed);
  return { kind: 'saved', manifest };
}

async function storeParts(cloud: World, plan: Plan, parts: readonly PartContent[]): Promise<void> {
  await Promise.all(parts.map((content) => storePart(cloud, plan.runId, plan.checkpoint.store, content)));
}

/** What cannot be deleted now is still listed as unnamed, and the next save tries again. */
async function deleteParts(cloud: World, plan: Plan, digests: readonly string[]): Promise<void> {
  for (const digest of digests) {
    try {
      await deletePart(cloud, plan.runId, plan.checkpoint.store, digest);
      cloud.log.write('debug', 'checkpoint.deleted', { digest });
    } catch (thrown) {
      cloud.log.write('warn', 'checkpoint.deleted', { digest, failed: describeFailure(toFailure(thrown)) });
    }
  }
}

export async function restoreCheckpoint(cloud: World, plan: Pick<Plan, 'runId'>): Promise<Restored> {
  const { runId } = plan;
  const index = (await cloud.table.get<CheckpointIndex>(runId, keys.checkpoints))?.value ?? noIndex;
  const damaged: string[] = [];
  let unreadable: unknown;
  for (const manifest of index.manifests) {
    const parameters = await inspect(cloud, runId, manifest, 'parameters');
    const slots = parameters.kind === 'read' ? await inspect(cloud, runId, manifest, 'optimizer') : parameters;
    if (parameters.kind === 'read' && slots.kind === 'read') {
      return {
        kind: 'restored',
        manifest,
        parameters: floatsOf(parameters.bytes),
        slots: floatsOf(slots.bytes),
        damaged,
      };
    }
    if (slots.kind === 'damaged') damaged.push(slots.digest);
    if (slots.kind === 'unreadable') unreadable = slots.thrown;
    const why = describeFailure(slots.kind === 'damaged' ? slots.failure : toFailure(unreadable));
    await record(cloud, runId, 'checkpoint.damaged', { by: 'leader', step: manifest.step, why });
  }
  // Starting over because the storage does not answer would throw away what is stored.
  if (unreadable !== undefined) throw unreadable;
  return { kind: 'none', damaged };
}

/** Why this engine may not go on from a checkpoint: the weights would depend on where the run was resumed (P2). */
export function refusalOf({ step, engine }: CheckpointManifest, mine: string): Failure | undefined {
  if (engine === mine) return undefined;
  const message =
    `the checkpoint of step ${step} was computed by the engine "${engine}", this machine has "${mine}": going on would ` +
    `give other weights than the run has promised. Resume it where "${engine}" runs, or start a new run`;
  return { kind: 'Conflict', message };
}

type Inspected =
  | { readonly kind: 'read'; readonly bytes: Uint8Array }
  | { readonly kind: 'damaged'; readonly digest: string; readonly failure: Failure }
  | { readonly kind: 'unreadable'; readonly digest: string; readonly thrown: unknown };

async function inspect(
  cloud: World,
  runId: string,
  manifest: CheckpointManifest,
  name: 'parameters' | 'optimizer',
): Promise<Inspected> {
  const part = partOf(manifest, name);
  if (part === undefined || part.bytes % 4 !== 0) {
    const failure: Failure = {
      kind: 'CheckpointCorrupt',
      key: name,
      expected: 'a part',
      actual: 'none in the manifest',
    };
    return { kind: 'damaged', digest: part?.digest ?? '', failure };
  }
  let thrown: unknown;
  for (let attempt = 0; attempt < readAttempts; attempt += 1) {
    if (attempt > 0) await cloud.clock.sleep(readRetryMs * attempt);
    try {
      const read = await readPart(cloud, runId, manifest.store, part);
      return read.kind === 'read' ? read : { ...read, digest: part.digest };
    } catch (error) {
      thrown = error;
    }
  }
  return { kind: 'unreadable', digest: part.digest, thrown };
}

/** Parts of these manifests that cannot be restored. */
async function findDamaged(
  cloud: World,
  plan: Plan,
  manifests: readonly CheckpointManifest[],
): Promise<readonly string[]> {
  const damaged: string[] = [];
  for (const manifest of manifests) {
    for (const name of ['parameters', 'optimizer'] as const) {
      const found = await inspect(cloud, plan.runId, manifest, name);
      if (found.kind !== 'read') damaged.push(found.digest);
    }
  }
  return damaged;
}
