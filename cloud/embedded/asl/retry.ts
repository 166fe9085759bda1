/**
 * What to do about an error in a state: wait and try again, go to a catcher, or give up. Pure: chance is an argument.
 *
 * Invariants
 *  Y1  The first retrier that matches decides; when its attempts are used up the catchers are asked, not the next retrier.
 *  Y2  Attempts count per retrier and per visit of the state; leaving the state forgets them.
 *  Y3  The delay before attempt n is min(interval * rate^(n-1), cap); FULL jitter takes a uniform part of it.
 */
import type { Catcher, Retrier, State } from './definition.ts';
import { matches } from './errors.ts';

export type Reaction =
  | { readonly kind: 'retry'; readonly retrier: number; readonly attempt: number; readonly delayMs: number }
  | { readonly kind: 'catch'; readonly catcher: Catcher }
  | { readonly kind: 'fail' };

export function react(state: State, error: string, tried: readonly number[], chance: () => number): Reaction {
  const { Retry: retriers = [], Catch: catchers = [] } = 'Retry' in state || 'Catch' in state ? state : {};
  const index = retriers.findIndex((retrier) => matches(retrier.ErrorEquals, error));
  const retrier = retriers[index];
  if (retrier !== undefined) {
    const attempt = (tried[index] ?? 0) + 1;
    if (attempt <= (retrier.MaxAttempts ?? 3)) {
      return { kind: 'retry', retrier: index, attempt, delayMs: retryDelayMs(retrier, attempt, chance) };
    }
  }
  const catcher = catchers.find((candidate) => matches(candidate.ErrorEquals, error));
  return catcher === undefined ? { kind: 'fail' } : { kind: 'catch', catcher };
}

/** `attempt` counts from 1; `chance` gives a number in [0, 1). */
export function retryDelayMs(retrier: Retrier, attempt: number, chance: () => number): number {
  const seconds = Math.min(
    (retrier.IntervalSeconds ?? 1) * (retrier.BackoffRate ?? 2) ** (attempt - 1),
    retrier.MaxDelaySeconds ?? Number.POSITIVE_INFINITY,
  );
  return Math.round(seconds * 1000 * (retrier.JitterStrategy === 'FULL' ? chance() : 1));
}
