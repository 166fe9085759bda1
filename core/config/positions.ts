/**
 * Where every field of a config stands in its file, so that an issue found long after parsing (in planning, say) still
 * points at a line. Owns the spelling of paths: `network.layers[2].dense.units`.
 */
import type { Issue } from '../failure.ts';

export type Path = readonly (string | number)[];

export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface FieldPosition {
  /** Of the key; of the dash's item in a list. */
  readonly key: Position;
  readonly value: Position;
}

/** By path; the document itself is the empty path. */
export type Positions = ReadonlyMap<string, FieldPosition>;

/** A problem found on the parsed config: an issue that has no position yet. */
export interface Problem {
  readonly path: Path;
  readonly message: string;
  readonly accepted?: string;
}

export const noPositions: Positions = new Map();

export function pathText(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (/^[A-Za-z_$][\w$-]*$/.test(part)) text += text === '' ? part : `.${part}`;
    else text += `[${JSON.stringify(part)}]`;
  }
  return text;
}

/** Of the field, or of the nearest ancestor that is in the file: a missing field is reported where it should be. */
export function positionOf(positions: Positions, path: Path, at: 'key' | 'value' = 'value'): Position {
  for (let length = path.length; length >= 0; length -= 1) {
    const found = positions.get(pathText(path.slice(0, length)));
    // For a missing field the key of its block says more than the block's first line.
    if (found) return length < path.length ? found.key : found[at];
  }
  return { line: 0, column: 0 };
}

export function issueAt(
  positions: Positions,
  path: Path,
  message: string,
  accepted?: string,
  at: 'key' | 'value' = 'value',
): Issue {
  return {
    path: pathText(path),
    ...positionOf(positions, path, at),
    message,
    ...(accepted === undefined ? {} : { accepted }),
  };
}

export function locate(problems: readonly Problem[], positions: Positions): Issue[] {
  return problems.map(({ path, message, accepted }) => issueAt(positions, path, message, accepted));
}

/** In the order of the file, each problem once. */
export function sortIssues(issues: readonly Issue[]): Issue[] {
  const seen = new Set<string>();
  return [...issues]
    .sort((a, b) => a.line - b.line || a.column - b.column)
    .filter((issue) => {
      const key = `${issue.path}\n${issue.message}`;
      if (seen.has(key)) return false;
      seen.add(key);
      return true;
    });
}
