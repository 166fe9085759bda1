/** Ids and log of a process on AWS: one JSON line on standard output for each log event. */
import { randomBytes } from 'node:crypto';
import { isLogged, levelOf } from '../log-level.ts';
import type { Ids, Log } from '../ports.ts';
import type { Environment } from './settings.ts';

export const systemIds: Ids = { hex: (bytes) => randomBytes(bytes).toString('hex') };

export type Line = (text: string) => void;
export const standardOutput: Line = (text) => process.stdout.write(`${text}\n`);

/** JSON.stringify escapes line ends and control characters, so no value can forge a second line. */
export function jsonLog(env: Environment, line: Line = standardOutput): Log {
  const least = levelOf(env);
  const who = {
    ...(env.AWS_LAMBDA_FUNCTION_NAME === undefined ? {} : { function: env.AWS_LAMBDA_FUNCTION_NAME }),
    ...(env.CUTTLEFISH_RUN_ID === undefined ? {} : { runId: env.CUTTLEFISH_RUN_ID }),
    ...(env.CUTTLEFISH_ROLE === undefined ? {} : { role: env.CUTTLEFISH_ROLE }),
  };
  return {
    write(level, event, detail) {
      if (!isLogged(level, least)) return;
      line(JSON.stringify({ at: new Date().toISOString(), level, event, ...who, ...detail }));
    },
  };
}
