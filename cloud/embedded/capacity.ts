/**
 * How many tasks this machine has room for. Unlimited, until a person says otherwise in `capacity.json` of the state
 * folder, also while runs go on: scarcity can be rehearsed on a laptop.
 *
 *   {"maxTasks": 3, "kinds": {"local": 2}}
 *
 * Invariants
 *  CP1 Read at every launch: the file counts as it is then. Tasks that run already are left alone.
 *  CP2 A file that cannot be read, or says something else, is an error and not "unlimited".
 */
import { join } from 'node:path';
import { CuttlefishError } from '../../core/failure.ts';
import type { LaunchKind } from '../../core/plan.ts';
import { readJson } from './files.ts';

export interface Capacity {
  /** Tasks that may run at the same time. */
  readonly maxTasks?: number;
  /** The same for one launch kind, e.g. `{'fargate-spot': 0}`. */
  readonly kinds?: Readonly<Partial<Record<LaunchKind, number>>>;
}

export const capacityFile = 'capacity.json';

export function readCapacity(stateDir: string): Capacity {
  const path = join(stateDir, capacityFile);
  const found = readJson<unknown>(path);
  if (found === undefined) return {};
  if (isObject(found)) {
    const { maxTasks = 0, kinds = {}, ...others } = found;
    const known = Object.keys(others).length === 0 && isObject(kinds);
    if (known && [maxTasks, ...Object.values(kinds)].every(isCount)) return found as Capacity;
  }
  throw new CuttlefishError({
    kind: 'StorageFailed',
    what: path,
    reason: 'it is no capacity; accepted: e.g. {"maxTasks": 3, "kinds": {"local": 2}}',
  });
}

/** The room that both leave. */
export function narrower(a: Capacity, b: Capacity): Capacity {
  const kinds = { ...a.kinds };
  for (const [kind, count] of Object.entries(b.kinds ?? {}) as [LaunchKind, number][]) {
    kinds[kind] = Math.min(count, kinds[kind] ?? count);
  }
  const most = [a.maxTasks, b.maxTasks].filter((count) => count !== undefined);
  return { kinds, ...(most.length === 0 ? {} : { maxTasks: Math.min(...most) }) };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0;
}
