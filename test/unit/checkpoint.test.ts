import { describe, expect, it } from 'vitest';
import { restoreCheckpoint, type Snapshot, saveCheckpoint } from '../../container/checkpoint.ts';
import { chunkBytes, chunkRanges, describePart, floatsOf, intentIndex, nextIndex } from '../../core/checkpoint.ts';
import { objectKeys } from '../../core/object-keys.ts';
import { type CheckpointIndex, type CheckpointManifest, type EventRow, keys, type PartRow } from '../../core/run.ts';
import { createMemoryWorld, type MemoryWorld } from '../support/memory-world.ts';

const runId = 'run-1';
type Store = 'table' | 'objects';

const planFor = (store: Store, keep = 2) => ({
  runId,
  configDigest: 'c'.repeat(64),
  checkpoint: { everySteps: 10, cadence: { kind: 'steps' as const }, keep, store, bytes: 1 },
});

/** The state after `step` steps, of a run whose whole course is fixed by `course`. */
function snapshot(step: number, fields: Partial<Snapshot> = {}, length = 1000, course = 1): Snapshot {
  return {
    parameters: Float32Array.from({ length }, (_, i) => ((i * 7919 + step * course) % 65_537) / 1000),
    slots: Float32Array.from({ length: length / 2 }, (_, i) => ((i * 104_729 + step * course) % 65_537) / 1000),
    step,
    epoch: Math.floor(step / 10),
    generation: 1,
    engine: 'tensorflow/wasm',
    epochSums: [step * 10, 0.5, step],
    stopState: [[0.9, 1]],
    optimizerStep: step,
    ...fields,
  };
}

// Not toEqual: it takes a second for a vector of this size.
const sameBits = (a: Float32Array, b: Float32Array): boolean =>
  a.length === b.length && Buffer.compare(new Uint8Array(a.buffer), new Uint8Array(b.buffer)) === 0;

const indexOf = async (world: MemoryWorld): Promise<CheckpointIndex | undefined> =>
  (await world.table.get<CheckpointIndex>(runId, keys.checkpoints))?.value;

/** Digests of all parts in storage. */
async function storedParts(world: MemoryWorld, store: Store): Promise<string[]> {
  const names =
    store === 'table'
      ? (await world.table.query(runId, 'part/')).map((row) => row.key.split('/')[1] as string)
      : (await world.objects.list(`runs/${runId}/checkpoints/`)).map((key) => key.slice(-68, -4));
  return [...new Set(names)].sort();
}

const namedParts = (index: CheckpointIndex | undefined): string[] =>
  [...new Set((index?.manifests ?? []).flatMap((m) => m.parts.filter((p) => p.bytes > 0).map((p) => p.digest)))].sort();

async function damage(world: MemoryWorld, manifest: CheckpointManifest, part: 0 | 1, how: 'flip' | 'cut' | 'lose') {
  const { digest } = manifest.parts[part]!;
  const key = manifest.store === 'table' ? keys.part(digest, 0) : objectKeys.part(runId, digest);
  const bytes =
    manifest.store === 'table'
      ? (await world.table.get<PartRow>(runId, key))!.value.bytes
      : (await world.objects.get(key))!.body;
  const broken = how === 'cut' ? bytes.slice(0, -4) : bytes.slice();
  if (how === 'flip') broken[17] = broken[17]! ^ 4;
  const value = how === 'lose' ? undefined : broken;
  if (manifest.store === 'objects') world.controls.overwriteObject(key, value);
  else world.controls.overwriteRow(runId, key, value === undefined ? undefined : { bytes: value });
}

const damagedEvents = async (world: MemoryWorld): Promise<EventRow[]> =>
  (await world.table.query<EventRow>(runId, 'event/'))
    .map((row) => row.value)
    .filter((e) => e.event === 'checkpoint.damaged');

