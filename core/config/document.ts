/**
 * The text of a config as a plain value with the position of every field. Owns what YAML we take: the 1.2 core schema
 * without anchors, tags, merge keys or several documents (core/config/scan.ts refuses those first).
 *
 * Invariants
 *  V1  The value has only plain objects, arrays, strings, finite or infinite numbers, booleans and null, at most 16
 *      levels deep; no key is `__proto__`, `constructor` or `prototype`.
 *  V2  Every problem of form is an issue with a position; none is thrown.
 */
import { isMap, isPair, isScalar, isSeq, type LineCounter, type Node, parseAllDocuments } from 'yaml';
import type { Issue } from '../failure.ts';
import { type FieldPosition, type Path, type Position, type Positions, pathText } from './positions.ts';
import { lineCounter, maxDepth, maxNodes, scan, tooDeep } from './scan.ts';

export type Plain = null | boolean | number | string | readonly Plain[] | { readonly [key: string]: Plain };

export type Read =
  /** `issues` are those that leave the rest readable: a field given twice, a key that is not allowed. */
  | { readonly kind: 'read'; readonly value: Plain; readonly positions: Positions; readonly issues: readonly Issue[] }
  | { readonly kind: 'unreadable'; readonly issues: readonly Issue[] };

const refusedKeys = new Set(['__proto__', 'constructor', 'prototype']);
const maxSyntaxIssues = 10;
const mapping = 'a mapping that begins with "version: 1"';

export function readDocument(text: string): Read {
  const refused = scan(text);
  if (refused.length > 0) return { kind: 'unreadable', issues: refused };

  const documents = parseAllDocuments(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'silent',
  });
  const document = Array.isArray(documents) ? documents[0] : undefined;
  if (document === undefined || (document.errors.length === 0 && document.contents === null)) return empty();

  const reader = new Reader(lineCounter(text));
  if (document.errors.length > 0) {
    const issues = document.errors
      .slice(0, maxSyntaxIssues)
      .map((error) => reader.issue([], error.pos[0], `not YAML: ${plainMessage(error.message)}`, 'YAML 1.2'));
    return { kind: 'unreadable', issues };
  }
  const root = document.contents;
  if (isScalar(root) && root.value === null) return empty();
  if (!isMap(root)) {
    const found = isSeq(root)
      ? 'a list'
      : `the single value ${JSON.stringify(String(isScalar(root) ? root.value : '')).slice(0, 60)}`;
    return {
      kind: 'unreadable',
      issues: [reader.issue([], root?.range?.[0] ?? 0, `the config is ${found}, not a mapping`, mapping)],
    };
  }
  const value = reader.read(root, []);
  if (reader.stopped) return { kind: 'unreadable', issues: reader.issues };
  return { kind: 'read', value, positions: reader.positions, issues: reader.issues };
}

function empty(): Read {
  const issue = { path: '', line: 1, column: 1, message: 'the config is empty', accepted: mapping };
  return { kind: 'unreadable', issues: [issue] };
}

class Reader {
  readonly positions = new Map<string, FieldPosition>();
  readonly issues: Issue[] = [];
  stopped = false;
  private nodes = 0;
  private readonly lines: LineCounter;

  constructor(lines: LineCounter) {
    this.lines = lines;
  }

  issue(path: Path, offset: number, message: string, accepted?: string): Issue {
    const field = { path: pathText(path), ...this.position(offset) };
    return { ...field, message, ...(accepted === undefined ? {} : { accepted }) };
  }

  read(node: Node | null, path: Path, keyOffset?: number): Plain {
    const offset = node?.range?.[0] ?? keyOffset ?? 0;
    if (this.stopped) return null;
    this.nodes += 1;
    if (path.length > maxDepth || this.nodes > maxNodes) {
      this.stopped = true;
      this.issues.push(
        path.length > maxDepth
          ? tooDeep(this.lines, offset)
          : this.issue([], offset, 'the file has too many values', `at most ${maxNodes}`),
      );
      return null;
    }
    const value = this.position(offset);
    this.positions.set(pathText(path), { key: keyOffset === undefined ? value : this.position(keyOffset), value });
    if (isMap(node)) return this.readMap(node.items, path);
    if (isSeq(node)) return node.items.map((item, i) => this.read(item as Node | null, [...path, i]));
    if (isScalar(node)) {
      const scalar = node.value;
      return typeof scalar === 'string' || typeof scalar === 'number' || typeof scalar === 'boolean' ? scalar : null;
    }
    return null;
  }

  private readMap(items: readonly unknown[], path: Path): Plain {
    const out: Record<string, Plain> = {};
    const lineOfKey = new Map<string, number>();
    for (const pair of items) {
      if (!isPair(pair)) continue;
      const keyNode = pair.key as Node | null;
      const offset = keyNode?.range?.[0] ?? 0;
      if (!isScalar(keyNode) || typeof keyNode.value !== 'string') {
        const shown = isScalar(keyNode) ? `"${String(keyNode.value)}"` : 'a mapping or a list';
        this.issues.push(this.issue(path, offset, `${shown} cannot be the name of a field`, 'a word'));
        continue;
      }
      const key = keyNode.value;
      const here = [...path, key];
      if (refusedKeys.has(key) || key === '<<') {
        const what = key === '<<' ? 'merge keys are not supported' : `"${key}" is not allowed as the name of a field`;
        this.issues.push(this.issue(here, offset, what));
        continue;
      }
      const before = lineOfKey.get(key);
      if (before !== undefined) {
        const message = `"${key}" is given twice, first on line ${before}`;
        this.issues.push(this.issue(here, offset, message, 'each field once'));
        continue;
      }
      lineOfKey.set(key, this.position(offset).line);
      out[key] = this.read(pair.value as Node | null, here, offset);
    }
    return out;
  }

  private position(offset: number): Position {
    const { line, col } = this.lines.linePos(offset);
    return { line, column: col };
  }
}

function plainMessage(message: string): string {
  return message.replace(/\.$/, '');
}
