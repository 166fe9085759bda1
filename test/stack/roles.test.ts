/**
 * Each function's role grants what its code asks of its world, and nothing else: the function is bundled (so that only
 * what it reaches is left) and the ports it calls are compared with the policies in infra/roles.yml.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { root } from '../support/package-stack.ts';

/** Read with unknown tags as plain values: `!Ref X` is X. */
const roles = parse(readFileSync(join(root, 'infra/roles.yml'), 'utf8'), { logLevel: 'silent', merge: true }).Resources;
const policiesOf = (role: string): string[] => [...(roles[role]?.Properties?.ManagedPolicyArns ?? [])].sort();

const events = ['start', 'on-task-event', 'on-execution-event', 'sweep'];
const states = ['validate', 'plan', 'scale', 'launch', 'watch', 'decide', 'finish', 'fail', 'release'];
const pascal = (name: string) => name.replace(/(^|-)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());

type Has = (pattern: RegExp) => boolean;

/** Asks the bundled source what it calls, `tasks.launch` and so on. */
async function calls(entry: string): Promise<Has> {
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
  const source = outputFiles[0]?.text ?? '';
  return (pattern) => pattern.test(source);
}

async function needs(name: string): Promise<string[]> {
  return [
    'FunctionPolicy',
    ...(events.includes(name) ? ['UndeliveredPolicy'] : []),
    ...ports(await calls(`functions/${name}.ts`)),
  ].sort();
}

function ports(has: Has): string[] {
  const objects = has(/\bobjects\.(get|getVersion|put|list)\(/);
  return [
    ...(has(/\btable\.(get|put|delete|query)\(/) ? ['TablePolicy'] : []),
    ...(objects && has(/runs\/\$\{/) ? ['RunsPolicy'] : []),
    ...(objects && has(/\.errors\.txt|objects\.getVersion\(/) ? ['ConfigsPolicy'] : []),
    ...(has(/\bworkflow\.stop\(/) ? ['no policy allows it'] : []),
    ...(has(/\bdatasets\.(read|list)\(/) ? ['DataPolicy'] : []),
    ...(has(/objects\.delete\(objectKeys\.part/) ? ['CheckpointsPolicy'] : []),
    ...(has(/\btasks\.launch\(/) ? ['LaunchPolicy'] : []),
    ...(has(/\btasks\.(stop|list|listLive)\(/) ? ['TasksPolicy'] : []),
    ...(has(/\bscaling\.(setFloor|describe)\(/) ? ['ScalingPolicy'] : []),
    ...(has(/\bworkflow\.(succeedTask|heartbeatTask)\(/) ? ['TokensPolicy'] : []),
    ...(has(/\bworkflow\.start\(/) ? ['ExecutionsPolicy'] : []),
    ...(has(/\bworkflow\.describe\(/) ? ['ExecutionStatusPolicy'] : []),
  ];
}

describe('the role of a function', () => {
  it.each([...states, ...events, 'control'])('%s grants what the function calls', async (name) => {
    expect(policiesOf(`${pascal(name)}Role`)).toEqual(await needs(name));
  });
});

describe('the role of a task', () => {
  it('a worker may do what the training task calls', async () => {
    expect(policiesOf('WorkerTaskRole')).toEqual(ports(await calls('container/task.ts')).sort());
  });

  it('a parameter server may do less', () => {
    const worker = policiesOf('WorkerTaskRole');
    const server = policiesOf('ParameterServerTaskRole');
    expect(worker).toEqual(expect.arrayContaining(server));
    expect(server.length).toBeLessThan(worker.length);
  });
});
