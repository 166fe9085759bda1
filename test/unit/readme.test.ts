/** What the documents say is true: commands exist, paths exist, examples parse, messages are those of the code. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { createProgram, type Handlers } from '../../cli/program.ts';
import { parseConfig } from '../../core/config/parse.ts';
import { describeFailure } from '../../core/failure.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const documents = ['README.md', 'ARCHITECTURE.md', 'docs/user-guide.md', 'docs/what-happens-when.md', ...decisions()];
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
  engines: { node: string };
  dependencies: Record<string, string>;
};

const idle = async () => undefined;
const handlers = Object.fromEntries(
  ['train', 'validate', 'plan', 'serve', 'status', 'logs', 'scale', 'cancel', 'resume', 'doctor'].map((name) => [
    name,
    idle,
  ]),
) as unknown as Handlers;

function program(): Command {
  return silence(createProgram(handlers, '0.0.0'));
}

function silence(command: Command): Command {
  command.exitOverride().configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
  for (const inner of command.commands) silence(inner);
  return command;
}

describe.each(documents)('%s', (document) => {
  const text = readFileSync(join(root, document), 'utf8');
  const commands = cuttlefishCommands(text);

  test.runIf(commands.length > 0)('every cuttlefish command it shows is one', async () => {
    for (const args of commands) {
      await expect(program().parseAsync(args, { from: 'user' }), args.join(' ')).resolves.toBeDefined();
    }
  });

  test('every configs/ file it names exists', () => {
    for (const [, path] of text.matchAll(/(configs\/[\w.-]+\.(?:yaml|json))/g)) {
      expect(existsSync(join(root, path!)), path).toBe(true);
    }
  });

  test('every link leads somewhere', () => {
    for (const [, target] of text.matchAll(/\]\(([^)]+)\)/g)) {
      if (/^https?:/.test(target!)) continue;
      const [path = '', anchor] = target!.split('#');
      const file = path === '' ? join(root, document) : join(root, dirname(document), path);
      expect(existsSync(file), target).toBe(true);
      if (anchor !== undefined) expect(headings(readFileSync(file, 'utf8')), target).toContain(anchor);
    }
  });

  test('every config it shows is valid', () => {
    for (const [, yaml] of text.matchAll(/```yaml\n([\s\S]*?)```/g)) {
      const parsed = parseConfig(yaml!, document);
      expect(parsed.kind === 'invalid' ? parsed.issues : [], yaml).toEqual([]);
    }
  });

  test('every npm script it names exists', () => {
    for (const [, script] of text.matchAll(/npm run ([\w:-]+)/g))
      expect(Object.keys(manifest.scripts)).toContain(script);
  });

  test('it speaks of the project alone', () => {
    expect(text).not.toMatch(/\/(work|home|root|tmp)\/|https?:\/\/(?!www\.)[\w.-]*(registry|artifactory)/);
  });
});

describe('README.md', () => {
  const text = readFileSync(join(root, 'README.md'), 'utf8');

  test('names the least Node that package.json names', () => {
    const least = /(\d+\.\d+)/.exec(manifest.engines.node)?.[1];
    expect(text).toContain(`Node ${least}`);
  });

  test('the mistake it shows is told in these words', () => {
    const first = /```yaml\n([\s\S]*?)```/.exec(text)?.[1] ?? '';
    const parsed = parseConfig(first.replace('units: 64', 'units: -64'), 'first.yaml');
    if (parsed.kind === 'valid') throw new Error('-64 units are valid?');
    expect(text).toContain(describeFailure({ ...parsed, kind: 'ConfigInvalid' }));
  });

  test('lists every command', () => {
    for (const { name } of program().commands.map((command) => ({ name: command.name() }))) {
      if (name !== 'help') expect(text).toContain(`\`cuttlefish ${name}`);
    }
  });

  test('its test command is the one that continuous integration runs', () => {
    expect(text).toMatch(/```sh\nnpm test\n```/);
    expect(readFileSync(join(root, '.ci/run'), 'utf8')).toMatch(/^npm test\b/m);
  });
});

describe('ARCHITECTURE.md', () => {
  test('its house has every folder, and only those', () => {
    const text = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8');
    const house = /## The house\s+```\n([\s\S]*?)```/.exec(text)?.[1] ?? '';
    const named = [...house.matchAll(/^(\w+)\//gm)].map((match) => match[1]!).sort();
    const there = readdirSync(root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map((entry) => entry.name)
      .filter((name) => !['node_modules', 'dist'].includes(name))
      .sort();
    expect(named).toEqual(there);
  });

  test('the files it sends readers to exist', () => {
    const text = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8');
    for (const [, path] of text.matchAll(/`((?:core|cloud|cli|functions|container|statemachines|test)\/[\w./-]+)`/g)) {
      expect(existsSync(join(root, path!)), path).toBe(true);
    }
  });
});

test('decision 0001 names every dependency, and no other', () => {
  const text = readFileSync(join(root, 'docs/decisions/0001-dependencies.md'), 'utf8');
  for (const name of Object.keys(manifest.dependencies)) {
    const covered =
      name.startsWith('@aws-sdk/client-') || text.includes(name) || text.includes(name.replace('@tensorflow/tfjs', ''));
    expect(covered, name).toBe(true);
  }
});

/** `npx cuttlefish ...` and `cuttlefish ...` with arguments, in code blocks and in code spans. */
function cuttlefishCommands(text: string): string[][] {
  const lines = [...text.matchAll(/(?:^|`|&& )(?:npx )?cuttlefish ([^`\n|]+)/gm)].map((match) => match[1]!);
  return lines
    .map((line) => line.replace(/ #.*$/, '').trim())
    .filter((line) => /^[a-z]+( [<["\w./-]|$)/.test(line) && line !== 'command' && !line.startsWith('<'))
    .map((line) =>
      [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2]!).map((word) => placeholder(word)),
    )
    .map((words) => words.filter((word) => word !== ''));
}

/** `<run>` and `[run]` stand for an argument. */
function placeholder(word: string): string {
  return /^[<[].*[>\]]$/.test(word) ? (word === '<workers>' ? '2' : 'something') : word;
}

function headings(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map((match) =>
    match[1]!
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .trim()
      .replace(/\s+/g, '-'),
  );
}

function decisions(): string[] {
  return readdirSync(join(root, 'docs/decisions'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/decisions/${name}`);
}
