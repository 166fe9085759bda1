/**
 * Structured logs: one JSON object a line, to a file or to standard error.
 *
 * Invariants
 *  L1  A line is written with one call, so lines of several processes that append to one file do not mix.
 *  L2  A log that cannot be written never stops the work it is about.
 */
import { appendFileSync } from 'node:fs';
import { isLogged } from '../log-level.ts';
import type { Clock, Log, LogLevel } from '../ports.ts';

export interface LogOptions {
  /** Lines below this level are left out; `info` when absent. */
  readonly level?: LogLevel;
  /** Fields that every line carries, e.g. the run and the task. */
  readonly context?: Readonly<Record<string, unknown>>;
  readonly clock?: Pick<Clock, 'now'>;
}

/** The general form: `write` gets each finished line without its newline. */
export function lineLog(write: (line: string) => void, options: LogOptions = {}): Log {
  const least = options.level ?? 'info';
  const now = () => new Date(options.clock?.now() ?? Date.now()).toISOString();
  return {
    write: (level, event, detail) => {
      if (!isLogged(level, least)) return;
      try {
        write(JSON.stringify({ at: now(), level, event, ...options.context, ...detail }));
      } catch {
        // L2: a full disk or a detail that JSON cannot hold is no reason to stop training.
      }
    },
  };
}

export const fileLog = (path: string, options: LogOptions = {}): Log =>
  lineLog((line) => appendFileSync(path, `${line}\n`), options);

export const stderrLog = (options: LogOptions = {}): Log =>
  lineLog((line) => process.stderr.write(`${line}\n`), options);

export const silentLog: Log = { write: () => {} };
