/**
 * The workflow in two interpreters: ours, and the one of moto, with the same scripted results of the functions. Both must
 * take the same path to the same end. Needs Python programs; `npm run test:python` installs them.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { CuttlefishError } from '../../core/failure.ts';
import { root } from '../support/package-stack.ts';
import { historyOf, openHost } from './interpreter/machine.ts';

const bin = process.env.CUTTLEFISH_PYTHON_BIN;
const source = readFileSync(join(root, 'statemachines/train.asl.yaml'), 'utf8');

/** What a function does when it is called next; `answer` is what its task token is answered a moment later. */
type Step =
  | { readonly payload: unknown; readonly answer?: unknown }
  | { readonly error: string; readonly message: string };
type Script = Readonly<Record<string, readonly Step[]>>;

interface End {
  readonly status: string;
  readonly path: readonly string[];
  readonly output?: unknown;
  readonly error?: string;
}

const functionName = (placeholder: string) => placeholder.replace('FunctionArn', '').toLowerCase();

async function inOurs(script: Script): Promise<End> {
  const left = Object.fromEntries(Object.entries(script).map(([name, steps]) => [name, [...steps]]));
  const call = (name: string) => async (input: unknown) => {
    const step = left[name]?.shift();
    if (step === undefined) throw new Error(`${name} was called more often than the script says`);
    if ('error' in step) throw Object.assign(new Error(step.message), { name: step.error }) as CuttlefishError;
    if ('answer' in step) void host.succeedTask((input as { taskToken: string }).taskToken, step.answer);
    return step.payload;
  };
  const names = [...source.matchAll(/\$\{(\w+)\}/g)].map(([, name = '']) => name);
  const host = openHost(source, {
    functions: Object.fromEntries(names.map((name) => [name, call(functionName(name))])),
  });
  await host.start('run', {});
  const { status, output, error } = await host.wait('run');
  await host.close();
  const path = historyOf(host.stateDir, 'run').records.filter(({ type }) => type.endsWith('StateEntered'));
  return { status, path: path.map(({ state = '' }) => state), ...(error === undefined ? { output } : { error }) };
}

function inMoto(script: Script): End {
  const definition = JSON.stringify(parse(source)).replace(
    /\$\{(\w+)\}/g,
    (_, name: string) => `arn:aws:lambda:us-east-1:123456789012:function:${functionName(name)}`,
  );
  const program = join(root, 'test/support/moto_workflow.py');
  const { stdout, stderr } = spawnSync(join(bin ?? '', 'python'), [program], {
    input: JSON.stringify({ definition, input: {}, script }),
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(`moto's interpreter did not run: ${stderr}`);
  const { cause: _, ...end } = JSON.parse(stdout) as End & { cause?: string };
  return end;
}

const validated: Script = { validate: [{ payload: { runId: 'run' } }] };
const planned = (usesScaling: boolean): Script => ({
  plan: [{ payload: { runId: 'run', usesScaling, watchHeartbeatSeconds: 30, watchTimeoutSeconds: 60 } }],
});
const decision = (action: string): Step => ({
  payload: { action, turn: 1, seen: 0, beat: 1, waitSeconds: 0, watchSeconds: 60, heartbeatSeconds: 30 },
});
const woken: Step = { payload: {}, answer: { signal: 1 } };
const trained: Script = { finish: [{ payload: { accuracy: 0.97 } }], release: [{ payload: {} }] };
const failed: Script = { fail: [{ payload: { error: 'TaskLost', cause: 'worker/0' } }], release: [{ payload: {} }] };

const scripts: Readonly<Record<string, Script>> = {
  'that trains in one turn': {
    ...validated,
    ...planned(false),
    launch: [{ payload: { missing: 0 } }],
    watch: [woken],
    decide: [decision('finish')],
    ...trained,
  },
  'that scales, falls short, launches again and watches twice': {
    ...validated,
    ...planned(true),
    scale: [{ payload: {} }, { payload: {} }],
    launch: [{ payload: { missing: 1 } }, { payload: { missing: 1 } }, { payload: { missing: 0 } }],
    watch: [woken, woken],
    decide: [decision('scale'), decision('launch'), decision('continue'), decision('finish')],
    ...trained,
  },
  'whose functions fail once and are called again': {
    validate: [{ error: 'StorageFailed', message: 'slow down' }, { payload: { runId: 'run' } }],
    ...planned(false),
    launch: [{ error: 'Lambda.TooManyRequestsException', message: 'rate' }, { payload: { missing: 0 } }],
    watch: [woken],
    decide: [{ error: 'Unexpected', message: 'network' }, decision('finish')],
    finish: [{ payload: { accuracy: 0.5 } }],
    release: [{ error: 'Unexpected', message: 'still stopping' }, { payload: {} }],
  },
  'whose config is refused': { validate: [{ error: 'ConfigInvalid', message: 'units is missing' }] },
  'whose data is refused': { ...validated, plan: [{ error: 'DataInvalid', message: 'no labels' }], ...failed },
  'that gives up': {
    ...validated,
    ...planned(false),
    launch: [{ payload: { missing: 0 } }],
    watch: [woken],
    decide: [decision('fail')],
    ...failed,
  },
};

describe.skipIf(bin === undefined)('a run (skipped without CUTTLEFISH_PYTHON_BIN)', () => {
  it.each(Object.keys(scripts))('%s takes the same path in both interpreters', { timeout: 120_000 }, async (name) => {
    const script = scripts[name] ?? {};
    const ours = await inOurs(script);
    expect(ours.path.length).toBeGreaterThan(1);
    expect(inMoto(script)).toEqual(ours);
  });
});
