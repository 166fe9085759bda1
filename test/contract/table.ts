/** The clauses of the Table port, D1 to D6. Each world's tests call this with a maker of new, empty tables. */
import { describe, expect, it } from 'vitest';
import type { Table } from '../../cloud/ports.ts';

export function describeTable(name: string, make: () => Promise<Table>, { largeItems = true } = {}): void {
  describe(`${name}: the table port`, () => {
    it('D1 reads what was just written, with version and fence', async () => {
      const table = await make();
      expect(await table.get('run', 'row')).toBeUndefined();
      for (let version = 1; version <= 20; version++) {
        const when = version === 1 ? { absent: true as const } : { version: version - 1 };
        expect(await table.put('run', 'row', { version }, when)).toEqual({ kind: 'stored', version });
        expect(await table.get('run', 'row')).toEqual({ key: 'row', value: { version }, version, fence: 0 });
      }
    });

    it('D1 keeps JSON values exactly, with bytes at the top level', async () => {
      const table = await make();
      const value = {
        text: 'naïve "quotes"\n\u0000 😀',
        empty: '',
        numbers: [0, -1.5, 1e20, 2 ** 53 - 1, 0.1 + 0.2, 1.17549435e-38],
        nested: { yes: true, nothing: null, list: [{ a: 1 }, []], none: {} },
        bytes: new Uint8Array([0, 1, 254, 255]),
        noBytes: new Uint8Array(0),
        absent: undefined,
      };
      await table.put('run', 'row', value, { absent: true });
      const { absent, ...kept } = value;
      const row = await table.get<typeof kept>('run', 'row');
      expect(row?.value).toEqual(kept);
      expect(row?.value.bytes).toBeInstanceOf(Uint8Array);
    });

    it('D1 takes a part of a larger buffer as its own bytes', async () => {
      const table = await make();
      const whole = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
      await table.put('run', 'row', { bytes: whole.subarray(2, 5) }, { absent: true });
      const row = await table.get<{ bytes: Uint8Array }>('run', 'row');
      expect([...(row?.value.bytes ?? [])]).toEqual([3, 4, 5]);
    });

    it('D1 cannot be changed through a value that was put in or got out', async () => {
      const table = await make();
      const value = { list: [1], bytes: new Uint8Array([1]) };
      await table.put('run', 'row', value, { absent: true });
      value.list.push(2);
      value.bytes[0] = 9;
      const row = await table.get<typeof value>('run', 'row');
      row?.value.list.push(3);
      expect((await table.get('run', 'row'))?.value).toEqual({ list: [1], bytes: new Uint8Array([1]) });
    });

    it('D2 stores exactly one of many concurrent writes with the same condition', async () => {
      const table = await make();
      const ten = Array.from({ length: 10 }, (_, i) => i);
      const absent = await Promise.all(ten.map((i) => table.put('run', 'row', { i }, { absent: true })));
      expect(absent.filter(({ kind }) => kind === 'stored')).toHaveLength(1);
      const winner = absent.findIndex(({ kind }) => kind === 'stored');
      expect((await table.get('run', 'row'))?.value).toEqual({ i: winner });
      const version = await Promise.all(ten.map((i) => table.put('run', 'row', { i }, { version: 1 })));
      expect(version.filter(({ kind }) => kind === 'stored')).toHaveLength(1);
      expect((await table.get('run', 'row'))?.version).toBe(2);
    });

    it('D2 tells the row that stood in the way', async () => {
      const table = await make();
      await table.put('run', 'row', { by: 'first' }, { absent: true });
      const current = { key: 'row', value: { by: 'first' }, version: 1, fence: 0 };
      expect(await table.put('run', 'row', { by: 'second' }, { absent: true })).toEqual({ kind: 'conflict', current });
      expect(await table.put('run', 'row', { by: 'second' }, { version: 7 })).toEqual({ kind: 'conflict', current });
      expect(await table.put('run', 'none', {}, { version: 1 })).toEqual({ kind: 'conflict', current: undefined });
      expect(await table.get('run', 'row')).toEqual(current);
    });

    it.runIf(largeItems)(
      'D3 refuses a value over 400 KB with its size and the limit, and takes one just below',
      async () => {
        const table = await make();
        const limit = 400 * 1024;
        const fits = { bytes: new Uint8Array(limit - 300).fill(7) };
        expect(await table.put('run', 'row', fits, { absent: true })).toEqual({ kind: 'stored', version: 1 });
        const kept = await table.get<typeof fits>('run', 'row');
        expect(Buffer.compare(kept?.value.bytes ?? new Uint8Array(0), fits.bytes)).toBe(0);
        for (const large of [{ bytes: new Uint8Array(limit) }, { text: 'é'.repeat(limit / 2) }]) {
          await expect(table.put('run', 'big', large, { absent: true })).rejects.toThrow(/big.*\d{6} .*409600/);
        }
        expect(await table.get('run', 'big')).toBeUndefined();
      },
    );

    it('D3 refuses numbers that a table cannot hold instead of storing something else', async () => {
      const table = await make();
      for (const loss of [Number.NaN, Number.POSITIVE_INFINITY]) {
        await expect(table.put('run', 'row', { loss }, { absent: true })).rejects.toThrow();
        await expect(table.put('run', 'row', { deep: [{ loss }] }, { absent: true })).rejects.toThrow();
      }
      expect(await table.get('run', 'row')).toBeUndefined();
    });

    it('D4 never replaces a greater fence by a smaller one', async () => {
      const table = await make();
      expect(await table.put('run', 'row', { g: 3 }, { fence: 3 })).toEqual({ kind: 'stored', version: 1 });
      const refused = await table.put('run', 'row', { g: 2 }, { fence: 2 });
      expect(refused).toMatchObject({ kind: 'conflict', current: { fence: 3, value: { g: 3 } } });
      expect(await table.put('run', 'row', { g: 3 }, { fence: 3 })).toEqual({ kind: 'stored', version: 2 });
      expect(await table.put('run', 'row', { g: 5 }, { fence: 5 })).toEqual({ kind: 'stored', version: 3 });
      expect(await table.put('run', 'row', { g: 3 }, { fence: 3 })).toMatchObject({ kind: 'conflict' });
      expect(await table.get('run', 'row')).toEqual({ key: 'row', value: { g: 5 }, version: 3, fence: 5 });
    });

    it('D4 keeps the fence over writes by version', async () => {
      const table = await make();
      await table.put('run', 'row', {}, { fence: 4 });
      expect(await table.put('run', 'row', { v: 2 }, { version: 1 })).toEqual({ kind: 'stored', version: 2 });
      expect(await table.get('run', 'row')).toMatchObject({ fence: 4, version: 2 });
      expect(await table.put('run', 'row', {}, { fence: 3 })).toMatchObject({ kind: 'conflict' });
    });

    it('D4 checks version and fence together when both are given', async () => {
      const table = await make();
      expect(await table.put('run', 'none', {}, { version: 1, fence: 9 })).toMatchObject({ kind: 'conflict' });
      await table.put('run', 'row', {}, { fence: 4 });
      expect(await table.put('run', 'row', {}, { version: 1, fence: 3 })).toMatchObject({ kind: 'conflict' });
      expect(await table.put('run', 'row', {}, { version: 2, fence: 5 })).toMatchObject({ kind: 'conflict' });
      expect(await table.put('run', 'row', {}, { version: 1, fence: 5 })).toEqual({ kind: 'stored', version: 2 });
      expect(await table.get('run', 'row')).toMatchObject({ version: 2, fence: 5 });
    });

    it('D4 holds under concurrent writes of many fences', async () => {
      const table = await make();
      const fences = [3, 9, 1, 7, 5, 10, 2, 8, 4, 6];
      await Promise.all(fences.map((fence) => table.put('run', 'row', { fence }, { fence })));
      expect(await table.get('run', 'row')).toMatchObject({ fence: 10, value: { fence: 10 } });
    });

    it('D5 deletes on the version only, and what is not there without complaint', async () => {
      const table = await make();
      await table.put('run', 'row', {}, { absent: true });
      expect(await table.delete('run', 'row', 2)).toBe('conflict');
      expect(await table.get('run', 'row')).toBeDefined();
      expect(await table.delete('run', 'row', 1)).toBe('deleted');
      expect(await table.delete('run', 'row', 1)).toBe('deleted');
      expect(await table.delete('run', 'never', 1)).toBe('deleted');
      expect(await table.get('run', 'row')).toBeUndefined();
      expect(await table.query('run', '')).toEqual([]);
    });

    it('D5 lets a deleted row be made again, without its fence', async () => {
      const table = await make();
      await table.put('run', 'row', { life: 1 }, { fence: 7 });
      await table.delete('run', 'row', 1);
      expect(await table.put('run', 'row', { life: 2 }, { version: 1 })).toMatchObject({ kind: 'conflict' });
      expect(await table.put('run', 'row', { life: 2 }, { absent: true })).toMatchObject({ kind: 'stored' });
      expect(await table.get('run', 'row')).toMatchObject({ value: { life: 2 }, fence: 0 });
    });

    it('D6 finds all rows with the prefix, sorted by key, only of the partition', async () => {
      const table = await make();
      const keys = ['part/b/0002', 'part/a/0010', 'part/a/0002', 'part', 'partner', 'event/1', 'Part/a', 'part/%2f'];
      for (const key of keys) await table.put('run', key, { key }, { absent: true });
      await table.put('run-2', 'part/a/0001', {}, { absent: true });
      const found = await table.query<{ key: string }>('run', 'part/');
      expect(found.map((row) => row.key)).toEqual(['part/%2f', 'part/a/0002', 'part/a/0010', 'part/b/0002']);
      expect(found.every((row) => row.value.key === row.key && row.version === 1)).toBe(true);
      expect((await table.query('run', '')).map((row) => row.key)).toEqual([...keys].sort());
      expect(await table.query('run', 'part/c')).toEqual([]);
      expect(await table.query('nobody', '')).toEqual([]);
    });

    it('D6 reads more than one page', async () => {
      const table = await make();
      for (let i = 0; i < 4; i++) {
        await table.put('run', `part/${i}`, { bytes: new Uint8Array(300_000) }, { absent: true });
      }
      expect((await table.query('run', 'part/')).map(({ key }) => key)).toEqual([0, 1, 2, 3].map((i) => `part/${i}`));
    });
  });
}
