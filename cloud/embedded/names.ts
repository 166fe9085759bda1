/**
 * Keys as file names. Two keys never share a name, also on a file system that ignores case, and no key can leave its
 * folder: everything but small letters, digits, `-` and `_` is written as `%` and two hex digits of its UTF-8 bytes.
 */
import { CuttlefishError } from '../../core/failure.ts';

/** What file systems allow a name to have. */
const longestName = 255;

export function nameOf(key: string): string {
  let name = '';
  for (const byte of Buffer.from(key)) {
    const plain = (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x5f;
    name += plain ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, '0')}`;
  }
  if (name !== '' && name.length <= longestName) return name;
  throw new CuttlefishError({
    kind: 'StorageFailed',
    what: `the key "${key}"`,
    reason: `as a file name it has ${name.length} characters; accepted: 1 to ${longestName}`,
  });
}

export function keyOf(name: string): string {
  const bytes: number[] = [];
  for (let i = 0; i < name.length; i++) {
    if (name[i] === '%') bytes.push(Number.parseInt(name.slice(i + 1, i + 3), 16));
    else bytes.push(name.charCodeAt(i));
    if (name[i] === '%') i += 2;
  }
  return Buffer.from(bytes).toString();
}
