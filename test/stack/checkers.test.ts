/**
 * The two checkers that platform teams use, on every variant of the stack: what they find is what test/stack/suppressions.json
 * leaves out, and nothing else. Needs their programs; `npm run test:python` installs them. Each is started once, for all.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { at, type Template } from '../support/package-stack.ts';
import { packageVariant, suppressions, variants } from '../support/stack-variants.ts';

const bin = process.env.CUTTLEFISH_PYTHON_BIN;

interface Finding {
  readonly template: string;
  readonly rule: string;
  readonly where: string;
}

function run(program: string, args: readonly string[]): string {
  const { stdout, stderr, error } = spawnSync(join(bin ?? '', program), args, { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (error !== undefined || stdout === '') throw new Error(`${program} did not run: ${error?.message ?? stderr}`);
  return stdout;
}

const checkers: Readonly<Record<'cfn-lint' | 'checkov', (paths: readonly string[]) => Finding[]>> = {
  'cfn-lint': (paths) => {
    const found = JSON.parse(run('cfn-lint', ['--format', 'json', ...paths])) as {
      Rule: { Id: string };
      Message: string;
      Filename: string;
    }[];
    return found.map(({ Rule, Message, Filename }) => ({
      template: basename(Filename),
      rule: Rule.Id,
      where: Message,
    }));
  },
  checkov: (paths) => {
    const args = ['--framework', 'cloudformation', '--output', 'json', '--quiet', '--file', ...paths];
    const report: unknown = JSON.parse(run('checkov', args));
    const failed = at(report, 'results', 'failed_checks') as {
      check_id: string;
      resource: string;
      file_path: string;
    }[];
    return failed.map((each) => ({ template: basename(each.file_path), rule: each.check_id, where: each.resource }));
  },
};

/** One property taken away from the template, and the rule that must see it. */
const spoiled = [
  ['checkov', 'CKV_AWS_53', 'Bucket', 'PublicAccessBlockConfiguration'],
  ['checkov', 'CKV_AWS_28', 'Table', 'PointInTimeRecoverySpecification'],
  ['checkov', 'CKV_AWS_66', 'WorkerLogs', 'RetentionInDays'],
  ['checkov', 'CKV_AWS_158', 'WorkflowLogs', 'KmsKeyId'],
  ['cfn-lint', 'E3003', 'WatchRole', 'AssumeRolePolicyDocument'],
] as const;

const fileOf = (name: string) => `${name.replaceAll(/\W/g, '-')}.json`;
const spoiledFile = (rule: string) => fileOf(`spoiled ${rule}`);
const suppressed = (tool: string) => suppressions.filter((each) => each.tool === tool).map(({ rule }) => rule);

describe.skipIf(bin === undefined)('the checkers (skipped without CUTTLEFISH_PYTHON_BIN)', () => {
  const findings = new Map<string, Finding[]>();
  const foundBy = (tool: string, file: string) =>
    (findings.get(tool) ?? []).filter(({ template }) => template === file);

  const folder = mkdtempSync(join(tmpdir(), 'cuttlefish-checkers-'));
  beforeAll(() => {
    const paths: string[] = [];
    const write = (file: string, template: Template) => {
      paths.push(join(folder, file));
      writeFileSync(join(folder, file), JSON.stringify(template));
    };
    for (const [name, variant] of Object.entries(variants)) {
      const stack = packageVariant(variant);
      write(fileOf(name), stack.template);
      stack.remove();
      if (name !== 'as it comes') continue;
      for (const [, rule, id, property] of spoiled) {
        const copy = structuredClone(stack.template);
        delete copy.Resources[id]?.Properties[property];
        write(spoiledFile(rule), copy);
      }
    }
    for (const [tool, check] of Object.entries(checkers)) findings.set(tool, check(paths));
  }, 600_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  describe.each(Object.keys(checkers))('%s', (tool) => {
    it.each(Object.keys(variants))('finds nothing in a stack %s', (name) => {
      expect(foundBy(tool, fileOf(name)).filter(({ rule }) => !suppressed(tool).includes(rule))).toEqual([]);
    });

    it('has a use for each suppression', () => {
      const rules = foundBy(tool, fileOf('as it comes')).map(({ rule }) => rule);
      for (const rule of suppressed(tool)) expect(rules).toContain(rule);
    });
  });

  it.each(spoiled)('%s trips with %s over %s without its %s', (tool, rule) => {
    expect(foundBy(tool, spoiledFile(rule)).map((found) => found.rule)).toContain(rule);
  });
});
