/** Files that are no config: each gives clear issues, quickly, and never an exception. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../core/config/parse.ts';

function only(text: string): { message: string; accepted: string; line: number } {
  const parsed = parseConfig(text, 'test.yaml');
  if (parsed.kind === 'valid') throw new Error('expected a file that is refused');
  expect(parsed.issues.length).toBeGreaterThan(0);
  const { message, accepted, line } = parsed.issues[0]!;
  return { message, accepted: accepted ?? '', line };
}

describe('parseConfig() refuses', () => {
  it.each([
    ['an empty file', '', 'the config is empty'],
    ['a file of comments', '# nothing\n', 'the config is empty'],
    ['a file of spaces', ' \n \n', 'the config is empty'],
    ['a null', 'null\n', 'the config is empty'],
    ['prose', 'hello world', 'the config is the single value "hello world", not a mapping'],
    ['a list', '- a\n- b\n', 'the config is a list, not a mapping'],
    ['no YAML', 'a: [1,\nb: }', 'not YAML'],
    ['tabs', 'version: 1\n\tname: x\n', 'not YAML: Tabs are not allowed'],
    ['a second document', 'a: 1\n---\nb: 2\n---\nc: 3\n', 'more than one document'],
    ['an anchor', 'a: &x 1\n', 'anchors are not supported: "&x"'],
    ['an alias', 'a: *x\n', 'aliases are not supported: "*x"'],
    ['a tag', 'a: !!js/function "x"\n', 'tags are not supported'],
    ['a directive', '%YAML 1.1\n---\na: yes\n', 'directives are not supported'],
    ['bytes that are no text', 'version: 1\u0000', 'bytes that are not text'],
  ])('%s', (_, text, message) => {
    expect(only(text).message).toContain(message);
  });

  it('a second document even when the first has no marker', () => {
    expect(parseConfig('version: 1\n---\nb: 2\n', 'x').kind).toBe('invalid');
  });

  it('an alias bomb, without expanding it', () => {
    const rows = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
    for (let i = 1; i < 10; i += 1)
      rows.push(
        `a${i}: &a${i} [${Array(9)
          .fill(`*a${i - 1}`)
          .join(', ')}]`,
      );
    const started = performance.now();
    expect(only(rows.join('\n')).message).toContain('anchors are not supported');
    expect(performance.now() - started).toBeLessThan(500);
  });

  it('a file of 10 MB, without looking at it', () => {
    const text = `version: 1\n${'# padding\n'.repeat(1_000_000)}`;
    const started = performance.now();
    const { message, accepted } = only(text);
    expect(performance.now() - started).toBeLessThan(300);
    expect(message).toContain('KiB');
    expect(accepted).toBe('at most 64 KiB');
  });

  it.each([
    ['brackets', `a: ${'['.repeat(30_000)}`],
    ['closed brackets', `a: ${'['.repeat(30_000)}${']'.repeat(30_000)}`],
    ['braces', '{'.repeat(60_000)],
    ['dashes', '- '.repeat(30_000)],
    ['question marks', '? '.repeat(30_000)],
    ['indents', Array.from({ length: 300 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
    [
      'dashes line by line',
      Array.from({ length: 60 }, (_, i) => `${'  '.repeat(i * 16)}${'- '.repeat(16)}`).join('\n'),
    ],
    ['17 levels', `a: ${'['.repeat(17)}${']'.repeat(17)}`],
  ])('deep nesting of %s', (_, text) => {
    const started = performance.now();
    expect(only(text)).toMatchObject({ message: 'the file is nested too deeply', accepted: 'at most 16 levels' });
    expect(performance.now() - started).toBeLessThan(3000);
  });

  it.each([
    ['commas', `a: [${','.repeat(60_000)}`],
    ['values', `a: [${'1,'.repeat(20_000)}]`],
    ['keys', Array.from({ length: 7000 }, (_, i) => `k${i}: ${i}`).join('\n')],
  ])('too many %s, quickly', (_, text) => {
    const started = performance.now();
    only(text);
    expect(performance.now() - started).toBeLessThan(4000);
  });

  it('at most a hundred issues', () => {
    const text = Array.from({ length: 3000 }, (_, i) => `k${i}: 1`).join('\n');
    const parsed = parseConfig(text, 'x');
    expect(parsed.kind === 'invalid' && parsed.issues.length).toBe(100);
  });
});

describe('parseConfig() reports fields that no config has:', () => {
  it('a field given twice, with the line of the first', () => {
    const parsed = parseConfig('version: 1\nname: a\nname: b\n', 'x');
    expect(parsed).toMatchObject({
      kind: 'invalid',
      issues: expect.arrayContaining([
        {
          path: 'name',
          line: 3,
          column: 1,
          message: '"name" is given twice, first on line 2',
          accepted: 'each field once',
        },
      ]),
    });
  });

  it.each(['__proto__', 'constructor', 'prototype'])('%s at any depth', (key) => {
    const parsed = parseConfig(`version: 1\n${key}: {polluted: 1}\ntraining: {${key}: {polluted: 1}}\n`, 'x');
    const messages =
      parsed.kind === 'invalid' ? parsed.issues.filter(({ message }) => message.includes('not allowed')) : [];
    expect(messages.map(({ line }) => line)).toEqual([2, 3]);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  it('merge keys and keys that are no words', () => {
    const parsed = parseConfig('version: 1\n<<: {a: 1}\n1: 2\n[a]: 3\n', 'x');
    const found = parsed.kind === 'invalid' ? parsed.issues.map(({ line, message }) => `${line} ${message}`) : [];
    expect(found).toEqual(
      expect.arrayContaining([
        '2 merge keys are not supported',
        '3 "1" cannot be the name of a field',
        '4 a mapping or a list cannot be the name of a field',
      ]),
    );
  });
});

it('a text that was valid is not read again, also after one that was not; messages name the file that was asked about', () => {
  const text =
    'version: 1\nname: a\ndata: {source: digits}\nnetwork: {layers: [{dense: {units: 10, activation: softmax}}]}\n';
  const wrong = text.replace('digits', 'letters');
  const first = parseConfig(text, 'first.yaml');
  for (const source of ['second.yaml', 'third.yaml']) {
    expect(parseConfig(wrong, source)).toMatchObject({ kind: 'invalid', source });
    expect(parseConfig(text, source)).toBe(first);
  }
  expect(parseConfig(`${text}seed: 2\n`, 'other.yaml')).toMatchObject({ kind: 'valid', config: { seed: 2 } });
});
