/**
 * From a file and the options of the command line to the one text that a run is made of. What is wrong with the text is
 * core/config's to say; this file owns what is wrong with the file, and where relative paths lead.
 *
 * Invariants
 *  N1  Every problem of a config is told at once, before anything is started (P7).
 *  N2  The text that comes out means the same from every working folder: relative paths in it are made absolute, so that
 *      `resume` finds the data from anywhere.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { applyOverrides, type Overrides } from '../core/config/overrides.ts';
import { parseConfig } from '../core/config/parse.ts';
import { maxConfigBytes } from '../core/config/scan.ts';
import type { Config } from '../core/config/schema.ts';
import { CuttlefishError } from '../core/failure.ts';
import { usageError } from './output.ts';
import type { OverrideOptions } from './program.ts';

export interface ReadConfig {
  readonly text: string;
  readonly config: Config;
  /** The file's own name, for messages. */
  readonly source: string;
}

/** The text of the file. At most a little more than a config may have is read, whatever the file is. */
export function readConfigText(path: string): string {
  let file: number;
  try {
    if (statSync(path).isDirectory()) throw usageError(`${path} is a folder; accepted: a YAML file`);
    file = openSync(path, 'r');
  } catch (error) {
    if (error instanceof CuttlefishError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw usageError(code === 'ENOENT' ? `there is no file ${path}` : `cannot read ${path}: ${message}`);
  }
  try {
    const buffer = Buffer.alloc(maxConfigBytes + 1024);
    let length = 0;
    for (let read = -1; read !== 0 && length < buffer.length; length += read) {
      read = readSync(file, buffer, length, buffer.length - length, null);
    }
    return buffer.toString('utf8', 0, length);
  } finally {
    closeSync(file);
  }
}

/** Throws ConfigInvalid with every issue. */
export function readConfig(path: string, options: OverrideOptions, launch: 'local' | undefined): ReadConfig {
  const written = applyOverrides(readConfigText(path), overridesOf(options, launch));
  const first = check(written, path);
  const text = applyOverrides(written, absolutePaths(first));
  return { text, config: text === written ? first : check(text, path), source: path };
}

/** N2. */
function absolutePaths({ data, network }: Config): Overrides {
  const dataPath = 'path' in data ? absolute(data.path) : undefined;
  const testPath = 'testPath' in data ? absolute(data.testPath) : undefined;
  const model = absolute(network.model);
  return {
    ...(dataPath === undefined ? {} : { dataPath }),
    ...(testPath === undefined ? {} : { testPath }),
    ...(model === undefined ? {} : { model }),
  };
}

/** Undefined when it is absolute already, or a URI. */
function absolute(path: string | undefined): string | undefined {
  const isRelative = path !== undefined && !isAbsolute(path) && !/^[a-z][a-z0-9+.-]*:\/\//i.test(path);
  return isRelative ? resolve(path) : undefined;
}

function check(text: string, source: string): Config {
  const parsed = parseConfig(text, source);
  if (parsed.kind === 'valid') return parsed.config;
  throw new CuttlefishError({ kind: 'ConfigInvalid', source: parsed.source, issues: parsed.issues });
}

export function overridesOf(options: OverrideOptions, launch: 'local' | undefined): Overrides {
  const { data, workers, epochs, parameterServers, chaos } = options;
  return {
    ...(data === undefined ? {} : { dataPath: resolve(data) }),
    ...(workers === undefined ? {} : { workers: workersOf(workers) }),
    ...(epochs === undefined ? {} : { epochs }),
    ...(parameterServers === undefined ? {} : { parameterServers }),
    ...(chaos.length === 0 ? {} : { chaos }),
    ...(launch === undefined ? {} : { launch }),
  };
}

/** What to say when the workers have more threads on this machine than it has processors. */
export function crowded({ cluster: { worker, workers } }: Config, processors: number): string | undefined {
  const { threads = 1 } = worker;
  if (threads === 1 || threads * workers.max <= processors) return undefined;
  return `${workers.max} worker(s) with ${threads} threads each are more than the ${processors} processor(s) of this machine: they will wait for each other`;
}

/** `4` aims at four and goes on with fewer, as in a config; `2:4` never goes below two. */
export function workersOf(text: string): { readonly min: number; readonly max: number } {
  const [first, second] = text.split(':').map(Number);
  return second === undefined ? { min: 1, max: first ?? 1 } : { min: first ?? 1, max: second };
}
