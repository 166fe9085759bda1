/** How much a process logs, in every world: CUTTLEFISH_LOG_LEVEL, `info` when it is absent or no level. */
import type { LogLevel } from './ports.ts';

/** Least first. */
const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

export function levelOf(environment: Readonly<Record<string, string | undefined>>): LogLevel {
  return levels.find((level) => level === environment.CUTTLEFISH_LOG_LEVEL) ?? 'info';
}

export function isLogged(level: LogLevel, least: LogLevel): boolean {
  return levels.indexOf(level) >= levels.indexOf(least);
}
