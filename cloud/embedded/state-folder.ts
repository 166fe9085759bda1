/**
 * The folder that holds the embedded world, `.cuttlefish/`: its layout and the check that this version made it.
 *
 *   VERSION      {"layout": 1}
 *   capacity.json  how much room there is, when a person says so (capacity.ts)
 *   bucket/      objects, under their keys
 *   table/       rows, see table.ts
 *   executions/  journals of the state machine
 *   tokens/      answers to task tokens
 *   tasks/       one folder a task: what it is, its process, its log, how it ended
 *   launches/    client tokens and what came of them
 *   locks/       who drives which run
 *   inflated/    data files as tasks read them, see inflated.ts; may be removed at any time
 *   tmp/         files that are being written
 *
 * Invariants
 *  S1  A folder of another layout is never written to.
 *  S2  A folder that is not ours and not empty is never taken over.
 *  S3  Of several processes that create one folder at the same time all succeed.
 *  S4  A folder that cannot be made or written is refused in words, before anything is started in it.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CuttlefishError } from '../../core/failure.ts';
import { capacityFile } from './capacity.ts';
import { attempt, codeOf, makeFolder, publish, refusalOf } from './files.ts';

export const layout = 1;

const folders = ['bucket', 'table', 'executions', 'tokens', 'tasks', 'launches', 'locks', 'inflated', 'tmp'] as const;
/** Longer than any write takes: what is older was left by a killed process. */
const forgottenTempMs = 60 * 60_000;

export interface StateFolder extends Readonly<Record<(typeof folders)[number], string>> {
  readonly root: string;
}

export function openStateFolder(folder: string): StateFolder {
  const root = resolve(folder);
  const version = join(root, 'VERSION');
  makeRoot(root);
  if (readVersion(version) === undefined) {
    refuseForeign(root);
    attempt(root, () => makeFolder(join(root, 'tmp')));
    publish(version, `${JSON.stringify({ layout })}\n`, { temp: join(root, 'tmp'), absent: true });
  }
  const found = readVersion(version);
  if (found !== layout) {
    throw conflict(
      `state folder ${root} has layout ${found ?? 'unknown'}, this version of cuttlefish reads layout ${layout}: use the version that made it, choose another folder with --state, or remove the folder to start anew (its runs are lost)`,
    );
  }
  const paths = Object.fromEntries(folders.map((name) => [name, join(root, name)])) as Omit<StateFolder, 'root'>;
  for (const path of Object.values(paths)) attempt(path, () => makeFolder(path));
  removeForgotten(paths.tmp);
  return { root, ...paths };
}

/** S4. For who is about to write: a process that only reads takes a folder that is read-only as it is. */
export function requireWritable({ root, tmp }: StateFolder): void {
  const probe = join(tmp, `probe-${process.pid}`);
  try {
    writeFileSync(probe, 'x');
    rmSync(probe, { force: true });
  } catch (error) {
    rmSync(probe, { force: true });
    throw conflict(
      `the state folder ${root} cannot be written: ${refusalOf(error)}; mend that, or choose another with --state`,
    );
  }
}

/** False when somebody has removed it, or put another in its place. */
export function isThere({ root }: StateFolder): boolean {
  return existsSync(join(root, 'VERSION'));
}

function makeRoot(root: string): void {
  try {
    makeFolder(root);
  } catch (error) {
    const why = ['EEXIST', 'ENOTDIR'].includes(codeOf(error) ?? '')
      ? 'it is a file, or lies below one'
      : refusalOf(error);
    throw conflict(`there can be no state folder ${root}: ${why}; choose another with --state`);
  }
}

function readVersion(path: string): unknown {
  const text = attempt(path, () => readFileSync(path, 'utf8'), ['ENOENT']);
  if (text === undefined) return undefined;
  try {
    return (JSON.parse(text) as { layout?: unknown }).layout ?? null;
  } catch {
    return JSON.stringify(text.slice(0, 40));
  }
}

/** S2. What a user may make before the first run, to drop a config in or to limit it, is no sign of another owner. */
function refuseForeign(root: string): void {
  const known: readonly string[] = [...folders, capacityFile, 'control.log'];
  const foreign = readdirSync(root).filter((name) => !known.includes(name) && name !== 'VERSION');
  if (foreign.length === 0) return;
  throw conflict(
    `${root} is not a state folder: it has no VERSION file but holds ${foreign.slice(0, 3).join(', ')}${foreign.length > 3 ? ', ...' : ''}; choose an empty or a new folder with --state`,
  );
}

function conflict(message: string): CuttlefishError {
  return new CuttlefishError({ kind: 'Conflict', message });
}

function removeForgotten(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const age = attempt(path, () => Date.now() - statSync(path).mtimeMs, ['ENOENT']);
    if (age !== undefined && age > forgottenTempMs) rmSync(path, { recursive: true, force: true });
  }
}
