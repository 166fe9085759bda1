/** The ways in which the stack may be deployed, and what the checkers are told to leave out; shared with tools/lint-stack.mjs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type PackagedStack, packageStack, root } from './package-stack.ts';

export interface Variant {
  readonly stage: string;
  readonly params: Readonly<Record<string, string | number>>;
}
export interface Suppression {
  readonly tool: 'cloudformation-validate' | 'cfn-lint' | 'checkov';
  readonly rule: string;
  readonly reason: string;
}

const read = (name: string): unknown => JSON.parse(readFileSync(join(root, 'test/stack', name), 'utf8'));

export const variants = read('variants.json') as Readonly<Record<string, Variant>>;
export const suppressions = read('suppressions.json') as readonly Suppression[];

export function packageVariant({ stage, params }: Variant): PackagedStack {
  const given = Object.entries(params).map(([name, value]) => `--param=${name}=${value}`);
  return packageStack(['--stage', stage, ...given]);
}
