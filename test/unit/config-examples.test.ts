/** Every example in configs/ is parsed and planned, for the laptop and for AWS. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../core/config/parse.ts';
import { describePlan } from '../../core/describe-plan.ts';
import { describeIssue } from '../../core/failure.ts';
import { makePlan, type PlanFacts } from '../../core/planning.ts';

const examples = readdirSync('configs').filter((name) => name.endsWith('.yaml'));
const images = {
  shape: {
    inputShape: [28, 28, 1],
    outputs: 10,
    task: 'classification',
    trainSamples: 54_000,
    validationSamples: 6000,
    testSamples: 10_000,
  },
  files: { trainImages: 'a', trainLabels: 'b', testImages: 'c', testLabels: 'd' },
} as const;
const table = {
  shape: {
    inputShape: [5],
    outputs: 1,
    task: 'regression',
    trainSamples: 640,
    validationSamples: 160,
    testSamples: 0,
  },
  csv: { columns: 6, labelColumn: 5, classNames: [] },
} as const;

it('there are examples', () => {
  expect(examples.length).toBeGreaterThanOrEqual(8);
});

describe.each(examples)('configs/%s', (file) => {
  const text = readFileSync(`configs/${file}`, 'utf8');

  it('begins with a comment on what it shows, names its schema, and has the name of its file', () => {
    expect(text.split('\n')[0]).toMatch(/^# .{40,}/);
    expect(text).toContain('# yaml-language-server: $schema=run.schema.json');
    expect(text).toContain(`\nname: ${file.replace('.yaml', '')}\n`);
  });

  it.each(['embedded', 'aws'] as const)('is valid and can be planned for %s', (world) => {
    const parsed = parseConfig(text, file);
    if (parsed.kind === 'invalid') throw new Error(parsed.issues.map(describeIssue).join('\n'));
    const { config, positions } = parsed;
    const data = world === 'aws' && 'path' in config.data ? { ...config.data, path: `s3://data/${file}` } : config.data;
    const facts: PlanFacts = {
      runId: 'example-0',
      configDigest: 'sha256:0',
      world,
      positions,
      ...(config.data.source === 'csv' ? table : images),
    };
    const made = makePlan({ ...config, data }, facts);
    if (made.kind === 'invalid') throw new Error(made.issues.map(describeIssue).join('\n'));
    expect(describePlan(made.plan)).not.toMatch(/undefined|NaN/);
    expect(made.plan.training.totalSteps).toBeLessThan(30_000);
  });
});
