/**
 * Who may import whom. The rules are the drawing in ARCHITECTURE.md, one row a folder; a file that no row covers fails,
 * so that a new folder has to say where it stands.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Rule {
  /** Files it is about; the first rule that matches counts. */
  readonly files: RegExp;
  /** Own files it may import, and packages or `node:` modules. */
  readonly own: RegExp;
  readonly packages: RegExp;
}

/** Computing, not touching: these look at nothing outside the process. */
const pureNode = 'node:(crypto|zlib|util|buffer|events|assert)';
const sdk = '@aws-sdk/.*';
const tensorflow = '@tensorflow/.*';

const rules: readonly Rule[] = [
  { files: /^core\//, own: /^core\//, packages: /^(zod|yaml|node:crypto)$/ },
  { files: /^cloud\/[^/]+\.ts$/, own: /^(core\/|cloud\/[^/]+\.ts$)/, packages: /^node:(crypto|zlib)$/ },
  {
    files: /^cloud\/aws\//,
    own: /^(core\/|cloud\/[^/]+\.ts$|cloud\/aws\/)/,
    packages: new RegExp(`^(${sdk}|@smithy/.*|${pureNode}|node:(https?|timers/promises|perf_hooks))$`),
  },
  {
    files: /^cloud\/embedded\//,
    own: /^(core\/|cloud\/[^/]+\.ts$|cloud\/embedded\/)/,
    packages: /^(jsonata|yaml|node:.*)$/,
  },
  // The composition root of the functions: the only one of them that knows AWS.
  { files: /^functions\/handlers\.ts$/, own: /^(core|functions)\/|^cloud\/([^/]+\.ts$|aws\/)/, packages: /^node:.*$/ },
  {
    files: /^functions\//,
    own: /^(core\/|cloud\/[^/]+\.ts$|functions\/)/,
    packages: new RegExp(`^(${pureNode})$`),
  },
  // The composition root of the task: the same bundle in the container image and on the laptop.
  { files: /^container\/main\.ts$/, own: /^(core|cloud|container)\//, packages: /^node:.*$/ },
  {
    files: /^container\/engine\//,
    own: /^(core\/|cloud\/[^/]+\.ts$|container\/(engine|data)\/)/,
    packages: new RegExp(`^(${tensorflow}|koffi|${pureNode}|node:(module|path|url|fs|fs/promises|v8|worker_threads))$`),
  },
  {
    files: /^container\/wire[^/]*(\.ts$|\/)/,
    own: /^(core\/|cloud\/[^/]+\.ts$|container\/)/,
    packages: new RegExp(`^(${pureNode}|node:(net|tls))$`),
  },
  {
    files: /^container\//,
    own: /^(core\/|cloud\/[^/]+\.ts$|container\/)/,
    packages: new RegExp(`^(${pureNode}|node:(os|perf_hooks))$`),
  },
  {
    files: /^cli\//,
    own: /^(core\/|cloud\/|functions\/|cli\/|container\/(engine|data)\/)/,
    packages: /^(commander|node:.*)$/,
  },
];

const sources = ['core', 'cloud', 'functions', 'container', 'cli'].flatMap((folder) => filesUnder(folder));

describe('imports follow the arrows of the architecture', () => {
  test.each(sources)('%s', (file) => {
    const rule = rules.find((candidate) => candidate.files.test(file));
    expect(rule, `${file} is covered by no rule of test/unit/arrows.test.ts`).toBeDefined();
    for (const specifier of importsOf(file)) {
      if (specifier.startsWith('.')) {
        expect(specifier, `${file}: relative imports carry their extension`).toMatch(/\.(ts|json)$/);
        const target = relative(root, join(root, file, '..', specifier));
        expect(target, `${file} may not import ${target}`).toMatch(rule!.own);
      } else {
        expect(specifier, `${file} may not import ${specifier}`).toMatch(rule!.packages);
      }
    }
  });

  test('cloud/embedded and cloud/aws do not know each other, and only aws knows the SDK', () => {
    for (const file of sources) {
      const others = importsOf(file).filter((specifier) => specifier.startsWith('@aws-sdk/'));
      if (!file.startsWith('cloud/aws/')) expect(others, file).toEqual([]);
    }
  });

  test('the clock and randomness come from the world: core reads neither', () => {
    for (const file of sources.filter((name) => name.startsWith('core/'))) {
      const code = withoutComments(readFileSync(join(root, file), 'utf8'));
      expect(code, file).not.toMatch(/\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bperformance\.now\(|\bprocess\./);
    }
  });
});

describe('the reader of imports', () => {
  test('sees static, type, re-exported and dynamic imports, and none in comments', () => {
    const text = [
      "import { a } from './a.ts';",
      "import type { B } from './b.ts';",
      "export * from './c.ts';",
      "const d = await import('./d.ts');",
      "import 'e';",
      "// import { f } from './f.ts';",
      "/* import { g } from './g.ts'; */",
      'import {\n  h,\n  i,\n} from "./h.ts";',
    ].join('\n');
    expect(specifiersIn(text)).toEqual(['./a.ts', './b.ts', './c.ts', './d.ts', 'e', './h.ts']);
  });
});

function importsOf(file: string): string[] {
  return specifiersIn(readFileSync(join(root, file), 'utf8'));
}

function specifiersIn(text: string): string[] {
  const pattern = /(?:\bfrom|\bimport)\s*\(?\s*(['"])([^'"\n]+)\1/g;
  return [...withoutComments(text).matchAll(pattern)].map((match) => match[2]!);
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
}

function filesUnder(folder: string): string[] {
  return readdirSync(join(root, folder)).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(join(root, path)).isDirectory()) return filesUnder(path);
    return path.endsWith('.ts') ? [path] : [];
  });
}
