/** Which engine a plan gets, and what a processor without fused multiply-add makes of it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createEngine, type Trainable } from '../../../container/engine/create.ts';
import type { EnginePlan } from '../../../core/plan.ts';
import { providers } from './plan-support.ts';
import { dense } from './support.ts';

const plan = (wanted: EnginePlan['wanted']): Trainable => ({
  name: 'test',
  seed: 1,
  network: {
    kind: 'layers',
    inputShape: [3],
    outputShape: [2],
    layers: [dense(2, 'softmax')],
    parameters: 8,
    stateParameters: 0,
  },
  training: { loss: 'softmaxCrossEntropy', optimizer: { kind: 'sgd', momentum: 0, nesterov: false } },
  engine: { wanted },
});
const warn = (message: string): void => {
  throw new Error(message);
};
const fuses = providers.includes('exact');
const hasBlas = providers.includes('native');

test('a plan gets the engine it wants, or for auto the first that works here', async () => {
  expect((await createEngine(plan('portable'), { warn })).name).toBe('portable');
  expect((await createEngine(plan('tensorflow'), { warn })).name).toMatch(/^tensorflow\//);
  if (!fuses) return;
  expect((await createEngine(plan('exact'), { warn })).name).toBe('exact');
  expect((await createEngine(plan('auto'), { warn })).name).toBe('exact');
});

test('a run that was begun with one engine keeps to it', async () => {
  expect((await createEngine(plan('auto'), { warn, begun: 'portable' })).name).toBe('portable');
  expect((await createEngine(plan('auto'), { warn, begun: 'tensorflow/wasm' })).name).toMatch(/^tensorflow\//);
  if (fuses) expect((await createEngine(plan('auto'), { warn, begun: 'exact' })).name).toBe('exact');
  expect((await createEngine(plan('portable'), { warn, begun: 'exact' })).name).toBe('portable');
});

test.runIf(hasBlas)('native is named by what its bits depend on, and only taken by who asks for it', async () => {
  const { name } = await createEngine(plan('native'), { warn });
  expect(name).toMatch(/^native\/OpenBLAS-\d+\.\d+\.\d+.*-\w+$/);
  expect((await createEngine(plan('auto'), { warn })).name).not.toMatch(/native/);
  expect((await createEngine(plan('auto'), { warn, begun: name })).name).toBe(name);
  expect((await createEngine(plan('auto'), { warn, begun: 'native/OpenBLAS-0.0.1-Z80' })).name).not.toMatch(/native/);
});

/** What each kind of wish gets in a process of its own, and what it says. */
const script = `
  import { createEngine } from './container/engine/create.ts';
  const answers = {};
  for (const wanted of ['auto', 'exact', 'portable', 'native']) {
    const warnings = [];
    try {
      const { name } = await createEngine({ ...${JSON.stringify(plan('auto'))}, engine: { wanted } }, {
        warn: (message) => warnings.push(message),
      });
      answers[wanted] = { name, warnings };
    } catch (error) {
      answers[wanted] = { error: error.name, message: error.message };
    }
  }
  console.log(JSON.stringify(answers));
`;

describe('in a process without fused multiply-add and without koffi', () => {
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), 'cuttlefish-'));
  const outfile = join(folder, 'choose.mjs');
  beforeAll(() => {
    symlinkSync(join(root, 'dist/kernels'), join(folder, 'wasm'));
    buildSync({
      stdin: { contents: script, resolveDir: root, loader: 'ts' },
      outdir: folder,
      entryNames: 'choose',
      outExtension: { '.js': '.mjs' },
      bundle: true,
      splitting: true,
      platform: 'node',
      format: 'esm',
      external: ['@tensorflow/*'],
      logLevel: 'error',
    });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  // V8 then computes the fused instruction in two steps, as on a processor that has none.
  test.runIf(process.arch === 'x64')(
    'auto takes the portable kernels and says why; exact and native are refused',
    () => {
      const answers = JSON.parse(execFileSync(process.execPath, ['--no-enable-fma3', outfile], { encoding: 'utf8' }));
      expect(answers.auto.name).toBe('portable');
      expect(answers.auto.warnings).toEqual([
        'the engine "exact" cannot be used here: this processor has no fused multiply-add',
      ]);
      expect(answers.exact).toMatchObject({ error: 'ConfigInvalid' });
      expect(answers.exact.message).toMatch(/engine: the engine "exact" cannot be used here: .*; accepted: "auto"/);
      expect(answers.portable).toEqual({ name: 'portable', warnings: [] });
      expect(answers.native.message).toMatch(
        /engine: the engine "native" cannot be used here: the package "koffi" is not installed; it needs .*libopenblas0/,
      );
    },
  );
});