describe.each<Store>(['table', 'objects'])('checkpoints in %s', (store) => {
  const plan = planFor(store);

  it('come back bit for bit, with everything that training needs', async () => {
    const world = createMemoryWorld();
    const state = snapshot(20, { generation: 3 }, 200_000);
    const saved = await saveCheckpoint(world, plan, state);
    expect(saved).toMatchObject({ kind: 'saved', bytes: 1_200_000, manifest: { step: 20, store } });
    const restored = await restoreCheckpoint(world, plan);
    if (restored.kind !== 'restored') throw new Error('nothing restored');
    expect(sameBits(restored.parameters, state.parameters)).toBe(true);
    expect(sameBits(restored.slots, state.slots)).toBe(true);
    expect(restored.manifest).toMatchObject({
      step: 20,
      epoch: 2,
      generation: 3,
      engine: 'tensorflow/wasm',
      configDigest: plan.configDigest,
      epochSums: [200, 0.5, 20],
      stopState: [[0.9, 1]],
      optimizerStep: 20,
    });
    expect((await world.table.get(runId, keys.checkpoints))?.fence).toBe(3);
  });

  it('answer none when there is none', async () => {
    expect(await restoreCheckpoint(createMemoryWorld(), plan)).toEqual({ kind: 'none', damaged: [] });
  });

  it('do with an optimizer that has no slots', async () => {
    const world = createMemoryWorld();
    const state = snapshot(10, { slots: new Float32Array(0) });
    expect((await saveCheckpoint(world, plan, state)).kind).toBe('saved');
    expect(await restoreCheckpoint(world, plan)).toMatchObject({ kind: 'restored', slots: new Float32Array(0) });
  });

  it('keep the newest and delete the parts that no kept one names', async () => {
    const world = createMemoryWorld();
    const slots = new Float32Array(500).fill(1);
    for (const step of [10, 20, 30, 40]) await saveCheckpoint(world, plan, snapshot(step, { slots }));
    const index = await indexOf(world);
    expect(index?.manifests.map((m) => m.step)).toEqual([40, 30]);
    // Two parameter vectors, and the slots that all four checkpoints share.
    expect(await storedParts(world, store)).toEqual(namedParts(index));
    expect(await storedParts(world, store)).toHaveLength(3);
    expect((await restoreCheckpoint(world, plan)).kind).toBe('restored');
  });

  it('are the old one or the new one, whole, wherever the save is cut off (CK1)', async () => {
    const length = 100_000;
    const endings = { old: 0, new: 0 };
    let complete = false;
    for (let writes = 0; !complete; writes += 1) {
      const world = createMemoryWorld();
      await saveCheckpoint(world, planFor(store, 1), snapshot(10, {}, length));
      world.controls.crashAfterWrites(writes);
      const saved = await saveCheckpoint(world, planFor(store, 1), snapshot(20, {}, length));
      // The last two writes delete the old parts; failing there does not undo the save.
      complete = saved.kind === 'saved' && (await storedParts(world, store)).length === 2;
      world.controls.recover();

      const restored = await restoreCheckpoint(world, plan);
      if (restored.kind !== 'restored') throw new Error(`nothing to restore after ${writes} writes`);
      const expected = snapshot(restored.manifest.step, {}, length);
      expect([10, 20]).toContain(restored.manifest.step);
      if (saved.kind === 'saved') expect(restored.manifest.step).toBe(20);
      expect(sameBits(restored.parameters, expected.parameters)).toBe(true);
      expect(sameBits(restored.slots, expected.slots)).toBe(true);
      expect(await damagedEvents(world)).toEqual([]);
      endings[restored.manifest.step === 10 ? 'old' : 'new'] += 1;

      // Whatever was left behind is gone after the next save.
      expect(await saveCheckpoint(world, planFor(store, 1), snapshot(30, {}, length))).toMatchObject({ kind: 'saved' });
      expect(await storedParts(world, store)).toEqual(namedParts(await indexOf(world)));
      expect(writes).toBeLessThan(40);
    }
    expect(endings.old).toBeGreaterThan(2);
    expect(endings.new).toBeGreaterThan(1);
  });

  for (const how of ['flip', 'cut', 'lose'] as const) {
    for (const part of [0, 1] as const) {
      it(`step back when part ${part} of the newest was hurt (${how}), and say so`, async () => {
        const world = createMemoryWorld();
        await saveCheckpoint(world, plan, snapshot(10));
        await saveCheckpoint(world, plan, snapshot(20));
        const newest = (await indexOf(world))!.manifests[0]!;
        await damage(world, newest, part, how);
        const restored = await restoreCheckpoint(world, plan);
        expect(restored).toMatchObject({
          kind: 'restored',
          manifest: { step: 10 },
          damaged: [newest.parts[part]!.digest],
        });
        expect((restored as { parameters: Float32Array }).parameters).toEqual(snapshot(10).parameters);
        expect(await damagedEvents(world)).toMatchObject([
          { step: 20, why: expect.stringContaining(newest.parts[part]!.digest) },
        ]);
        // Restoring changes nothing: another task may be looking at the same moment.
        expect((await indexOf(world))!.manifests).toHaveLength(2);
      });
    }
  }

  it('drop a damaged one at the next save and remember it, whether the save is told or finds it', async () => {
    for (const told of [true, false]) {
      const world = createMemoryWorld();
      await saveCheckpoint(world, plan, snapshot(10));
      await saveCheckpoint(world, plan, snapshot(20));
      await damage(world, (await indexOf(world))!.manifests[0]!, 0, 'flip');
      const { damaged } = await restoreCheckpoint(world, plan);
      const fields = { generation: 2, ...(told ? { damaged } : {}) };
      expect((await saveCheckpoint(world, plan, snapshot(told ? 25 : 15, fields))).kind).toBe('saved');
      const index = (await indexOf(world))!;
      expect(index.manifests.map((m) => m.step)).toEqual([told ? 25 : 15, 10]);
      expect(index.damaged).toEqual(damaged);
      expect(await storedParts(world, store)).toEqual(namedParts(index));
    }
  });

  it('are made whole again by the same training that comes by once more', async () => {
    const world = createMemoryWorld();
    await saveCheckpoint(world, plan, snapshot(10));
    await saveCheckpoint(world, plan, snapshot(20));
    await damage(world, (await indexOf(world))!.manifests[0]!, 1, 'flip');
    await damage(world, (await indexOf(world))!.manifests[0]!, 0, 'lose');
    expect((await saveCheckpoint(world, plan, snapshot(20, { generation: 2 }))).kind).toBe('saved');
    expect(await restoreCheckpoint(world, plan)).toMatchObject({ manifest: { step: 20 }, damaged: [] });
  });

  it('are lost only when all are damaged: then training starts over', async () => {
    const world = createMemoryWorld();
    await saveCheckpoint(world, plan, snapshot(10));
    await damage(world, (await indexOf(world))!.manifests[0]!, 0, 'lose');
    expect(await restoreCheckpoint(world, plan)).toMatchObject({ kind: 'none', damaged: [expect.any(String)] });
  });

  it('survive a full disk: the save fails with the reason, the older one stays, the next save cleans up', async () => {
    const world = createMemoryWorld();
    await saveCheckpoint(world, plan, snapshot(10, {}, 200_000));
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const operation = store === 'table' ? 'table.put' : 'objects.put';
    const second = describePart('optimizer', new Uint8Array(snapshot(20, {}, 200_000).slots.buffer), store).part.digest;
    world.controls.failNext(operation, full, {
      keyPrefix: store === 'table' ? keys.part(second, 0) : objectKeys.part(runId, second),
    });
    const saved = await saveCheckpoint(world, plan, snapshot(20, {}, 200_000));
    expect(saved).toEqual({
      kind: 'failed',
      failure: { kind: 'StorageFailed', what: 'the checkpoint of step 20', reason: full.message },
    });
    expect(await restoreCheckpoint(world, plan)).toMatchObject({ kind: 'restored', manifest: { step: 10 } });
    expect((await saveCheckpoint(world, plan, snapshot(30, {}, 200_000))).kind).toBe('saved');
    expect(await storedParts(world, store)).toEqual(namedParts(await indexOf(world)));
  });
});

