/**
 * A config's text as a valid Config, or every problem of it at once. Nothing is launched, read or looked up here; what
 * needs a look at the data is core/planning.ts.
 *
 * Invariants
 *  Q1  Any text gives a value; nothing is thrown, whatever the text.
 *  Q2  Issues have line and column, and come in the order of the file.
 *  Q3  Blocks are checked one by one: a problem in one hides nothing in another (P7).
 */
import type { Issue } from '../failure.ts';
import { type Plain, readDocument } from './document.ts';
import { maxIssues, toIssues, unknownField } from './issues.ts';
import { locate, type Positions, sortIssues } from './positions.ts';
import { type Blocks, checkRules } from './rules.ts';
import { type Config, blocks as schemas } from './schema.ts';

export type Parsed =
  | { readonly kind: 'valid'; readonly config: Config; readonly positions: Positions }
  | { readonly kind: 'invalid'; readonly source: string; readonly issues: readonly Issue[] };

/** The text that was valid last: on a laptop the command, Validate and Plan ask for the same one, a few milliseconds each. */
let last: { readonly text: string; readonly parsed: Parsed } | undefined;

/** `source` is the name of the file, for messages. */
export function parseConfig(text: string, source: string): Parsed {
  if (last?.text === text) return last.parsed;
  const parsed = parse(text, source);
  if (parsed.kind === 'valid') last = { text, parsed };
  return parsed;
}

function parse(text: string, source: string): Parsed {
  const read = readDocument(text);
  if (read.kind === 'unreadable') return invalid(source, read.issues);
  const { positions } = read;
  const root = read.value as Readonly<Record<string, Plain>>;
  const names = Object.keys(schemas);
  const issues = [...read.issues];
  const unknown = Object.keys(root).filter((field) => !names.includes(field));
  issues.push(...unknown.slice(0, maxIssues).map((field) => unknownField([], field, names, positions)));

  const parsed: Record<string, unknown> = {};
  const doubtful = new Set<string>();
  for (const [name, schema] of Object.entries(schemas)) {
    const result = schema.safeParse(root[name]);
    if (result.success) {
      parsed[name] = result.data;
      continue;
    }
    issues.push(...toIssues(result.error.issues, [name], { root, positions }));
    // The rest of the block still means something: without what is wrong it is checked further.
    const wrong = wrongFields(result.error.issues);
    const rest = omit(root[name], wrong);
    const again = rest === undefined ? undefined : schema.safeParse(rest);
    if (!again?.success) continue;
    parsed[name] = again.data;
    for (const field of wrong) doubtful.add(`${name}.${field}`);
  }
  // Each entry was made by the schema of its name, which is what Blocks says.
  issues.push(...locate(checkRules(parsed as Blocks, doubtful), positions));
  return issues.length > 0 ? invalid(source, issues) : { kind: 'valid', config: parsed as Config, positions };
}

function invalid(source: string, issues: readonly Issue[]): Parsed {
  return { kind: 'invalid', source, issues: sortIssues(issues).slice(0, maxIssues) };
}

interface SchemaIssue {
  readonly path: readonly PropertyKey[];
  readonly keys?: readonly string[];
}

/** The fields directly in the block that something is wrong with or in. */
function wrongFields(issues: readonly SchemaIssue[]): Set<string> {
  return new Set(issues.flatMap(({ path, keys }) => (path.length > 0 ? [String(path[0])] : (keys ?? []))));
}

function omit(block: Plain | undefined, fields: ReadonlySet<string>): Plain | undefined {
  if (typeof block !== 'object' || block === null || Array.isArray(block) || fields.size === 0) return undefined;
  return Object.fromEntries(Object.entries(block).filter(([field]) => !fields.has(field)));
}
