/** What a field accepts, in words, from the schema itself: for the end of an error message and for the reference. */
import * as z from 'zod';
import type { Path } from './positions.ts';
import { configSchema } from './schema.ts';

export interface JsonSchema {
  readonly type?: string;
  readonly title?: string;
  readonly description?: string;
  /** Ours: the words, where they say more than the schema can. Not in the published JSON Schema. */
  readonly accepted?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly minLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
}

let cached: JsonSchema | undefined;
/** Made on first use only: a good config never needs it. */
export function inputSchema(): JsonSchema {
  cached ??= z.toJSONSchema(configSchema, { io: 'input', reused: 'inline' }) as JsonSchema;
  return cached;
}

/** The schemas that may hold for the field at the path, given the config's value (which decides between branches). */
export function schemasAt(path: Path, root: unknown): readonly JsonSchema[] {
  let nodes: readonly JsonSchema[] = [inputSchema()];
  let value = root;
  for (const part of path) {
    nodes = nodes.flatMap((node) => branches(node, value)).flatMap((node) => step(node, part));
    value = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[part] : undefined;
  }
  return nodes;
}

export function acceptedAt(path: Path, root: unknown): string | undefined {
  const words = new Set(schemasAt(path, root).map(acceptedBy));
  return words.size === 0 ? undefined : join(words);
}

/** The names of the fields that may stand at the path: for suggestions. */
export function fieldsAt(path: Path, root: unknown, value: unknown): string[] {
  const nodes = schemasAt(path, root).flatMap((node) => branches(node, value));
  return [...new Set(nodes.flatMap((node) => Object.keys(node.properties ?? {})))];
}

export function acceptedBy(node: JsonSchema): string {
  if (node.accepted !== undefined) return node.accepted;
  const alternatives = node.anyOf ?? node.oneOf;
  if (alternatives) return join(new Set(alternatives.filter((a) => a.type !== 'null').map(acceptedBy)));
  if (node.const !== undefined) return JSON.stringify(node.const);
  if (node.enum) return node.enum.map((value) => JSON.stringify(value)).join(', ');
  switch (node.type) {
    case 'boolean':
      return 'true or false';
    case 'integer':
    case 'number':
      return numbers(node);
    case 'array':
      return `a list of ${node.minItems ?? 0} to ${node.maxItems ?? 'many'} values`;
    case 'object':
      return `a mapping with ${Object.keys(node.properties ?? {}).join(', ')}`;
    default:
      return 'text';
  }
}

function join(words: ReadonlySet<string>): string {
  const areValues = [...words].every((word) => word.startsWith('"'));
  return [...words].join(areValues ? ', ' : ', or ');
}

function numbers(node: JsonSchema): string {
  const kind = node.type === 'integer' ? 'a whole number' : 'a number';
  const low = node.exclusiveMinimum === undefined ? `from ${node.minimum}` : `greater than ${node.exclusiveMinimum}`;
  const high = node.exclusiveMaximum === undefined ? `to ${node.maximum}` : `below ${node.exclusiveMaximum}`;
  const joint = node.exclusiveMinimum === undefined && node.exclusiveMaximum === undefined ? ' ' : ' and ';
  return `${kind} ${low}${joint}${high.replace(/^to /, joint === ' ' ? 'to ' : 'at most ')}`;
}

/** Of a union, those that could hold this value: by its type, and by the discriminator where there is one. */
function branches(node: JsonSchema, value: unknown): readonly JsonSchema[] {
  const alternatives = node.anyOf ?? node.oneOf;
  if (!alternatives) return [node];
  const all = alternatives.flatMap((alternative) => branches(alternative, value));
  const ofType = all.filter((branch) => branch.type === typeOf(value));
  const exact = ofType.filter((branch) => agrees(branch, value));
  if (exact.length > 0) return exact;
  return ofType.length > 0 ? ofType : all;
}

function agrees(node: JsonSchema, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(node.properties ?? {}).every(
    ([name, field]) => field.const === undefined || field.const === (value as Record<string, unknown>)[name],
  );
}

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (value === null) return 'null';
  return typeof value === 'object' ? 'object' : typeof value;
}

function step(node: JsonSchema, part: string | number): readonly JsonSchema[] {
  const next = typeof part === 'number' ? node.items : ownField(node.properties, part);
  return next === undefined ? [] : [next];
}

function ownField(properties: JsonSchema['properties'], name: string): JsonSchema | undefined {
  return properties !== undefined && Object.hasOwn(properties, name) ? properties[name] : undefined;
}
