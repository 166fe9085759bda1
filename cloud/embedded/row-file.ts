/**
 * One version of one row as the text of a file: JSON, with top-level byte fields as base64 beside the other fields.
 */
import type { Row } from '../ports.ts';

export interface RowFile {
  /** Names the folder in which the next version must be prepared, see table.ts. */
  readonly next: string;
  readonly fence: number;
  /** Absent in a tombstone. */
  readonly value?: unknown;
  readonly bytes?: Readonly<Record<string, string>>;
}

export function encodeRow(next: string, fence: number, value: unknown): string {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    return JSON.stringify({ next, fence, value });
  const plain: Record<string, unknown> = {};
  const bytes: Record<string, string> = {};
  for (const [name, field] of Object.entries(value)) {
    if (field instanceof Uint8Array) bytes[name] = viewOf(field).toString('base64');
    else plain[name] = field;
  }
  return JSON.stringify({ next, fence, value: plain, ...(Object.keys(bytes).length > 0 ? { bytes } : {}) });
}

export const encodeTombstone = (next: string): string => JSON.stringify({ next, fence: 0 });

export function toRow<T>(key: string, version: number, file: RowFile): Row<T> | undefined {
  if (!('value' in file)) return undefined;
  if (file.bytes === undefined) return { key, value: file.value as T, version, fence: file.fence };
  const value: Record<string, unknown> = { ...(file.value as Record<string, unknown>) };
  for (const [name, text] of Object.entries(file.bytes)) value[name] = new Uint8Array(Buffer.from(text, 'base64'));
  return { key, value: value as T, version, fence: file.fence };
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
