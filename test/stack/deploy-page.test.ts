/** docs/deploy.md against the stack: every parameter with its default, every output, every wildcard, and nothing else. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { root } from '../support/package-stack.ts';
import { wildcardResources } from '../support/stack-rules/access.ts';

const page = readFileSync(join(root, 'docs/deploy.md'), 'utf8');
const yaml = (path: string) => parse(readFileSync(join(root, path), 'utf8'), { logLevel: 'silent', merge: true });
const params = yaml('serverless.yml').params.default as Record<string, string | number>;

/** Rows of the table under a line of titles, each as its cells without the marks of code. */
function table(titles: string): string[][] {
  const lines = page.slice(page.indexOf(titles)).split('\n').slice(2);
  const end = lines.findIndex((line) => !line.startsWith('|'));
  return lines.slice(0, end).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}
const names = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);

describe('docs/deploy.md', () => {
  it('has every parameter with its default', () => {
    const rows = table('| Parameter | Default |');
    expect(rows.flatMap(([cell]) => names(cell)).sort()).toEqual(Object.keys(params).sort());
    for (const [cell, value = ''] of rows) {
      const defaults = value === 'empty' ? [''] : names(value);
      // In words, where the value is long.
      if (defaults.length === 0) continue;
      for (const [n, name] of names(cell).entries()) {
        expect([name, defaults[n] ?? defaults[0]]).toEqual([name, String(params[name])]);
      }
    }
  });

  it('has every output', () => {
    expect(
      table('| Output | For |')
        .flatMap(([cell]) => names(cell))
        .sort(),
    ).toEqual(Object.keys(yaml('infra/outputs.yml').Outputs).sort());
  });

  it('has every statement that names all resources', () => {
    expect(
      table('| Statement | Why |')
        .flatMap(([cell]) => names(cell))
        .sort(),
    ).toEqual(Object.keys(wildcardResources).sort());
  });
});
