/**
 * The CloudFormation template as `serverless package` makes it: run for real, in a folder of its own, without
 * credentials or network. Takes two to six seconds, so a test file packages once and shares the template.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Resource {
  readonly Type: string;
  readonly Properties: Record<string, unknown>;
  readonly Condition?: string;
  readonly DependsOn?: string | readonly string[];
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
}

export interface Template {
  readonly Parameters: Record<string, { readonly Type: string; readonly Default?: unknown }>;
  readonly Conditions: Record<string, unknown>;
  readonly Resources: Record<string, Resource>;
  readonly Outputs: Record<string, unknown>;
}

export interface PackagedStack {
  readonly template: Template;
  readonly templatePath: string;
  readonly folder: string;
  remove(): void;
}

export const root = join(import.meta.dirname, '../..');

/** What the framework reads, in a folder of its own: packages of several processes would meet in one `.serverless/`. */
const copied = ['serverless.yml', 'package.json', 'infra', 'tools', 'statemachines'];
const linked = ['dist', 'node_modules'];

export function packageStack(args: readonly string[] = []): PackagedStack {
  const folder = mkdtempSync(join(tmpdir(), 'cuttlefish-stack-'));
  for (const name of copied) cpSync(join(root, name), join(folder, name), { recursive: true });
  for (const name of linked) symlinkSync(join(root, name), join(folder, name));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const output = join(folder, 'package');
  try {
    execFileSync(join(root, 'node_modules/.bin/serverless'), ['package', '--package', output, ...args], {
      cwd: folder,
      // Nothing of the caller's: no AWS settings, no home with credentials or a framework configuration.
      env: {
        PATH: process.env.PATH,
        HOME: folder,
        SLS_TELEMETRY_DISABLED: '1',
        SLS_NOTIFICATIONS_MODE: 'off',
        // The global set-up of the tests has just built dist/; building again would pull it from under other tests.
        CUTTLEFISH_BUILT: '1',
      },
      stdio: 'pipe',
    });
    const templatePath = join(output, 'cloudformation-template-update-stack.json');
    return { template: JSON.parse(readFileSync(templatePath, 'utf8')) as Template, templatePath, folder, remove };
  } catch (thrown) {
    remove();
    const { stdout = '', stderr = '' } = thrown as { stdout?: Buffer | string; stderr?: Buffer | string };
    throw new Error(`serverless package failed:\n${stdout}\n${stderr}`, { cause: thrown });
  }
}

/** The value at a path of keys; undefined where there is none. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      typeof inner === 'object' && inner !== null ? (inner as Record<string | number, unknown>)[key] : undefined,
    value,
  );
}

export function ofType(template: Template, type: string): [string, Resource][] {
  return Object.entries(template.Resources).filter(([, resource]) => resource.Type === type);
}

export function asList(value: unknown): readonly unknown[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}
