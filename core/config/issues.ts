/** Turns what the schema found wrong into issues a person can act on: where, what was found, what would be accepted. */
import type * as z from 'zod';
import type { Issue } from '../failure.ts';
import { acceptedAt, fieldsAt } from './accepted.ts';
import type { Plain } from './document.ts';
import { issueAt, type Path, type Positions } from './positions.ts';
import { didYouMean } from './suggest.ts';

type SchemaIssue = z.core.$ZodIssue;

/** A file with more wrong than this is not a config; the rest would only scroll the first ones away. */
export const maxIssues = 100;

export interface Source {
  readonly root: Plain;
  readonly positions: Positions;
}

/** `prefix` is the path of the block that the issues' own paths begin at. */
export function toIssues(found: readonly SchemaIssue[], prefix: Path, source: Source): Issue[] {
  // With an unknown field in it a mapping may also break a rule of its own ("is empty"); the field says it better.
  const unknownAt = new Set(found.filter(({ code }) => code === 'unrecognized_keys').map(({ path }) => path.join()));
  return found
    .slice(0, maxIssues)
    .filter((issue) => issue.code !== 'custom' || !unknownAt.has(issue.path.join()))
    .flatMap((issue) => translate(issue, prefix, source));
}

function translate(issue: SchemaIssue, prefix: Path, source: Source): Issue[] {
  const path: Path = [...prefix, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  const value = valueAt(source.root, path);
  const make = (message: string, accepted = acceptedAt(path, source.root)) => [
    issueAt(source.positions, path, message, accepted),
  ];
  // Whatever the schema says about a field that is not there, the person wants to hear that it is missing.
  if (value === undefined) {
    return issue.code === 'custom' ? [issueAt(source.positions, path, issue.message)] : make('is required');
  }

  switch (issue.code) {
    case 'unrecognized_keys':
      return unknownFields(path, issue.keys, value, source);
    case 'invalid_union': {
      const branch = bestBranch(issue.errors);
      if (branch === undefined) return make(wrong(value, path, source));
      return toIssues(branch, path, source);
    }
    case 'too_small':
      return make(`${show(value)} ${sizeWords(issue.origin, 'too small', 'too few values', 'too short')}`);
    case 'too_big':
      return make(`${show(value)} ${sizeWords(issue.origin, 'too big', 'too many values', 'too long')}`);
    case 'custom': {
      const accepted: unknown = issue.params?.accepted;
      return [issueAt(source.positions, path, issue.message, typeof accepted === 'string' ? accepted : undefined)];
    }
    default:
      return make(wrong(value, path, source));
  }
}

/** The branch that the person most likely meant: the one that fails deepest inside, rather than at its own root. */
function bestBranch(errors: readonly (readonly SchemaIssue[])[]): readonly SchemaIssue[] | undefined {
  let best: readonly SchemaIssue[] | undefined;
  let bestScore = 0;
  for (const branch of errors) {
    const score = Math.min(...branch.map(depth));
    if (score > bestScore) [best, bestScore] = [branch, score];
  }
  return best;
}

function depth(issue: SchemaIssue): number {
  if (issue.code === 'unrecognized_keys' || issue.code === 'custom') return issue.path.length + 1;
  if (issue.code === 'too_small' || issue.code === 'too_big') return issue.path.length + 1;
  return issue.path.length;
}

function unknownFields(path: Path, keys: readonly string[], value: Plain, source: Source): Issue[] {
  const known = fieldsAt(path, source.root, value);
  return keys.slice(0, maxIssues).map((key) => unknownField(path, key, known, source.positions));
}

export function unknownField(path: Path, key: string, known: readonly string[], positions: Positions): Issue {
  return issueAt(positions, [...path, key], `unknown field${didYouMean(key, known)}`, known.join(', '), 'key');
}

function wrong(value: Plain, path: Path, source: Source): string {
  const accepted = acceptedAt(path, source.root) ?? '';
  const words = typeof value === 'string' ? [...accepted.matchAll(/"([^"]{1,40})"/g)].map((match) => match[1]!) : [];
  if (typeof value === 'string' && words.includes(value)) return `${show(value)} needs its options here`;
  return `${show(value)} is not accepted${typeof value === 'string' ? didYouMean(value, words) : ''}`;
}

function sizeWords(origin: string, ofNumber: string, ofList: string, ofText: string): string {
  if (origin === 'array') return `has ${ofList}`;
  return `is ${origin === 'string' ? ofText : ofNumber}`;
}

export function show(value: Plain): string {
  if (value === null) return 'an empty value';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  if (typeof value === 'object') return 'a mapping';
  const text = String(value);
  return `"${text.length > 60 ? `${text.slice(0, 57)}...` : text}"`;
}

export function valueAt(root: Plain, path: Path): Plain | undefined {
  let value: Plain | undefined = root;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, Plain>)[part];
  }
  return value;
}
