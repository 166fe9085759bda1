/** docs/what-happens-when.md is true line by line: every claim names tests, and every test that is named exists. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { matrix } from '../chaos/matrix.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(join(root, 'docs/what-happens-when.md'), 'utf8');

const references = [...page.matchAll(/^- `(test\/[^`]+)`: "(.+)"$/gm)].map((match) => [match[1]!, match[2]!] as const);

describe('the page', () => {
  test('names tests in one form only, and every claim has some', () => {
    expect(references.length).toBeGreaterThan(40);
    expect(page.match(/^- /gm)?.length).toBe(references.length);
    const sections = page.split(/^## /m).slice(1);
    for (const section of sections) {
      // A claim is what stands before a list of tests; none may stand after the last one.
      const blocks = section.trim().split(/\n\n/).slice(1);
      expect(blocks.at(-1), section.slice(0, 40)).toMatch(/^- `test\//);
      blocks.forEach((block, index) => {
        if (!block.startsWith('- ')) expect(blocks[index + 1], block).toMatch(/^- `test\//);
      });
    }
  });

  test.each(references)('%s: %s', (file, name) => {
    const path = join(root, file);
    expect(existsSync(path), file).toBe(true);
    if (file === 'test/chaos/matrix.test.ts') {
      expect(matrix.map(({ what, who, when }) => `${what} ${who} at ${when}`)).toContain(name);
      return;
    }
    // As it is written in the file, in whatever quotes.
    const text = readFileSync(path, 'utf8');
    const quoted = [`'${name}'`, `"${name}"`, `\`${name}\``, `'${name.replaceAll("'", "\\'")}'`];
    expect(
      quoted.some((candidate) => text.includes(candidate)),
      name,
    ).toBe(true);
  });

  test('most of what it names of the chaos matrix is run by the ordinary tests', () => {
    const named = references.filter(([file]) => file === 'test/chaos/matrix.test.ts').map(([, name]) => name);
    const ordinary = matrix.filter((cell) => cell.ordinary).map(({ what, who, when }) => `${what} ${who} at ${when}`);
    expect(named.filter((name) => ordinary.includes(name)).length).toBeGreaterThanOrEqual(ordinary.length - 1);
  });
});
