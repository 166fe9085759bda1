/**
 * One version of one row as a file: a line of JSON, and behind it the bytes of the top-level byte fields as they are, in
 * the order and with the lengths that the line names.
 */
import type { Row } from '../ports.ts';

interface Header {
  /** Names the folder in which the next version must be prepared, see table.ts. */
  readonly next: string;
  readonly fence: number;
  /** Absent in a tombstone. */
  readonly value?: unknown;
  /** How long each byte field is. */
  readonly bytes?: Readonly<Record<string, number>>;
}

export interface RowFile extends Header {
  /** All byte fields, one behind the other. */
  readonly tail: Uint8Array;
}

const newline = 10;

export function encodeRow(next: string, fence: number, value: unknown): Uint8Array {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return encode({ next, fence, value });
  const plain: Record<string, unknown> = {};
  const bytes: Record<string, number> = {};
  const tail: Uint8Array[] = [];
  for (const [name, field] of Object.entries(value)) {
    if (field instanceof Uint8Array) {
      bytes[name] = field.length;
      tail.push(field);
    } else plain[name] = field;
  }
  return encode({ next, fence, value: plain, ...(tail.length > 0 ? { bytes } : {}) }, tail);
}

export const encodeTombstone = (next: string): Uint8Array => encode({ next, fence: 0 });

function encode(header: Header, tail: readonly Uint8Array[] = []): Uint8Array {
  return Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...tail]);
}

/** Throws SyntaxError for what was not written whole. */
export function decodeRow(file: Buffer): RowFile {
  const end = file.indexOf(newline);
  const header = JSON.parse(file.toString('utf8', 0, Math.max(0, end))) as Header;
  const tail = file.subarray(end + 1);
  const wanted = Object.values(header.bytes ?? {}).reduce((sum, length) => sum + length, 0);
  if (tail.length !== wanted) throw new SyntaxError(`${tail.length} bytes behind the first line instead of ${wanted}`);
  return { ...header, tail };
}

export function toRow<T>(key: string, version: number, file: RowFile): Row<T> | undefined {
  const { fence, bytes, tail } = file;
  if (!('value' in file)) return undefined;
  if (bytes === undefined) return { key, value: file.value as T, version, fence };
  const value: Record<string, unknown> = { ...(file.value as Record<string, unknown>) };
  let at = 0;
  for (const [name, length] of Object.entries(bytes)) {
    value[name] = new Uint8Array(tail.buffer, tail.byteOffset + at, length);
    at += length;
  }
  return { key, value: value as T, version, fence };
}
