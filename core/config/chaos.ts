/**
 * The sentences of the `chaos` list and of `--chaos`, parsed:
 *
 *   kill worker 1 at step 50          pause worker 0 at step 20 for 5s       interrupt worker 1 at step 7
 *   kill parameter-server 0 at step 9   kill leader at step 3                kill all at step 30
 *
 * `kill` is SIGKILL, `interrupt` is the two-minute notice (SIGTERM), `pause` is a process that hangs for a while.
 */
import type { ChaosPlan } from '../plan.ts';
import { parseDuration } from './duration.ts';

export const chaosAccepted =
  '"kill worker 1 at step 50", "pause worker 0 at step 20 for 5s", "interrupt worker 1 at step 7", "kill parameter-server 0 at step 9", "kill leader at step 3" or "kill all at step 30"';

export interface ChaosInvalid {
  readonly kind: 'invalid';
  readonly message: string;
  readonly accepted: string;
}

const sentence =
  /^(\w+)\s+(?:(worker|parameter-server)\s+(\d{1,4})|(leader|all))\s+at\s+step\s+(\d{1,12})(?:\s+for\s+(\S+))?$/;

export function parseChaos(text: string): ChaosPlan | ChaosInvalid {
  const match = sentence.exec(text.trim().replace(/\s+/g, ' '));
  if (!match) return invalid(`"${text.slice(0, 80)}" is not a sentence of the chaos grammar`);
  const [, action, role, index, group, step, duration] = match;
  if (action !== 'kill' && action !== 'pause' && action !== 'interrupt') {
    return invalid(`"${action}" is not something that can be done to a task (kill, pause or interrupt)`);
  }
  const atStep = Number(step);
  if (atStep < 1) return invalid(`"${text}" names step ${atStep}, the first step is 1`);
  const target: ChaosPlan['target'] =
    role === 'worker' || role === 'parameter-server'
      ? { kind: role, index: Number(index) }
      : { kind: group === 'all' ? 'all' : 'leader' };

  if (action !== 'pause') {
    if (duration !== undefined) return invalid(`"for ${duration}" goes with pause only, not with ${action}`);
    return { action, target, atStep };
  }
  if (duration === undefined) return invalid(`"${text}" does not say for how long, e.g. "for 5s"`);
  const forMs = parseDuration(duration);
  if (forMs === undefined || forMs < 1 || forMs > 86_400_000) {
    return invalid(`"${duration}" is not a duration from 1ms to 1d, such as 500ms, 5s, 2m or 1h`);
  }
  return { action, target, atStep, forMs };
}

export function isChaosInvalid(parsed: ChaosPlan | ChaosInvalid): parsed is ChaosInvalid {
  return 'kind' in parsed;
}

function invalid(message: string): ChaosInvalid {
  return { kind: 'invalid', message, accepted: chaosAccepted };
}
