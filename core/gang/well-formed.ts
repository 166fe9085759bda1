/**
 * What a small message between tasks must look like to be one. The wire checks what comes in against this table, so that
 * the protocol may trust its fields; what is wrong in substance (an older generation, somebody else's partition) is the
 * protocol's to refuse.
 *
 * Invariants
 *  WF1 Every type that travels as JSON, and the text of every parcel, has its fields here: the compiler counts them.
 */
import type { AsyncOf, AsyncType, ParcelMessage } from './async/messages.ts';
import type { Message, MessageOf } from './messages.ts';

type Check = (value: unknown) => boolean;
type Small = Exclude<Message['type'], 'snapshot' | 'replay' | 'contribution' | 'reduced'>;
type FieldsOf<M> = { readonly [K in Exclude<keyof M, 'type' | 'payload'>]-?: Check };

const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const finite: Check = Number.isFinite;
const flag: Check = (value) => typeof value === 'boolean';
const text: Check = (value) => typeof value === 'string';
const oneOf =
  (...accepted: readonly string[]): Check =>
  (value) =>
    typeof value === 'string' && accepted.includes(value);
const maybe =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const has =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) => {
    if (typeof value !== 'object' || value === null) return false;
    const found = value as Readonly<Record<string, unknown>>;
    return Object.entries(fields).every(([name, check]) => check(Object.hasOwn(found, name) ? found[name] : undefined));
  };

const member = has({
  taskId: text,
  slot: text,
  role: oneOf('worker', 'parameter-server'),
  host: text,
  port: (value) => count(value) && (value as number) < 65_536,
  engine: maybe(text),
  turn: maybe(count),
});
const report = has({
  state: oneOf('training', 'catching-up', 'evaluating', 'idle'),
  memoryMiB: finite,
  computeShare: finite,
  wireShare: finite,
  waitShare: finite,
});
const gang = has({ generation: count, leader: text, workers: listOf(member), servers: listOf(member) });
/** Samples, loss, correct, and whatever else is added up. The loss of a run that diverges is not finite: null in JSON. */
const tally: Check = (value) =>
  Array.isArray(value) && value.length >= 3 && value.every((sum) => sum === null || finite(sum));
const mark = has({
  partition: count,
  generation: count,
  applied: has({ below: count, beyond: listOf(count) }),
  sums: listOf(has({ epoch: count, sums: tally })),
});
const placing = has({
  partition: count,
  holders: (value) => listOf(text)(value) && (value as readonly unknown[]).length === 2,
  source: maybe(text),
  needs: listOf(text),
});

const synchronous: { readonly [T in Small]: FieldsOf<MessageOf<T>> } = {
  lead: { member, fence: count },
  welcome: { generation: count },
  hello: { member, hasState: flag, step: count, generation: count },
  prepare: { generation: count, leader: text, level: maybe(count) },
  prepared: { generation: count, step: count, hasState: flag, lends: flag },
  begin: { gang, fromStep: count, behind: listOf(text), lender: maybe(text) },
  fetch: { generation: count, donor: member },
  'caught-up': { step: count, donor: text },
  beat: { generation: count, step: count, report, slowestMs: maybe(finite), leads: flag },
  leaving: {},
  suspect: { peer: text, why: oneOf('refused', 'broken', 'silent'), generation: count },
  dismiss: { generation: count },
  fenced: { generation: count },
  'want-snapshot': { member },
};

const asynchronous: { readonly [T in Exclude<AsyncType, ParcelMessage['type']>]: FieldsOf<AsyncOf<T>> } = {
  holdings: { generation: count, opened: count, marks: listOf(mark) },
  held: { generation: count, partition: count },
  want: { generation: count },
  outcome: { generation: count, item: count, outcome: oneOf('applied', 'stale', 'diverged'), sums: tally },
  place: { generation: count, opened: count, table: listOf(placing) },
  open: { generation: count },
  work: { generation: count, item: count },
  collect: { generation: count, id: count, partition: count },
  pull: { generation: count, item: count, partition: count },
  pushed: { generation: count, item: count, partition: count, outcome: oneOf('applied', 'stale') },
  replicated: { generation: count, partition: count, version: count },
};

const parcels: { readonly [T in ParcelMessage['type']]: FieldsOf<AsyncOf<T>> } = {
  state: { generation: count, mark },
  collected: { generation: count, id: count, mark },
  parameters: { generation: count, item: count, partition: count, version: count },
  push: { generation: count, item: count, partition: count, base: count },
  replicate: { generation: count, item: count, partition: count, version: count },
};

const compile = (table: { readonly [type: string]: Readonly<Record<string, Check>> }): ReadonlyMap<string, Check> =>
  new Map(Object.entries(table).map(([type, fields]) => [type, has(fields)]));

const small = compile({ ...synchronous, ...asynchronous });
const heads = compile(parcels);

/** A message without a payload. The tensor messages never travel as JSON: one that claims to be is refused with the rest. */
export function isSmallMessage(value: { readonly type: string }): boolean {
  return small.get(value.type)?.(value) === true;
}

/** The text of a parcel. */
export function isParcelHead(value: { readonly type: string }): boolean {
  return heads.get(value.type)?.(value) === true;
}
