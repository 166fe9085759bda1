/**
 * Each role grants what its code calls, and nothing else. A function is bundled, so that only what it reaches is left; the
 * methods of ports that it calls are looked up in what the AWS adapters were recorded to send; and the IAM actions of that
 * are compared with those of the policies in its role.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { functionNames } from '../../functions/registry.ts';
import { asList, at, ofType, type PackagedStack, packageStack, root } from '../support/package-stack.ts';
import { calls, type RecordedCalls, recordCalls } from '../support/recorded-calls.ts';
import { policiesOf, statements } from '../support/stack-rules/access.ts';

/** Used by Lambda, X-Ray and KMS in the name of the function or task, not by its code. */
const ofServices = ['FunctionPolicy', 'TaskPolicy', 'UndeliveredPolicy'];
const pascal = (name: string) => name.replace(/(^|-)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());

let stack: PackagedStack;
let recorded: RecordedCalls;
beforeAll(async () => {
  stack = packageStack();
  recorded = await recordCalls();
}, 120_000);
afterAll(() => stack?.remove());

async function bundled(entry: string): Promise<string> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    legalComments: 'none',
  });
  return outputFiles[0]?.text ?? '';
}

/** The methods of ports that the source calls. esbuild numbers names that would clash: `table2.get(`. */
function methodsIn(source: string): string[] {
  return Object.keys(calls).filter((method) => {
    const [port, name] = method.split('.');
    return new RegExp(`\\b${port}\\d*\\.${name}\\(`).test(source);
  });
}

function needed(source: string): string[] {
  return [...new Set(methodsIn(source).flatMap((method) => [...(recorded.actions.get(method) ?? [])]))].sort();
}

function granted(role: string, template = stack.template): string[] {
  const actions = policiesOf(template, role)
    .map(String)
    .filter((id) => !ofServices.includes(id))
    .flatMap((id) => statements(id, template.Resources[id]?.Properties.PolicyDocument))
    .flatMap(({ body }) => asList(at(body, 'Action')).map(String));
  return [...new Set(actions)].sort();
}

/** Which parts of the bucket the source names, by the policies that open them. */
const parts: readonly (readonly [pattern: RegExp, policies: readonly string[]])[] = [
  [/runs\/\$\{/, ['RunsPolicy', 'RunsReadPolicy']],
  [/\}\.errors\.txt/, ['ConfigsPolicy', 'ConfigErrorsPolicy']],
  [/\bdatasets\d*\.(read|list)\(/, ['DataPolicy']],
  [/objects\d*\.delete\(objectKeys\.part/, ['CheckpointsPolicy']],
];
function expectParts(role: string, source: string) {
  const usesObjects = /\b(objects|datasets)\d*\.(get|getVersion|put|list|delete|read)\(/.test(source);
  for (const [pattern, policies] of parts) {
    const has = policiesOf(stack.template, role).some((id) => policies.includes(String(id)));
    expect([policies[0], has]).toEqual([policies[0], usesObjects && pattern.test(source)]);
  }
}

describe('what the adapters send', () => {
  it('is recorded command by command', () => {
    const folder = join(root, 'cloud/aws');
    const sources = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'));
    const named = sources.flatMap((source) => [
      ...[...source.matchAll(/new (\w+)Command\(/g)].map(([, name]) => name),
      ...[...source.matchAll(/\bpaginate(\w+)\(/g)].map(([, name]) => name),
    ]);
    expect([...recorded.commands].sort()).toEqual([...new Set(named)].sort());
  });
});

describe('the role of a function', () => {
  it.each(functionNames)(
    '%s grants the actions that it uses, on the parts of the bucket that it names',
    async (name) => {
      const source = await bundled(`functions/${name}.ts`);
      expect(granted(`${pascal(name)}Role`)).toEqual(needed(source));
      expectParts(`${pascal(name)}Role`, source);
    },
  );
});

describe('a slip in a policy', () => {
  it.each([
    ['too much', (actions: unknown[]) => actions.push('dynamodb:PutItem')],
    ['too little', (actions: unknown[]) => actions.pop()],
  ])('is seen: %s', async (_, change) => {
    const copy = structuredClone(stack.template);
    change(at(copy.Resources.TablePolicy?.Properties, 'PolicyDocument', 'Statement', 0, 'Action') as unknown[]);
    expect(granted('DecideRole', copy)).not.toEqual(needed(await bundled('functions/decide.ts')));
  });
});

describe('the role of a task', () => {
  it('a worker may do what the training task calls', async () => {
    const source = await bundled('container/task.ts');
    expect(granted('WorkerTaskRole')).toEqual(needed(source));
    expectParts('WorkerTaskRole', source);
  });

  it('a parameter server may do less', () => {
    const worker = granted('WorkerTaskRole');
    const server = granted('ParameterServerTaskRole');
    expect(worker).toEqual(expect.arrayContaining(server));
    expect(server.length).toBeLessThan(worker.length);
  });
});

describe('the policies', () => {
  it('are all attached to a role', () => {
    const roles = ofType(stack.template, 'AWS::IAM::Role').map(([id]) => id);
    const used = new Set(roles.flatMap((role) => policiesOf(stack.template, role)));
    for (const [id] of ofType(stack.template, 'AWS::IAM::ManagedPolicy'))
      expect([id, used.has(id)]).toEqual([id, true]);
  });
});
