/**
 * Task tokens as folders: whoever waits for an answer makes `tokens/<token>/`, any process may answer into it.
 *
 *   tokens/<token>/           the token is open; the one who waits removes it when it is answered or timed out
 *   tokens/<token>/answer.json  the answer, {output}; the first one wins
 *   tokens/<token>/beat         touched by heartbeats
 *
 * Minimal: the interpreter of the state machine extends this with opening, waiting and closing.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CuttlefishError } from '../../core/failure.ts';
import type { Clock, Workflow } from '../ports.ts';
import { publish } from './files.ts';
import { nameOf } from './names.ts';

export function createTokenWorkflow(stateDir: string, clock: Pick<Clock, 'now'>): Workflow {
  const folderOf = (token: string) => join(stateDir, 'tokens', nameOf(token));
  const temp = join(stateDir, 'tmp');
  const noHost = (what: string) =>
    new CuttlefishError({ kind: 'Unexpected', message: `cannot ${what}: there is no host in this process` });

  /** False when the token is not open, or no longer. */
  function write(token: string, name: string, value: unknown, absent: boolean): boolean {
    const folder = folderOf(token);
    if (!existsSync(folder) || existsSync(join(folder, 'answer.json'))) return false;
    try {
      return publish(join(folder, name), JSON.stringify(value), { temp, absent });
    } catch (error) {
      if (!existsSync(folder)) return false;
      throw error;
    }
  }

  return {
    start: async (name) => {
      throw noHost(`start the execution ${name}`);
    },
    stop: async (executionArn) => {
      throw noHost(`stop the execution ${executionArn}`);
    },
    succeedTask: async (token, output) => (write(token, 'answer.json', { output }, true) ? 'accepted' : 'gone'),
    heartbeatTask: async (token) => (write(token, 'beat', { atMs: clock.now() }, false) ? 'accepted' : 'gone'),
  };
}
