/**
 * The table and the bucket in virtual time, with the conditions of cloud/ports.ts. Calls take time, are slow now and then,
 * and fail: before they have done anything, or after, so that the caller does not know.
 *
 * Values are kept as they are given, but for bytes: nothing in the code that is simulated changes a value that it has
 * written or read.
 */
import type { ObjectStore, Row, Stored, Table, When } from '../../cloud/ports.ts';
import { CuttlefishError } from '../../core/failure.ts';
import type { Agenda } from './agenda.ts';
import type { Dials, Mishap } from './dials.ts';
import type { Host } from './host.ts';

export interface Written {
  readonly host: Host | undefined;
  readonly key: string;
  readonly before: Row<unknown> | undefined;
  readonly after: Row<unknown> | undefined;
  readonly fence: number | undefined;
  /** When the writer asked for it. */
  readonly askedAtMs: number;
}

const slowMs = 1_500;
const timeoutMs = 400;

export class Storage {
  readonly objects = new Map<string, Uint8Array>();
  readonly cutOff = new Set<Host>();
  /** Whose calls take long. */
  readonly slow = new Set<Host>();
  private readonly rows = new Map<string, Row<unknown>>();
  private readonly agenda: Agenda;
  private readonly dials: Dials;
  private readonly onWrite: (written: Written) => void;
  private readonly mishap: (what: Mishap) => void;

  constructor(agenda: Agenda, dials: Dials, onWrite: Storage['onWrite'], mishap: Storage['mishap']) {
    this.mishap = mishap;
    this.agenda = agenda;
    this.dials = dials;
    this.onWrite = onWrite;
  }

  get<T>(key: string): Row<T> | undefined {
    return this.rows.get(key) as Row<T> | undefined;
  }

  query<T>(prefix: string): Row<T>[] {
    return [...this.rows.values()].filter((row) => row.key.startsWith(prefix)).sort(byKey) as Row<T>[];
  }

  put<T>(host: Host | undefined, key: string, value: T, when: When, askedAtMs = this.agenda.nowMs): Stored<T> {
    const before = this.rows.get(key);
    const fence = fenceAfter(when, before);
    if (fence === undefined) return { kind: 'conflict', current: before as Row<T> | undefined };
    const after = { key, value, version: (before?.version ?? 0) + 1, fence };
    // History is only ever added to; nobody reads it here.
    if (!key.startsWith('event/')) this.rows.set(key, after);
    this.onWrite({ host, key, before, after, fence: 'fence' in when ? when.fence : undefined, askedAtMs });
    return { kind: 'stored', version: after.version };
  }

  tableOf(host: Host): Table {
    const call = this.caller(host);
    return {
      get: (_, key) => call(`get ${key}`, false, () => this.get(key)),
      put: (_, key, value, when) => {
        const askedAtMs = this.agenda.nowMs;
        const kept = encoded(value);
        return call(`put ${key}`, true, () => this.put(host, key, kept, when, askedAtMs));
      },
      delete: (_, key, version) =>
        call(`delete ${key}`, true, () => {
          const before = this.rows.get(key);
          if (before !== undefined && before.version !== version) return 'conflict';
          this.rows.delete(key);
          const askedAtMs = this.agenda.nowMs;
          this.onWrite({ host, key, before, after: undefined, fence: undefined, askedAtMs });
          return 'deleted';
        }),
      query: (_, prefix) => call(`query ${prefix}`, false, () => this.query(prefix)),
    };
  }

  objectsOf(host: Host): ObjectStore {
    const call = this.caller(host);
    return {
      get: (key) =>
        call(`get ${key}`, false, () => {
          const body = this.objects.get(key);
          return body === undefined ? undefined : { body, version: '1' };
        }),
      getVersion: () => Promise.reject(new Error('not simulated')),
      put: (key, body, when) =>
        call(`put ${key}`, true, () => {
          if (when !== 'always' && this.objects.has(key)) return { kind: 'conflict' } as const;
          this.objects.set(key, typeof body === 'string' ? new TextEncoder().encode(body) : body);
          return { kind: 'stored', version: '1' } as const;
        }),
      list: () => Promise.reject(new Error('not simulated')),
      delete: (key) =>
        call(`delete ${key}`, true, () => {
          this.objects.delete(key);
        }),
      locate: (key) => key,
    };
  }

  private caller(host: Host) {
    return <T>(what: string, writes: boolean, work: () => T): Promise<T> =>
      new Promise((resolve, reject) => {
        if (!host.act(what)) return;
        const { agenda, dials } = this;
        const fail = (): void => {
          host.resume(() => reject(new CuttlefishError({ kind: 'StorageFailed', what, reason: 'simulated' })));
        };
        if (this.cutOff.has(host)) {
          agenda.at(timeoutMs, fail);
          return;
        }
        const takesMs = dials.storageMs * agenda.between(0.3, 1.5);
        const isSlow = this.slow.has(host) || (dials.storageSlow > 0 && agenda.chance(dials.storageSlow));
        const slow = isSlow ? agenda.pick(slowMs) : 0;
        if (isSlow) this.mishap('storage slow');
        if (slow > 100) host.trouble(slow);
        const fails = dials.storageFail > 0 && agenda.chance(dials.storageFail);
        const undone = fails && agenda.chance(0.5);
        if (fails) host.trouble(0);
        if (fails && writes) this.mishap(undone ? 'write failed' : 'answer lost');
        agenda.at(takesMs / 2 + slow / 2, () => {
          const result = undone ? undefined : work();
          const answer = fails && (undone || writes) ? fail : () => host.resume(() => resolve(result as T));
          agenda.at(takesMs / 2 + slow / 2, answer);
        });
      });
  }
}

/** Bytes go out as they are now; the caller may use its memory again. */
function encoded<T>(value: T): T {
  const { bytes } = value as { bytes?: unknown };
  return bytes instanceof Uint8Array ? { ...value, bytes: bytes.slice() } : value;
}

const byKey = (a: Row<unknown>, b: Row<unknown>): number => (a.key < b.key ? -1 : 1);

/** The fence that the row has after the write, undefined when the condition does not hold. */
function fenceAfter(when: When, row: Row<unknown> | undefined): number | undefined {
  if ('absent' in when) return row === undefined ? 0 : undefined;
  if ('version' in when && row?.version !== when.version) return undefined;
  if (!('fence' in when)) return row?.fence ?? 0;
  return row === undefined || row.fence <= when.fence ? when.fence : undefined;
}