describe('saveCheckpoint()', () => {
  const plan = planFor('table');

  it('is refused to a leader of an older generation, and changes nothing (P5)', async () => {
    const world = createMemoryWorld();
    await saveCheckpoint(world, plan, snapshot(10, { generation: 4 }));
    await world.table.put(runId, keys.checkpoints, (await indexOf(world))!, { fence: 5 });
    const before = world.controls.writes.length;
    expect(await saveCheckpoint(world, plan, snapshot(20, { generation: 4 }))).toEqual({ kind: 'fenced', current: 5 });
    expect(world.controls.writes.length).toBe(before);
  });

  it('is refused when the fence rises while the parts are being written', async () => {
    const world = createMemoryWorld();
    await saveCheckpoint(world, plan, snapshot(10));
    const before = (await indexOf(world))!.manifests;
    const table = {
      ...world.table,
      put: async <T>(partition: string, key: string, value: T, when: Parameters<typeof world.table.put>[3]) => {
        if (key.startsWith('part/')) {
          const row = (await world.table.get<CheckpointIndex>(runId, keys.checkpoints))!;
          if (row.fence < 2)
            await world.table.put(runId, keys.checkpoints, row.value, { version: row.version, fence: 2 });
        }
        return world.table.put<T>(partition, key, value, when);
      },
    };
    expect(await saveCheckpoint({ ...world, table }, plan, snapshot(20))).toEqual({ kind: 'fenced', current: 2 });
    expect((await indexOf(world))!.manifests).toEqual(before);
    // What the old leader left behind is known, and goes with the next save of the new one.
    expect((await saveCheckpoint(world, plan, snapshot(30, { generation: 2 }))).kind).toBe('saved');
    expect(await storedParts(world, 'table')).toEqual(namedParts(await indexOf(world)));
  });

  it('looks again when the index moved under the same generation', async () => {
    const world = createMemoryWorld();
    await saveCheckpoint(world, plan, snapshot(10));
    let moved = false;
    const table = {
      ...world.table,
      put: async <T>(partition: string, key: string, value: T, when: Parameters<typeof world.table.put>[3]) => {
        if (key === keys.checkpoints && !moved) {
          moved = true;
          const row = (await world.table.get<CheckpointIndex>(runId, keys.checkpoints))!;
          await world.table.put(runId, keys.checkpoints, row.value, { version: row.version, fence: 1 });
        }
        return world.table.put<T>(partition, key, value, when);
      },
    };
    expect((await saveCheckpoint({ ...world, table }, plan, snapshot(20))).kind).toBe('saved');
    expect((await indexOf(world))!.manifests.map((m) => m.step)).toEqual([20, 10]);
  });

  it('takes a second save of the same step for the first', async () => {
    const world = createMemoryWorld();
    await saveCheckpoint(world, plan, snapshot(10));
    await saveCheckpoint(world, plan, snapshot(20));
    const before = await world.table.get(runId, keys.checkpoints);
    for (const step of [20, 10]) {
      const again = await saveCheckpoint(world, plan, snapshot(step, { generation: 2 }));
      expect(again).toMatchObject({ kind: 'saved', manifest: { step, generation: 1 } });
    }
    expect(await world.table.get(runId, keys.checkpoints)).toEqual(before);
  });

  it('does not go behind an intact checkpoint (R2, R3)', async () => {
    const world = createMemoryWorld();
    await saveCheckpoint(world, plan, snapshot(20));
    for (const behind of [snapshot(10, { generation: 2 }), snapshot(20, { generation: 2 }, 1000, 7)]) {
      expect(await saveCheckpoint(world, plan, behind)).toMatchObject({
        kind: 'failed',
        failure: { kind: 'Conflict', message: expect.stringContaining('the intact one of step 20') },
      });
    }
    expect((await indexOf(world))!.manifests.map((m) => m.step)).toEqual([20]);
  });
});

