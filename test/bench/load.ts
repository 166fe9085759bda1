/** How long a function takes to load, beside an empty one: what a cold start adds to Lambda's own. One process each time. */
import { execFile } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Measure } from './measures.ts';

const execute = promisify(execFile);

async function loadMs(path: string): Promise<number> {
  const script = `const from = performance.now(); await import(${JSON.stringify(path)}); console.log(performance.now() - from);`;
  const { stdout } = await execute(process.execPath, ['--input-type=module', '--eval', script]);
  return Number(stdout);
}

/** Every function that was built, and one that does nothing. */
export async function loadTimes(root: string, folder: string): Promise<readonly Measure[]> {
  const empty = join(folder, 'empty.mjs');
  writeFileSync(empty, 'export const handler = async () => undefined;\n');
  const built = join(root, 'dist/functions');
  const modules = readdirSync(built).map((name) => [name, join(built, name, 'index.mjs')] as const);
  const measures: Measure[] = [];
  for (const [name, path] of [['an empty handler', empty] as const, ...modules]) {
    measures.push({ name: `load: ${name}`, unit: 'ms', value: await loadMs(path) });
  }
  return measures;
}
