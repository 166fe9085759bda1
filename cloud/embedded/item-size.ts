/**
 * How large a table row is, counted as DynamoDB counts it, so that every world refuses what the smallest one would.
 *
 * Invariants
 *  Z1  A row over 400 KB is refused before anything is written, with its key, its size and the limit.
 *  Z2  What JSON cannot hold (NaN, an infinity, bytes below the top level) is refused and never stored as something else.
 */
import { CuttlefishError } from '../../core/failure.ts';

export const itemLimitBytes = 400 * 1024;

/** Names and UTF-8 strings count their bytes, numbers about a byte for two digits, containers three bytes and one an element. */
export function itemBytes(partition: string, key: string, value: unknown): number {
  const own = Buffer.byteLength(partition) + Buffer.byteLength(key) + 40;
  return own + sizeOf(value, '');
}

/** Throws unless the row fits and holds only what every world can store. */
export function checkItem(partition: string, key: string, value: unknown): void {
  const what = `row "${key}" of "${partition}"`;
  let bytes: number;
  try {
    bytes = itemBytes(partition, key, value);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CuttlefishError({ kind: 'StorageFailed', what, reason }, { cause });
  }
  if (bytes <= itemLimitBytes) return;
  const reason = `it is ${bytes} bytes, a row of the table takes at most ${itemLimitBytes}; larger values go to the bucket`;
  throw new CuttlefishError({ kind: 'StorageFailed', what, reason });
}

function sizeOf(value: unknown, path: string): number {
  if (value === null || value === undefined || typeof value === 'boolean') return 1;
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (typeof value === 'number') {
    if (Number.isFinite(value)) return Math.ceil(String(value).length / 2) + 1;
    throw new Error(`${path || 'the value'} is ${value}, a table holds finite numbers only`);
  }
  if (value instanceof Uint8Array) {
    if (path !== '' && !path.includes('.')) return value.byteLength;
    throw new Error(`${path || 'the value'} is bytes, which a row holds as a top-level field only`);
  }
  if (typeof value !== 'object') throw new Error(`${path || 'the value'} is a ${typeof value}, which JSON cannot hold`);
  const at = (name: string | number) => (path === '' ? String(name) : `${path}.${name}`);
  let bytes = 3;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) bytes += 1 + sizeOf(value[i], `${path || 'value'}.${i}`);
    return bytes;
  }
  for (const [name, field] of Object.entries(value)) {
    if (field !== undefined) bytes += 1 + Buffer.byteLength(name) + sizeOf(field, at(name));
  }
  return bytes;
}
