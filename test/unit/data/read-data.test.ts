import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readDataFile, readDataHead } from '../../../cloud/read-data.ts';

const content = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i + (i >> 7)) & 0xff);
const half = content.length / 2;

const holding = (bytes: Uint8Array) => ({ read: async () => bytes, list: async () => undefined });
const isContent = (bytes: Uint8Array): boolean => Buffer.compare(bytes, content) === 0;

/** The last four bytes say the inflated size. */
function saying(bytes: number): Uint8Array {
  const file = new Uint8Array(gzipSync(content));
  new DataView(file.buffer).setUint32(file.length - 4, bytes, true);
  return file;
}

describe('readDataFile()', () => {
  it('takes no more memory for the content than the content', async () => {
    const found = await readDataFile(holding(gzipSync(content)), 'a.gz');
    expect(isContent(found)).toBe(true);
    expect(found.buffer.byteLength).toBe(content.length + 1);
  });

  it('inflates a file of several parts, whose end says the size of the last one only', async () => {
    const parts = Buffer.concat([gzipSync(content.subarray(0, half)), gzipSync(content.subarray(half))]);
    expect(isContent(await readDataFile(holding(parts), 'a.gz'))).toBe(true);
  });

  it.each([0, 17, content.length - 1, 2 ** 32 - 1])(
    'refuses a file that says %i bytes and has others (RD1)',
    async (bytes) => {
      await expect(readDataFile(holding(saying(bytes)), 'a.gz')).rejects.toThrow(/a\.gz: damaged gzip file/);
    },
  );
});

describe('a file of a few bytes', () => {
  it.each([3, 7, 12])('that begins like gzip and has %i is refused in words (RD1)', async (length) => {
    const file = gzipSync(content).subarray(0, length);
    await expect(readDataFile(holding(file), 'a.gz')).rejects.toThrow(/a\.gz: truncated/);
  });
});

describe('readDataHead()', () => {
  it('inflates the beginning and believes the size', async () => {
    const { head, bytes } = await readDataHead(holding(gzipSync(content)), 'a.gz');
    expect(bytes).toBe(content.length);
    expect(Buffer.compare(head, content.subarray(0, head.length))).toBe(0);
  });
});
