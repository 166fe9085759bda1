/** What the command line writes into a config, the chaos grammar, and run ids. */
import { describe, expect, it } from 'vitest';
import { isChaosInvalid, parseChaos } from '../../core/config/chaos.ts';
import { formatDuration, parseDuration } from '../../core/config/duration.ts';
import { applyOverrides } from '../../core/config/overrides.ts';
import { parseConfig } from '../../core/config/parse.ts';
import { executionName, runIdFor } from '../../core/config/run-id.ts';

const text = `version: 1 # the format
# the name
name: mnist

data: {source: mnist}
network: {layers: [{dense: {units: 10, activation: softmax}}]}
training:
cluster:
  workers: 2 # two
chaos: [kill all at step 3]
`;

describe('applyOverrides()', () => {
  it('leaves the text as it is when nothing is overridden', () => {
    expect(applyOverrides(text, {})).toBe(text);
    expect(applyOverrides(text, { chaos: [] })).toBe(text);
  });

  it('writes each override where it belongs and keeps comments', () => {
    const changed = applyOverrides(text, {
      dataPath: '/data/my mnist: really',
      workers: { min: 2, max: 4 },
      epochs: 3,
      parameterServers: 1,
      chaos: ['kill leader at step 5'],
      launch: 'local',
    });
    expect(changed).toContain('# the name');
    const parsed = parseConfig(changed, 'x');
    expect(parsed).toMatchObject({
      kind: 'valid',
      config: {
        data: { path: '/data/my mnist: really' },
        training: { epochs: 3 },
        cluster: { workers: { min: 2, max: 4 }, parameterServers: 1, launch: 'local' },
        chaos: [{ target: { kind: 'all' } }, { target: { kind: 'leader' } }],
      },
    });
  });

  it.each(['', '{', '- a', 'a: &x 1\nb: *x', 'x'.repeat(100_000)])('leaves a text alone that is no config', (bad) => {
    expect(applyOverrides(bad, { epochs: 3 })).toBe(bad);
  });
});

describe('parseChaos()', () => {
  it.each([
    ['kill worker 1 at step 50', { action: 'kill', target: { kind: 'worker', index: 1 }, atStep: 50 }],
    [
      '  pause  worker 0 at step 20 for 5s ',
      { action: 'pause', target: { kind: 'worker', index: 0 }, atStep: 20, forMs: 5000 },
    ],
    ['interrupt worker 1 at step 7', { action: 'interrupt', target: { kind: 'worker', index: 1 }, atStep: 7 }],
    [
      'kill parameter-server 0 at step 9',
      { action: 'kill', target: { kind: 'parameter-server', index: 0 }, atStep: 9 },
    ],
    ['kill leader at step 3', { action: 'kill', target: { kind: 'leader' }, atStep: 3 }],
    ['kill all at step 30', { action: 'kill', target: { kind: 'all' }, atStep: 30 }],
  ])('reads "%s"', (sentence, plan) => {
    expect(parseChaos(sentence)).toEqual(plan);
  });

  it.each([
    ['', 'grammar'],
    ['kill worker at step 3', 'grammar'],
    ['kill worker 1 step 3', 'grammar'],
    ['kill worker -1 at step 3', 'grammar'],
    ['kill leader 1 at step 3', 'grammar'],
    ['eat worker 1 at step 3', '"eat"'],
    ['kill worker 1 at step 0', 'step 0'],
    ['pause worker 1 at step 3', 'how long'],
    ['pause worker 1 at step 3 for ever', '"ever"'],
    ['pause worker 1 at step 3 for 2d', '"2d"'],
    ['kill worker 1 at step 3 for 5s', 'pause only'],
  ])('refuses "%s"', (sentence, why) => {
    const parsed = parseChaos(sentence);
    expect(isChaosInvalid(parsed) && parsed.message).toContain(why);
  });
});

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['5s', 5000],
    ['1.5h', 5_400_000],
    ['2 m', 120_000],
    ['7d', 604_800_000],
  ])('%s is %d ms', (written, ms) => {
    expect(parseDuration(written)).toBe(ms);
    expect(parseDuration(formatDuration(ms))).toBe(ms);
  });

  it.each(['', '5', '-5s', '5 parsecs', '1e3s', 's'])('"%s" is none', (written) => {
    expect(parseDuration(written)).toBeUndefined();
  });
});

describe('runIdFor()', () => {
  it('is a function of all parts and of where one ends', () => {
    expect(runIdFor('mnist', 'a')).toMatch(/^mnist-[0-9a-f]{12}$/);
    expect(runIdFor('mnist', 'a', 'b')).toBe(runIdFor('mnist', 'a', 'b'));
    expect(runIdFor('mnist', 'ab', 'c')).not.toBe(runIdFor('mnist', 'a', 'bc'));
    expect(runIdFor('mnist', 'ä')).not.toBe(runIdFor('mnist', 'a'));
  });

  it('gives execution names that Step Functions takes, for any name and attempt', () => {
    const longest = executionName(runIdFor('a'.repeat(40), 'x'), 9999);
    expect(longest.length).toBeLessThanOrEqual(80);
    expect(executionName('mnist-0', 0)).toBe('mnist-0');
  });
});
