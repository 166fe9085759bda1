/**
 * The two files that are made from the schema: configs/run.schema.json, by which editors complete and check configs,
 * and docs/config-reference.md. `node tools/schema.mjs` writes them; a test says when they are out of date.
 */
import * as z from 'zod';
import { acceptedBy, inputSchema, type JsonSchema } from './accepted.ts';
import { configSchema } from './schema.ts';

export function schemaFile(): string {
  // draft-07 is what the YAML plug-ins of editors know best.
  const schema: unknown = z.toJSONSchema(configSchema, { io: 'input', reused: 'inline', target: 'draft-7' });
  return `${JSON.stringify(withoutOurs(schema), null, 2)}\n`;
}

/** `accepted` is for our messages and no keyword of JSON Schema. It is never the name of a field. */
function withoutOurs(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withoutOurs);
  if (typeof node !== 'object' || node === null) return node;
  return Object.fromEntries(
    Object.entries(node)
      .filter(([name]) => name !== 'accepted')
      .map(([name, value]) => [name, withoutOurs(value)]),
  );
}

export function referencePage(): string {
  const root = inputSchema();
  const sections = Object.entries(root.properties ?? {}).flatMap(([name, node]) => [
    `## ${name}`,
    ...describeBlock(name, node, root.required?.includes(name) ?? false),
  ]);
  return `${[
    '# Config reference',
    'Made by `node tools/schema.mjs` from the schema in `core/config/`; do not edit.',
    'A config is one YAML 1.2 file of at most 64 KiB, without anchors, tags or several documents. Unknown fields are ' +
      'errors. Durations are written `500ms`, `90s`, `2m`, `1h` or `7d`. For completion in an editor, put ' +
      '`# yaml-language-server: $schema=run.schema.json` (with the path to `configs/run.schema.json`) on the first line.',
    ...sections,
  ].join('\n\n')}\n`;
}

function describeBlock(path: string, node: JsonSchema, required: boolean): string[] {
  const own = [node.description ?? '', required ? 'Required.' : defaultOf(node)].filter((text) => text !== '');
  // The same mapping may stand in several places, data.normalise in every source: told once.
  const nested = [...new Set(fields(path, node))];
  return [own.join(' '), ...(nested.length === 0 ? [`Accepted: ${acceptedBy(node)}.`] : nested)];
}

/** A table for each mapping that may stand here, and for the mappings inside them. */
function fields(path: string, node: JsonSchema): string[] {
  return mappingsOf(node).flatMap((mapping) => {
    const kind = kindOf(mapping);
    const properties = Object.entries(mapping.properties ?? {});
    const rows = properties.map(([name, field]) => {
      const must = mapping.required?.includes(name) ?? false;
      const fallback = must ? 'required' : field.default === undefined ? '' : code(field.default);
      return `| \`${name}\` | ${cell(acceptedBy(field))} | ${cell(fallback)} | ${cell(field.description ?? '')} |`;
    });
    const title = kind === undefined ? path : `${path}, ${kind}`;
    // The heading of a whole block stands above it already.
    const heading = title.includes('.') || kind !== undefined ? [`### ${title}`] : [];
    const table = ['| Field | Accepted | Default | Meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
    const about =
      mapping.description !== undefined && mapping.description !== node.description ? [mapping.description] : [];
    const inner = properties.flatMap(([name, field]) =>
      fields(`${path}.${name}${field.type === 'array' ? '[]' : ''}`, field),
    );
    const own = [...heading, ...about, ...(rows.length === 0 ? [] : [table])].join('\n\n');
    return [own, ...inner];
  });
}

function mappingsOf(node: JsonSchema): readonly JsonSchema[] {
  const alternatives = node.anyOf ?? node.oneOf;
  if (alternatives) return alternatives.flatMap(mappingsOf);
  if (node.type === 'array' && node.items) return mappingsOf(node.items);
  return node.type === 'object' ? [node] : [];
}

/** `source: digits` for one of several mappings told apart by a constant. */
function kindOf(mapping: JsonSchema): string | undefined {
  const constant = Object.entries(mapping.properties ?? {}).find(([, field]) => field.const !== undefined);
  return constant && `${constant[0]}: ${String(constant[1].const)}`;
}

function defaultOf(node: JsonSchema): string {
  if (node.default === undefined || JSON.stringify(node.default) === '{}') return '';
  return `Default: ${code(node.default)}.`;
}

function code(value: unknown): string {
  const text = JSON.stringify(value);
  return text === '{}' ? '' : `\`${text}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\t', '\\t');
}
