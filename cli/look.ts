/**
 * The state folder as commands see it that start nothing: `status`, `logs` and `cancel`. A folder that is not there is
 * not made; one of another version is refused when it is opened.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileLog } from '../cloud/embedded/log.ts';
import { type EmbeddedWorld, openWorld } from '../cloud/embedded/world.ts';
import type { Log } from '../cloud/ports.ts';
import { type Phase, type RunRow, terminalPhases } from '../core/run.ts';
import { usageError } from './output.ts';
import { absoluteStateDir } from './paths.ts';

export async function look(given: string): Promise<EmbeddedWorld> {
  const stateDir = absoluteStateDir(given);
  if (!existsSync(stateDir)) throw usageError(`there are no runs: the state folder ${stateDir} does not exist`);
  return openWorld({ stateDir, log: controlLog(stateDir) });
}

/** Log lines of the functions, of every process that drives runs of this folder. */
export function controlLogPath(stateDir: string): string {
  return join(stateDir, 'control.log');
}

export function controlLog(stateDir: string): Log {
  return fileLog(controlLogPath(stateDir), { context: { task: 'control' } });
}

export interface Driver {
  readonly pid: number;
  readonly sinceMs: number;
}

export async function driverOf(world: EmbeddedWorld, runId: string): Promise<Driver | undefined> {
  return world.lock.holder(lockName(runId));
}

/** Who drives a run is a lock of this name. */
export function lockName(runId: string): string {
  return `run/${runId}`;
}

export function hasEnded(run: Pick<RunRow, 'phase'>): boolean {
  return terminalPhases.includes(run.phase);
}

/** The phase in words: a run that no process drives goes on only when somebody resumes it. */
export function phaseInWords(phase: Phase, driver: Driver | undefined): string {
  return terminalPhases.includes(phase) || driver !== undefined ? phase : `interrupted (was ${phase})`;
}
