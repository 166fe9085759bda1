/** Where things are on this machine: the package, its bundles, the state folder. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const packageName = 'cuttlefish-training';

/** The folder of package.json, found from wherever this file was bundled to. */
export function packageRoot(from = dirname(fileURLToPath(import.meta.url))): string {
  for (let folder = from; ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).name === packageName) return folder;
    if (dirname(folder) === folder) throw new Error(`cannot find the ${packageName} package above ${from}`);
  }
}

export interface Paths {
  readonly root: string;
  /** What the build made of statemachines/train.asl.yaml. */
  readonly definition: string;
  readonly taskEntry: string;
}

export function packagePaths(): Paths {
  const root = packageRoot();
  return {
    root,
    definition: join(root, 'dist', 'train.asl.json'),
    // Another program in its place is how one sees what happens when tasks misbehave.
    taskEntry: process.env.CUTTLEFISH_TASK_ENTRY ?? join(root, 'dist', 'task', 'main.js'),
  };
}

export function defaultStateDir(): string {
  return process.env.CUTTLEFISH_STATE_DIR ?? '.cuttlefish';
}

/** What a person types to go on: with --state, unless it is the folder that is taken without. */
export function commandFor(verb: string, runId: string, stateDir: string): string {
  const option = resolve(defaultStateDir()) === stateDir ? '' : ` --state ${quoted(stateDir)}`;
  return `cuttlefish ${verb} ${runId}${option}`;
}

function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

export function absoluteStateDir(given: string): string {
  return resolve(given);
}
