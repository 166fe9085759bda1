/** Random names from the system's generator. */
import { randomBytes } from 'node:crypto';
import type { Ids } from '../ports.ts';

export const randomIds: Ids = {
  hex: (bytes) => randomBytes(bytes).toString('hex'),
};
