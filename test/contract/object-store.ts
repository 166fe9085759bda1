/** The clauses of the ObjectStore port, O1 to O5. Called with a maker of new, empty stores. */
import { describe, expect, it } from 'vitest';
import type { ObjectStore } from '../../cloud/ports.ts';

const text = (body: Uint8Array | undefined) => body && Buffer.from(body).toString();

export function describeObjectStore(name: string, make: () => Promise<ObjectStore>): void {
  describe(`${name}: the object store port`, () => {
    it('O1 never shows half of a body while it is replaced', async () => {
      const objects = await make();
      const bodies = ['a', 'b'].map((letter) => letter.repeat(300_000));
      await objects.put('runs/r/x.bin', bodies[0]!, 'always');
      let writing = true;
      const writer = (async () => {
        for (let i = 0; i < 20; i++) await objects.put('runs/r/x.bin', bodies[i % 2]!, 'always');
        writing = false;
      })();
      while (writing) expect(bodies).toContain(text((await objects.get('runs/r/x.bin'))?.body));
      await writer;
    });

    it('O2 finds a stored object at once, with its version', async () => {
      const objects = await make();
      expect(await objects.get('runs/r/plan.json')).toBeUndefined();
      const first = await objects.put('runs/r/plan.json', '{"a":1}', 'always');
      const second = await objects.put('runs/r/plan.json', new Uint8Array([1, 2, 255]), 'always');
      if (first.kind !== 'stored' || second.kind !== 'stored') throw new Error('not stored');
      expect(await objects.get('runs/r/plan.json')).toEqual({
        body: new Uint8Array([1, 2, 255]),
        version: second.version,
      });
      expect(first.version).not.toBe(second.version);
      expect(await objects.getVersion('runs/r/plan.json', second.version)).toMatchObject({ version: second.version });
      expect(await objects.getVersion('runs/r/plan.json', 'no-such-version')).toBeUndefined();
      // An older version is the old body, or gone; never the new body.
      const old = await objects.getVersion('runs/r/plan.json', first.version);
      if (old) expect(text(old.body)).toBe('{"a":1}');
    });

    it('O2 keeps an empty body and a large one', async () => {
      const objects = await make();
      await objects.put('empty', '', 'always');
      expect((await objects.get('empty'))?.body).toEqual(new Uint8Array(0));
      const large = new Uint8Array(3_000_000).map((_, i) => i % 251);
      await objects.put('large', large, 'always');
      expect(Buffer.compare((await objects.get('large'))?.body ?? new Uint8Array(0), large)).toBe(0);
    });

    it('O3 stores exactly one of many concurrent absent puts', async () => {
      const objects = await make();
      const done = await Promise.all(
        Array.from({ length: 10 }, (_, i) => objects.put('once', `body ${i}`, { absent: true })),
      );
      expect(done.filter(({ kind }) => kind === 'stored')).toHaveLength(1);
      const winner = done.findIndex(({ kind }) => kind === 'stored');
      expect(text((await objects.get('once'))?.body)).toBe(`body ${winner}`);
      expect(await objects.put('once', 'late', { absent: true })).toEqual({ kind: 'conflict' });
    });

    it('O4 lists all keys under the prefix, sorted', async () => {
      const objects = await make();
      const keys = ['runs/a/z.json', 'runs/a/b/c.bin', 'runs/a.txt', 'runs/ab/x', 'configs/one.yaml', 'top', 'runs/B'];
      for (const key of keys) await objects.put(key, key, 'always');
      expect(await objects.list('')).toEqual([...keys].sort());
      expect(await objects.list('runs/a/')).toEqual(['runs/a/b/c.bin', 'runs/a/z.json']);
      expect(await objects.list('runs/a')).toEqual(['runs/a.txt', 'runs/a/b/c.bin', 'runs/a/z.json', 'runs/ab/x']);
      expect(await objects.list('to')).toEqual(['top']);
      expect(await objects.list('nothing/here')).toEqual([]);
    });

    it('O5 deletes, also what is not there', async () => {
      const objects = await make();
      await objects.put('a/b', 'x', 'always');
      await objects.delete('a/b');
      await objects.delete('a/b');
      await objects.delete('never/was');
      expect(await objects.get('a/b')).toBeUndefined();
      expect(await objects.list('')).toEqual([]);
      expect(await objects.put('a/b', 'again', { absent: true })).toMatchObject({ kind: 'stored' });
    });

    it('tells a person where an object is', async () => {
      const objects = await make();
      expect(objects.locate('runs/r/report.html')).toMatch(/runs\/r\/report\.html$/);
    });
  });
}
