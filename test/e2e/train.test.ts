/** P1, P2, P8: the main path, with real processes. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunResult } from '../../core/result.ts';
import { type Ended, Lab, root, small } from './harness.ts';

let lab: Lab;
beforeAll(() => {
  lab = new Lab();
});
afterAll(() => lab.close());

describe('cuttlefish train configs/digits.yaml', () => {
  let ended: Ended;
  let result: RunResult;
  beforeAll(async () => {
    ended = await lab.run(['train', join(root, 'configs/digits.yaml'), '--json']);
    expect(ended.stderr + ended.stdout, 'the command ended well').toBeDefined();
    expect(ended.code, ended.stderr).toBe(0);
    result = JSON.parse(ended.stdout);
  }, 120_000);

  test('prints the promised document, and reaches the promised accuracy', () => {
    expect(result).toMatchObject({ status: 'succeeded', recoveries: 0, lostSteps: 0, generations: 1 });
    expect(result.runId).toMatch(/^digits-[0-9a-f]{12}$/);
    expect(result.weightsDigest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(result.metrics.accuracy).toBeGreaterThanOrEqual(0.97);
    expect(result.goodput).toBeGreaterThan(0);
    expect(result.goodput).toBeLessThanOrEqual(1);
    // Alone it takes a third of that; here other suites compete for the same two cores.
    expect(result.durationMs).toBeLessThan(60_000);
    expect(result.epochs).toBeGreaterThan(0);
    expect(result.steps).toBeGreaterThan(0);
  });

  test('tells each epoch on standard error', () => {
    for (let epoch = 1; epoch <= result.epochs; epoch++) expect(ended.stderr).toMatch(new RegExp(`epoch ${epoch}/`));
  });

  test('leaves every artefact where it says, and no process', () => {
    for (const [name, path] of Object.entries(result.artifacts))
      expect(existsSync(path), `${name}: ${path}`).toBe(true);
    const lines = readFileSync(result.artifacts.metrics, 'utf8').trim().split('\n');
    expect(lines).toHaveLength(result.epochs);
    expect(JSON.parse(lines.at(-1)!).accuracy).toBe(result.metrics.accuracy);
    expect(JSON.parse(readFileSync(result.artifacts.plan!, 'utf8')).runId).toBe(result.runId);
    const events = lab.events(result.runId);
    expect(events.map(({ event }) => event)).toContain('run.decided');
    for (const { event, why } of events) if (event === 'run.decided') expect(why).toBeTruthy();
    expect(lab.leftovers()).toEqual([]);
  });

  test('the same command again prints the stored result at once', async () => {
    const started = Date.now();
    const again = await lab.run(['train', join(root, 'configs/digits.yaml'), '--json']);
    expect(again.code, again.stderr).toBe(0);
    expect(JSON.parse(again.stdout)).toEqual(result);
    expect(again.stderr).toContain('already');
    expect(Date.now() - started).toBeLessThan(5000);
  });
});

describe('P2 the weights do not depend on the machines', () => {
  test('1, 2 and 4 workers, and 1 or 2 parameter servers, give the same digest', async () => {
    const config = lab.config('same', small({ name: 'same' }));
    const results: Record<string, RunResult> = {};
    for (const [label, args] of Object.entries({
      one: ['--workers', '1'],
      two: ['--workers', '2:2'],
      four: ['--workers', '4:4'],
      'one server': ['--workers', '2:2', '--parameter-servers', '1'],
      'two servers': ['--workers', '2:2', '--parameter-servers', '2'],
    })) {
      results[label] = await lab.train(config, ...args);
    }
    const digests = Object.values(results).map((result) => result.weightsDigest);
    expect(new Set(digests).size, JSON.stringify(digests)).toBe(1);
    expect(new Set(Object.values(results).map((result) => result.runId)).size).toBe(5);
    expect(lab.leftovers()).toEqual([]);
  }, 90_000);

  test('--fresh trains anew, under another run id, to the same weights', async () => {
    const config = lab.config('fresh', small({ name: 'fresh', epochs: 1 }));
    const first = await lab.train(config);
    const second = await lab.train(config, '--fresh');
    expect(second.runId).not.toBe(first.runId);
    expect(second.weightsDigest).toBe(first.weightsDigest);
  });
});

describe('what a person sees', () => {
  test('a summary with the numbers and the paths, exit code 0', async () => {
    const ended = await lab.run(['train', lab.config('seen', small({ name: 'seen', epochs: 1 }))]);
    expect(ended.code, ended.stderr).toBe(0);
    for (const word of ['accuracy', 'loss', 'epochs', 'steps', 'weights', 'model', 'report']) {
      expect(ended.stdout).toContain(word);
    }
    expect(ended.stdout).not.toContain('undefined');
  });
});
