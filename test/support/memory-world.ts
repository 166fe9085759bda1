/**
 * A whole world in memory, for tests: every port of cloud/ports.ts with its clauses, and levers to hurt it.
 *
 * Invariants
 *  M1  Values are copied on the way in and on the way out, as JSON would: nobody can change a stored row by holding it.
 *  M2  Every change of objects or table passes `mutate`, which journals it and is where faults strike: a failed write
 *      has no effect (`failNext`), and after a crash (`crashAfterWrites`) nothing is written any more until `recover`.
 *  M3  Nothing is random and time is virtual: the same calls give the same world.
 */
import { checkItem } from '../../cloud/embedded/item-size.ts';
import type { Cloud, ObservedTask, Row, When } from '../../cloud/ports.ts';
import { noQuotas, type Quotas } from '../../core/quotas.ts';
import { virtualClock } from './memory-clock.ts';
import type { LogLine, MemoryControls, MemoryOperation } from './memory-controls.ts';

export type MemoryWorld = Cloud & { readonly controls: MemoryControls };

interface StoredRow {
  value: unknown;
  version: number;
  fence: number;
}

/** `kind: 'aws'` plans as on AWS, and names tasks by ARNs. `autoSleep` (the default) lets a sleeper wake at once by moving the clock; without it only `advance` does. */
export function createMemoryWorld(
  options: {
    readonly startMs?: number;
    readonly autoSleep?: boolean;
    readonly kind?: Cloud['kind'];
    readonly quotas?: Quotas;
  } = {},
): MemoryWorld {
  const objects = new Map<string, { body: Uint8Array; version: string }[]>();
  const rows = new Map<string, Map<string, StoredRow>>();
  const files = new Map<string, Uint8Array>();
  const tasks = new Map<string, ObservedTask>();
  const launches = new Map<string, { request: string; outcome: { started: string[]; failures: string[] } }>();
  const openTokens = new Set<string>();
  const answers = new Map<string, unknown>();
  const executions = new Map<string, { input: unknown; stopped?: string }>();
  const floors = new Map<string, { floor: number; inService: number; max: number }>();
  const faults: { operation: MemoryOperation; error: Error; times: number; keyPrefix: string }[] = [];
  const writes: string[] = [];
  const logs: LogLine[] = [];
  const metrics: Record<string, unknown>[] = [];
  const notices: { type: string; detail: Readonly<Record<string, unknown>> }[] = [];
  let writesLeft = Number.POSITIVE_INFINITY;
  let counter = 0;
  const kind = options.kind ?? 'embedded';
  const taskPrefix = kind === 'aws' ? 'arn:aws:ecs:eu-west-1:123456789012:task/cuttlefish/' : '';
  const clock = virtualClock(options.startMs ?? 1_700_000_000_000, options.autoSleep ?? true);

  /** Every port call passes here, one turn of the event loop later, as a real world would answer. */
  const strike = async (operation: MemoryOperation, key: string): Promise<void> => {
    await Promise.resolve();
    const fault = faults.find((f) => f.operation === operation && key.startsWith(f.keyPrefix));
    if (fault === undefined) return;
    fault.times -= 1;
    if (fault.times <= 0) faults.splice(faults.indexOf(fault), 1);
    throw fault.error;
  };
  const mutate = (what: string): void => {
    if (writesLeft <= 0) throw new Error(`crashed before ${what}`);
    writesLeft -= 1;
    writes.push(what);
  };
  const partitionOf = (partition: string): Map<string, StoredRow> => {
    const found = rows.get(partition) ?? new Map<string, StoredRow>();
    rows.set(partition, found);
    return found;
  };
  const rowOf = <T>(key: string, stored: StoredRow | undefined): Row<T> | undefined =>
    stored === undefined
      ? undefined
      : { key, value: copyValue(stored.value) as T, version: stored.version, fence: stored.fence };

  const controls: MemoryControls = {
    failNext(operation, error, { times = 1, keyPrefix = '' } = {}) {
      faults.push({ operation, error, times, keyPrefix });
    },
    crashAfterWrites(count) {
      writesLeft = count;
    },
    recover() {
      writesLeft = Number.POSITIVE_INFINITY;
      faults.length = 0;
    },
    writes,
    logs,
    notices,
    metrics,
    advance: clock.advance,
    addFile(uri, body) {
      files.set(normaliseUri(uri), typeof body === 'string' ? new TextEncoder().encode(body) : body);
    },
    overwriteRow(partition, key, value) {
      const existing = rows.get(partition)?.get(key);
      if (value === undefined) rows.get(partition)?.delete(key);
      else partitionOf(partition).set(key, { version: 1, fence: 0, ...existing, value: copyValue(value) });
    },
    overwriteObject(key, body) {
      counter += 1;
      if (body === undefined) objects.delete(key);
      else objects.set(key, [...(objects.get(key) ?? []), { body: body.slice(), version: `v${counter}` }]);
    },
    capacity: Number.POSITIVE_INFINITY,
    changeTask(taskId, change) {
      const task = tasks.get(taskId);
      if (task === undefined) throw new Error(`no task "${taskId}"`);
      tasks.set(taskId, { ...task, ...change });
    },
    openToken(token) {
      openTokens.add(token);
    },
    answers,
    executions,
    floors,
  };

  return {
    kind,
    quotas: options.quotas ?? noQuotas,
    objects: {
      async get(key) {
        await strike('objects.get', key);
        const latest = objects.get(key)?.at(-1);
        return latest === undefined ? undefined : { body: latest.body.slice(), version: latest.version };
      },
      async getVersion(key, version) {
        await strike('objects.get', key);
        const found = objects.get(key)?.find((o) => o.version === version);
        return found === undefined ? undefined : { body: found.body.slice(), version };
      },
      async put(key, body, when) {
        await strike('objects.put', key);
        const versions = objects.get(key) ?? [];
        if (when !== 'always' && versions.length > 0) return { kind: 'conflict' };
        mutate(`objects.put ${key}`);
        counter += 1;
        const version = `v${counter}`;
        versions.push({ body: typeof body === 'string' ? new TextEncoder().encode(body) : body.slice(), version });
        objects.set(key, versions);
        return { kind: 'stored', version };
      },
      async list(prefix) {
        await strike('objects.list', prefix);
        return [...objects.keys()].filter((key) => key.startsWith(prefix)).sort();
      },
      async delete(key) {
        await strike('objects.delete', key);
        mutate(`objects.delete ${key}`);
        objects.delete(key);
      },
      locate: (key) => `memory://${key}`,
    },
    table: {
      async get(partition, key) {
        await strike('table.get', key);
        return rowOf(key, rows.get(partition)?.get(key));
      },
      async put(partition, key, value, when) {
        await strike('table.put', key);
        checkItem(partition, key, value);
        const existing = rows.get(partition)?.get(key);
        if (!holds(when, existing)) return { kind: 'conflict', current: rowOf(key, existing) };
        mutate(`table.put ${partition} ${key}`);
        const version = (existing?.version ?? 0) + 1;
        const fence = 'fence' in when ? when.fence : (existing?.fence ?? 0);
        partitionOf(partition).set(key, { value: copyValue(value), version, fence });
        return { kind: 'stored', version };
      },
      async delete(partition, key, version) {
        await strike('table.delete', key);
        const existing = rows.get(partition)?.get(key);
        if (existing === undefined) return 'deleted';
        if (existing.version !== version) return 'conflict';
        mutate(`table.delete ${partition} ${key}`);
        rows.get(partition)?.delete(key);
        return 'deleted';
      },
      async query<T>(partition: string, prefix: string) {
        await strike('table.query', prefix);
        return [...(rows.get(partition) ?? new Map<string, StoredRow>()).entries()]
          .filter(([key]) => key.startsWith(prefix))
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([key, stored]) => rowOf<T>(key, stored) as Row<T>);
      },
    },
    tasks: {
      async launch(request) {
        await strike('tasks.launch', request.runId);
        const text = JSON.stringify(request);
        const before = launches.get(request.clientToken);
        if (before !== undefined) {
          if (before.request !== text) throw new Error(`clientToken "${request.clientToken}" used for another request`);
          return before.outcome;
        }
        const outcome = { started: [] as string[], failures: [] as string[] };
        for (let i = 0; i < request.count; i += 1) {
          if (controls.capacity <= 0) {
            outcome.failures.push('Capacity is unavailable at this time. Please try again later.');
            continue;
          }
          controls.capacity -= 1;
          counter += 1;
          const taskId = `${taskPrefix}task-${counter}`;
          tasks.set(taskId, { taskId, runId: request.runId, role: request.role, state: 'starting' });
          outcome.started.push(taskId);
        }
        launches.set(request.clientToken, { request: text, outcome });
        return outcome;
      },
      async stop(taskId, reason) {
        await strike('tasks.stop', taskId);
        const task = tasks.get(taskId);
        if (task === undefined || task.state === 'stopped') return;
        tasks.set(taskId, { ...task, state: 'stopped', stop: { code: 'UserInitiated', exitCode: 0, reason } });
      },
      async list(runId) {
        await strike('tasks.list', runId);
        return [...tasks.values()].filter((task) => task.runId === runId);
      },
      async listLive() {
        await strike('tasks.list', '');
        return [...tasks.values()].filter((task) => task.state !== 'stopped');
      },
    },
    scaling: {
      async setFloor(kind, instances) {
        const group = floors.get(kind) ?? { floor: 0, inService: 0, max: 100 };
        group.floor = Math.min(instances, group.max);
        group.inService = Math.max(group.inService, group.floor);
        floors.set(kind, group);
        return { inService: group.inService, max: group.max };
      },
      async describe(kind) {
        const group = floors.get(kind) ?? { floor: 0, inService: 0, max: 100 };
        return { ...group };
      },
    },
    workflow: {
      async start(name, input) {
        await strike('workflow.start', name);
        const executionArn = `arn:memory:execution:${name}`;
        if (executions.has(executionArn)) return { kind: 'exists', executionArn };
        executions.set(executionArn, { input: structuredClone(input) });
        return { kind: 'started', executionArn };
      },
      async stop(executionArn, cause) {
        await strike('workflow.stop', executionArn);
        const execution = executions.get(executionArn);
        if (execution !== undefined) execution.stopped = cause;
      },
      async describe(executionArn) {
        const execution = executions.get(executionArn);
        return execution && { status: execution.stopped === undefined ? 'RUNNING' : 'ABORTED' };
      },
      async succeedTask(token, output) {
        await strike('workflow.succeedTask', token);
        if (!openTokens.delete(token)) return 'gone';
        answers.set(token, structuredClone(output));
        return 'accepted';
      },
      async heartbeatTask(token) {
        return openTokens.has(token) ? 'accepted' : 'gone';
      },
    },
    datasets: {
      async read(uri, range) {
        await strike('datasets.read', uri);
        const body = files.get(normaliseUri(uri));
        if (body === undefined) return undefined;
        return range === undefined ? body.slice() : body.slice(range.from, range.to);
      },
      async list(uri) {
        const folder = `${normaliseUri(uri)}/`;
        const under = [...files.keys()].filter((name) => name.startsWith(folder));
        if (under.length === 0) return undefined;
        return under
          .map((name) => name.slice(folder.length))
          .filter((name) => !name.includes('/'))
          .sort();
      },
    },
    notices: {
      async publish(type, detail) {
        notices.push({ type, detail });
      },
    },
    metrics: {
      put(values, about) {
        metrics.push({ ...values, ...about });
      },
    },
    clock: clock.port,
    ids: {
      hex(bytes) {
        counter += 1;
        return counter
          .toString(16)
          .padStart(bytes * 2, '0')
          .slice(-bytes * 2);
      },
    },
    log: {
      write(level, event, detail = {}) {
        logs.push({ level, event, detail });
      },
    },
    controls,
  };
}

function holds(when: When, existing: StoredRow | undefined): boolean {
  if ('absent' in when) return existing === undefined;
  if ('version' in when && existing?.version !== when.version) return false;
  if (!('fence' in when)) return true;
  return existing === undefined || existing.fence <= when.fence;
}

/** JSON, with Uint8Array fields at the top level: what a real table keeps of a value. */
function copyValue(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return JSON.parse(JSON.stringify(value));
  const copy: Record<string, unknown> = {};
  for (const [field, entry] of Object.entries(value)) {
    if (entry instanceof Uint8Array) copy[field] = entry.slice();
    else if (entry !== undefined) copy[field] = JSON.parse(JSON.stringify(entry));
  }
  return copy;
}

function normaliseUri(uri: string): string {
  return uri.replace(/^\.\//, '').replace(/\/+$/, '');
}