describe('restoreCheckpoint()', () => {
  const plan = planFor('table');

  it('tries again when the storage does not answer at once', async () => {
    const world = createMemoryWorld();
    await saveCheckpoint(world, plan, snapshot(10));
    world.controls.failNext('table.get', new Error('timed out'), { keyPrefix: 'part/', times: 2 });
    expect(await restoreCheckpoint(world, plan)).toMatchObject({
      kind: 'restored',
      manifest: { step: 10 },
      damaged: [],
    });
  });

  it('steps back from a checkpoint that cannot be read', async () => {
    const world = createMemoryWorld();
    await saveCheckpoint(world, plan, snapshot(10));
    await saveCheckpoint(world, plan, snapshot(20));
    const { digest } = (await indexOf(world))!.manifests[0]!.parts[0]!;
    world.controls.failNext('table.get', new Error('EIO'), { keyPrefix: `part/${digest}`, times: 99 });
    expect(await restoreCheckpoint(world, plan)).toMatchObject({ kind: 'restored', manifest: { step: 10 } });
  });

  it('throws rather than starting over when nothing can be read', async () => {
    const world = createMemoryWorld();
    await saveCheckpoint(world, plan, snapshot(10));
    world.controls.failNext('table.get', new Error('service unavailable'), { keyPrefix: 'part/', times: 99 });
    await expect(restoreCheckpoint(world, plan)).rejects.toThrow('service unavailable');
  });
});

