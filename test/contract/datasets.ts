/** The clauses of the Datasets port. `put` places a file and answers nothing; `uri` names what lies under the given path. */
import { describe, expect, it } from 'vitest';
import type { Datasets } from '../../cloud/ports.ts';

export interface DatasetsUnderTest {
  readonly datasets: Datasets;
  put(path: string, body: Uint8Array | string): Promise<void>;
  uri(path: string): string;
  /** A URI that this world refuses, if there is one. */
  readonly refused?: string;
}

export function describeDatasets(name: string, make: () => Promise<DatasetsUnderTest>): void {
  describe(`${name}: the datasets port`, () => {
    it('reads a whole file, or tells that there is none', async () => {
      const { datasets, put, uri } = await make();
      await put('data/train.csv', 'a,b\n1,2\n');
      expect(Buffer.from((await datasets.read(uri('data/train.csv'))) ?? []).toString()).toBe('a,b\n1,2\n');
      expect(await datasets.read(uri('data/none.csv'))).toBeUndefined();
      expect(await datasets.read(uri('none/none.csv'))).toBeUndefined();
    });

    it('reads a range [from, to), cut at the end of the file', async () => {
      const { datasets, put, uri } = await make();
      await put('data/x.bin', new Uint8Array([0, 1, 2, 3, 4, 5, 6, 7]));
      const read = async (from: number, to: number) => [
        ...((await datasets.read(uri('data/x.bin'), { from, to })) ?? []),
      ];
      expect(await read(2, 5)).toEqual([2, 3, 4]);
      expect(await read(0, 8)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
      expect(await read(6, 100)).toEqual([6, 7]);
      expect(await read(8, 9)).toEqual([]);
      expect(await read(3, 3)).toEqual([]);
      expect(await datasets.read(uri('data/none.bin'), { from: 0, to: 4 })).toBeUndefined();
    });

    it('lists the files directly under a folder, sorted', async () => {
      const { datasets, put, uri } = await make();
      for (const path of ['data/b.bin', 'data/a.bin', 'data/deep/c.bin', 'database/d.bin']) await put(path, 'x');
      expect(await datasets.list(uri('data'))).toEqual(['a.bin', 'b.bin']);
      expect(await datasets.list(uri('data/'))).toEqual(['a.bin', 'b.bin']);
      expect(await datasets.list(uri('none'))).toBeUndefined();
    });

    it('refuses a place that is not allowed, naming it', async ({ skip }) => {
      const { datasets, refused } = await make();
      if (refused === undefined) return skip('this world refuses nothing');
      await expect(datasets.read(refused)).rejects.toMatchObject({ name: 'DataInvalid' });
      await expect(datasets.list(refused)).rejects.toThrow(refused);
    });
  });
}
