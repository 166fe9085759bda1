/** The files made from the code are those in the repository; run `node tools/schema.mjs` when they are not. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { referencePage, schemaFile } from '../../core/config/reference.ts';
import { inputSchemaFile, outputSchemaFile } from '../../core/contract-files.ts';
import { failuresPage } from '../../core/failure-page.ts';

describe('files made from the code are up to date:', () => {
  it('configs/run.schema.json', () => {
    expect(readFileSync('configs/run.schema.json', 'utf8')).toBe(schemaFile());
  });

  it('docs/failures.md', () => {
    expect(readFileSync('docs/failures.md', 'utf8')).toBe(failuresPage());
  });

  it('statemachines/train.*.schema.json', () => {
    expect(readFileSync('statemachines/train.input.schema.json', 'utf8')).toBe(inputSchemaFile());
    expect(readFileSync('statemachines/train.output.schema.json', 'utf8')).toBe(outputSchemaFile());
  });

  it('docs/config-reference.md', () => {
    expect(readFileSync('docs/config-reference.md', 'utf8')).toBe(referencePage());
  });
});

describe('configs/run.schema.json', () => {
  const schema = JSON.parse(schemaFile()) as { properties: Record<string, unknown>; required: string[] };

  it('requires only what has no default and forbids unknown fields', () => {
    expect(schema.required).toEqual(['version', 'name', 'data', 'network']);
    expect(schema).toMatchObject({ additionalProperties: false });
  });

  it('has no keyword of our own', () => {
    expect(schemaFile()).not.toContain('"accepted"');
  });
});