describe('core/checkpoint', () => {
  it('cuts bytes into chunks that cover them once', () => {
    for (const bytes of [0, 1, chunkBytes, chunkBytes + 1, 3 * chunkBytes]) {
      const ranges = chunkRanges(bytes);
      expect(ranges.length).toBe(Math.ceil(bytes / chunkBytes));
      expect(ranges.reduce((at, { from, to }) => (from === at && to - from <= chunkBytes ? to : Number.NaN), 0)).toBe(
        bytes,
      );
    }
  });

  it('copies floats out of bytes at any alignment', () => {
    const bytes = new Uint8Array(9);
    new DataView(bytes.buffer).setFloat32(1, 1.5, true);
    new DataView(bytes.buffer).setFloat32(5, -2, true);
    expect([...floatsOf(bytes.subarray(1))]).toEqual([1.5, -2]);
  });

  const manifest = (step: number, ...digests: string[]): CheckpointManifest => ({
    ...({ epoch: 0, generation: 1, atMs: 0, store: 'table', engine: 'e', configDigest: 'c' } as const),
    ...({ epochSums: [0, 0, 0], stopState: [], optimizerStep: step } as const),
    step,
    parts: digests.map((digest) => ({ name: 'parameters', digest, bytes: 4, chunks: 1 })),
  });

  it('never drops the newest intact manifest but for a newer one (C2)', () => {
    const index = { manifests: [manifest(30, 'c'), manifest(20, 'b'), manifest(10, 'a')], damaged: [] };
    expect(nextIndex(index, manifest(40, 'd'), 2, ['c']).manifests.map((m) => m.step)).toEqual([40, 20]);
    expect(nextIndex(index, manifest(40, 'd'), 2, ['c']).unnamed).toEqual(['c', 'a']);
    expect(nextIndex(index, manifest(40, 'd'), 0, []).manifests.map((m) => m.step)).toEqual([40]);
  });

  it('never calls a part unnamed that a kept manifest names', () => {
    const index = { manifests: [manifest(20, 'shared', 'b'), manifest(10, 'shared', 'a')], damaged: [] };
    expect(nextIndex(index, manifest(30, 'shared', 'c'), 1, []).unnamed).toEqual(['b', 'a']);
    const intent = intentIndex({ ...index, unnamed: ['x', 'a', 'c'] }, manifest(30, 'shared', 'c'));
    expect(intent.leftovers).toEqual(['x']);
    expect(intent.index.unnamed).toEqual(['x', 'a', 'c', 'shared']);
  });
});
