/**
 * Size of a DynamoDB item by the rules that its limit is counted with: names and strings in UTF-8, numbers about one
 * byte for two digits, three bytes for a list or map and one for each element. Errs on the large side by a few bytes.
 */
import type { AttributeValue } from '@aws-sdk/client-dynamodb';

export const itemLimitBytes = 400 * 1024;

export function itemBytes(item: Readonly<Record<string, AttributeValue>>): number {
  let bytes = 0;
  for (const [name, value] of Object.entries(item)) bytes += Buffer.byteLength(name) + valueBytes(value);
  return bytes;
}

function valueBytes(value: AttributeValue): number {
  if (value.S !== undefined) return Buffer.byteLength(value.S);
  if (value.B !== undefined) return value.B.byteLength;
  if (value.N !== undefined) return Math.ceil(value.N.replace(/[^0-9]/g, '').length / 2) + 2;
  if (value.M !== undefined) return 3 + Object.keys(value.M).length + itemBytes(value.M);
  if (value.L !== undefined) return 3 + value.L.reduce((sum, element) => sum + 1 + valueBytes(element), 0);
  return 1;
}
