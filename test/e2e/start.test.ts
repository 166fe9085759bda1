/** The built command and its code cache: used when it fits, and never what a result depends on. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { packageRoot } from '../../cli/paths.ts';

const root = packageRoot();
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
let folder: string | undefined;

afterEach(() => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

/** A copy of the built command, to be damaged. */
function copy(): { readonly main: string; readonly program: string; readonly cache: string } {
  folder = mkdtempSync(join(tmpdir(), 'cuttlefish-start-'));
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  cpSync(join(root, 'dist/cli'), join(folder, 'dist/cli'), { recursive: true });
  const file = (name: string) => join(folder as string, 'dist/cli', name);
  return { main: file('main.js'), program: file('program.cjs'), cache: file('program.cache') };
}

/** What the command printed, and whether it had used the code cache. */
function start(main: string): { readonly printed: string; readonly cached: boolean } {
  const script = `
    process.argv.splice(1, Infinity, 'cuttlefish', '--version');
    const { usesCodeCache } = await import(${JSON.stringify(pathToFileURL(main).href)});
    process.stdout.write(\`\${usesCodeCache} \`);`;
  const printed = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  return { printed: printed.replace(/true|false/, '').trim(), cached: printed.includes('true') };
}

describe('the code cache of the command', () => {
  it('is used as it was built', () => {
    expect(start(copy().main)).toEqual({ printed: version, cached: true });
  });

  it.each<[string, (files: ReturnType<typeof copy>) => void]>([
    ['was made of another script', ({ program }) => writeFileSync(program, `${readFileSync(program, 'utf8')}\n`)],
    ['was made of a script of the same length', ({ program }) => writeFileSync(program, swapped(program))],
    ['is cut short', ({ cache }) => truncateSync(cache, 5000)],
    ['is damaged', ({ cache }) => writeFileSync(cache, flipped(cache))],
    ['is empty', ({ cache }) => truncateSync(cache, 0)],
    ['is not there', ({ cache }) => rmSync(cache)],
  ])('is left alone when it %s, and nothing else changes (ST1)', (_, damage) => {
    const files = copy();
    damage(files);
    expect(start(files.main)).toEqual({ printed: version, cached: false });
  });
});

const swapped = (path: string): string => readFileSync(path, 'utf8').replace('Trains neural', 'Drains neural');

function flipped(path: string): Buffer {
  const bytes = readFileSync(path);
  const at = bytes.length >> 1;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
}
