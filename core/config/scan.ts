/**
 * A look over the text of a config before it is parsed. A YAML parser is recursive and follows anchors, so a hostile
 * file can make it run out of stack or memory (deep nesting even ends the process, beyond the reach of a catch). This
 * scan only runs the lexer, which is linear, and refuses such files.
 *
 * Invariants
 *  Y1  What passes has at most 64 KiB, 10,000 scalars, one document, few levels, no anchors, aliases, tags or
 *      directives: parsing it is cheap.
 *  Y2  A refusal costs time linear in the limit, never in the size of the file.
 */
import { Lexer, LineCounter } from 'yaml';
import type { Issue } from '../failure.ts';

export const maxConfigBytes = 64 * 1024;
export const maxDepth = 16;
export const maxNodes = 10_000;
const maxTokens = 4 * maxNodes;
/** Above maxDepth because it counts brackets and indents, not nodes; the exact count is made on the parsed tree. */
const maxLexicalDepth = 4 * maxDepth;
const maxIssues = 20;

export function scan(text: string): Issue[] {
  const size = sizeProblem(text);
  if (size !== undefined) return [size];
  const binary = binaryAt(text);
  const lines = lineCounter(text);
  if (binary >= 0) return [at(lines, binary, 'the file has bytes that are not text', 'a YAML file in UTF-8')];

  const issues: Issue[] = [];
  const depth = new DepthCounter();
  let offset = 0;
  let lineStart = 0;
  let tokens = 0;
  let scalars = 0;
  let documents = 0;
  let isScalar = false;
  for (const token of new Lexer().lex(text)) {
    if (token === '\u0002' || token === '\u0018') continue; // marks without text
    if (token === '\u001f') {
      isScalar = true;
      continue;
    }
    tokens += 1;
    if (isScalar || token.startsWith('"') || token.startsWith("'")) scalars += 1;
    if (tokens > maxTokens || scalars > maxNodes)
      return [at(lines, offset, 'the file is too complex', `at most ${maxNodes} values`)];
    if (token.startsWith('%') && offset === lineStart) {
      issues.push(at(lines, offset, 'YAML directives are not supported', 'YAML 1.2 without % lines'));
    } else if (!isScalar) {
      const unsupported = unsupportedToken(token);
      if (unsupported !== undefined) issues.push(at(lines, offset, unsupported, 'plain values, written out in full'));
      if (token === '---') documents += 1;
      if (documents > 1) {
        return [...issues, at(lines, offset, 'the file has more than one document', 'one config a file')];
      }
    }
    depth.see(token, isScalar, offset - lineStart);
    if (depth.value > maxLexicalDepth) return [tooDeep(lines, offset)];
    if (issues.length >= maxIssues) return issues;
    isScalar = false;
    const newline = token.lastIndexOf('\n');
    if (newline >= 0) lineStart = offset + newline + 1;
    offset += token.length;
  }
  return issues;
}

export function tooDeep(lines: LineCounter, offset: number): Issue {
  return at(lines, offset, 'the file is nested too deeply', `at most ${maxDepth} levels`);
}

export function lineCounter(text: string): LineCounter {
  const lines = new LineCounter();
  lines.addNewLine(0);
  for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) lines.addNewLine(i + 1);
  return lines;
}

function sizeProblem(text: string): Issue | undefined {
  // Every character takes a byte at least: a 10 MB text is refused before anything looks at it.
  const bytes = text.length > maxConfigBytes ? text.length : new TextEncoder().encode(text).length;
  if (bytes <= maxConfigBytes) return undefined;
  return tooLarge(bytes, text.length > maxConfigBytes ? 'at least ' : '');
}

/** Also for a file whose size is known, and that nobody need read. */
export function tooLarge(bytes: number, about = ''): Issue {
  return {
    path: '',
    line: 0,
    column: 0,
    message: `the config is ${about}${Math.ceil(bytes / 1024)} KiB`,
    accepted: `at most ${maxConfigBytes / 1024} KiB`,
  };
}

/** Where the first control character or undecodable byte is, -1 when the file is text. */
function binaryAt(text: string): number {
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code < 9 || (code > 13 && code < 32) || code === 0xfffd) return i;
  }
  return -1;
}

function unsupportedToken(token: string): string | undefined {
  const shown = JSON.stringify(token.slice(0, 40));
  if (token.startsWith('&')) return `anchors are not supported: ${shown}`;
  if (token.startsWith('*')) return `aliases are not supported: ${shown}`;
  if (token.startsWith('!')) return `tags are not supported: ${shown}`;
  return undefined;
}

function at(lines: LineCounter, offset: number, message: string, accepted: string): Issue {
  const { line, col } = lines.linePos(offset);
  return { path: '', line, column: col, message, accepted };
}

/** How deep the parser would be: open brackets, and columns at which an open block begins. */
class DepthCounter {
  private flow = 0;
  private readonly columns: number[] = [];
  /** The next token begins a node of the block context: nothing but indent, dashes and question marks before it. */
  private atStart = true;

  get value(): number {
    return this.flow + this.columns.length;
  }

  see(token: string, isScalar: boolean, column: number): void {
    if (!isScalar && (token === '\n' || token === '\r\n')) {
      this.atStart = true;
      return;
    }
    if (!isScalar && (/^[ \t]/.test(token) || token.startsWith('#'))) return;
    if (this.atStart && this.flow === 0) {
      while (this.columns.length > 0 && this.columns.at(-1)! >= column) this.columns.pop();
      this.columns.push(column);
      this.atStart = !isScalar && (token === '-' || token === '?' || token === ':');
    }
    if (isScalar) return;
    if (token === '[' || token === '{') this.flow += 1;
    if (token === ']' || token === '}') this.flow = Math.max(0, this.flow - 1);
  }
}
