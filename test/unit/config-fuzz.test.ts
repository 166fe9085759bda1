/** Any text gives a value (Q1), and whatever parses can be planned or gives issues with positions (L2, L3). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyOverrides } from '../../core/config/overrides.ts';
import { parseConfig } from '../../core/config/parse.ts';
import { makePlan } from '../../core/planning.ts';

const valid = `version: 1
name: fuzz
data: {source: digits}
network:
  layers:
    - conv2d: {filters: 4, kernelSize: 3}
    - flatten
    - dense: {units: 10, activation: softmax}
training: {epochs: 3, optimizer: adam, schedule: cosine, stopWhen: {metric: loss, patience: 2}}
cluster: {launch: fargate-spot, workers: {min: 1, max: 4}, worker: {cpu: 1024, memoryMiB: 2048}}
checkpoint: {everySteps: 10}
limits: {maxDuration: 2h, maxCostUsd: 3}
chaos: [kill worker 1 at step 5]
`;
const shape = {
  inputShape: [28, 28, 1],
  outputs: 10,
  task: 'classification',
  trainSamples: 4000,
  validationSamples: 0,
  testSamples: 1000,
} as const;

/** The valid text with a few pieces replaced by others of it, or by something hostile. */
const pieces = valid.split(/(?<=[\s,:{}[\]])/);
const foreign = [
  '-1',
  '1e9',
  '{',
  '}',
  '[',
  ']',
  ': ',
  '\n',
  '  ',
  '- ',
  '&a ',
  '*a ',
  '!t ',
  '"',
  "'",
  '|',
  'null',
  '.inf',
  '0x10',
  '~',
  '#',
  '\t',
  '\u0000',
  '💥',
];
const mutation = fc
  .array(fc.tuple(fc.nat(pieces.length - 1), fc.oneof(fc.constantFrom(...foreign), fc.constantFrom(...pieces))), {
    maxLength: 4,
  })
  .map((changes) => {
    const copy = [...pieces];
    for (const [at, piece] of changes) copy[at] = piece;
    return copy.join('');
  });

function check(text: string): void {
  const parsed = parseConfig(text, 'fuzz.yaml');
  if (parsed.kind === 'invalid') {
    expect(parsed.issues.length).toBeGreaterThan(0);
    for (const issue of parsed.issues) {
      expect(issue.message).not.toMatch(/undefined|\[object/);
      expect(issue.line).toBeGreaterThan(0);
    }
    return;
  }
  const made = makePlan(parsed.config, {
    runId: 'r',
    configDigest: 'd',
    shape,
    world: 'aws',
    positions: parsed.positions,
  });
  if (made.kind === 'invalid') {
    for (const { line } of made.issues) expect(line).toBeGreaterThan(0);
  } else {
    // What travels in JSON must come back the same: no NaN, no undefined, no function.
    expect(JSON.parse(JSON.stringify(made.plan))).toEqual(made.plan);
    expect(made.plan.cluster.worker.memoryMiB).toBeGreaterThanOrEqual(made.plan.cluster.worker.memoryNeededMiB);
    expect(made.plan.history.worstCaseEvents).toBeLessThanOrEqual(20_000);
  }
}

describe('parseConfig() and makePlan()', () => {
  it('take the unchanged text', () => {
    expect(parseConfig(valid, 'x').kind).toBe('valid');
    check(valid);
  });

  it('answer any change of a valid config', () => {
    fc.assert(fc.property(mutation, check), { numRuns: 400 });
  });

  it('answer any text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), check), { numRuns: 300 });
  });
});

describe('applyOverrides()', () => {
  it('never throws, and never breaks a valid config', () => {
    fc.assert(
      fc.property(mutation, (text) => {
        const changed = applyOverrides(text, {
          epochs: 2,
          workers: { min: 1, max: 4 },
          chaos: ['kill leader at step 2'],
        });
        if (parseConfig(text, 'x').kind === 'valid') expect(parseConfig(changed, 'x').kind).toBe('valid');
      }),
      { numRuns: 150 },
    );
  });
});
