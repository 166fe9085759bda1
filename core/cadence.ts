/**
 * When the next checkpoint is due. A checkpoint matters only when every member is lost at once; taking one costs a little
 * every time. The interval that costs least on the whole follows from what one costs and how often things are lost:
 *
 *   Young (1974)  tau = sqrt(2 C M)
 *   Daly (2006)   tau = sqrt(2 C M) (1 + sqrt(C / 2M) / 3 + (C / 2M) / 9) - C   for C < 2M, else M
 *
 * (J. W. Young, "A first order approximation to the optimum checkpoint interval", CACM 17(9); J. T. Daly, "A higher order
 * estimate of the optimum checkpoint interval for restart dumps", FGCS 22(3).) C is how long a save takes here, measured; as
 * it is written beside training, that is more than it really costs. M is the mean time between losses: an assumption by
 * the kind of machine that counts as one loss, and what the run has seen. Every loss counts as if it had been of all
 * members, because losses of machines in one place are not independent.
 *
 * Who says nothing gets a bound instead, as CheckFreq has one: the interval is so long that saving takes at most a small
 * share of the time, within limits.
 *
 * Invariants
 *  CD1 Pure: the clock is the caller's. The weights do not depend on when checkpoints are taken (P2).
 *  CD2 Where a person wants them by time or as often as pays, the first one that may be taken is: before it there is nothing
 *      to measure and nothing to go back to. With a bound it waits like those after it, for it would hold up the first step.
 */
import type { CadencePlan } from './plan.ts';

export interface CadenceSeen {
  readonly nowMs: number;
  /** Since when the task that asks is there; on the same clock. */
  readonly upSinceMs: number;
  readonly isEpochEnd: boolean;
  /** When the newest one was begun, by whoever leads or restored; absent when there is none yet. */
  readonly savedAtMs?: number;
  /** How long a save took here; absent before the first. */
  readonly saveMs?: number;
  /** Incidents that spent a recovery, and over how long. */
  readonly losses: number;
  readonly elapsedMs: number;
}

export function isCheckpointDue(cadence: CadencePlan, seen: CadenceSeen): boolean {
  if (cadence.kind === 'steps') return true;
  if (cadence.kind === 'share' && seen.isEpochEnd) return true;
  const sinceMs = seen.savedAtMs ?? (cadence.kind === 'share' ? seen.upSinceMs : undefined);
  return sinceMs === undefined || seen.nowMs - sinceMs >= checkpointIntervalMs(cadence, seen);
}

/** The least time between the beginnings of two checkpoints; 0 when the steps alone say it. */
export function checkpointIntervalMs(cadence: CadencePlan, seen: CadenceSeen): number {
  switch (cadence.kind) {
    case 'steps':
      return 0;
    case 'time':
      return cadence.everyMs;
    case 'share':
      return Math.min(Math.max((seen.saveMs ?? 0) / cadence.most, cadence.leastMs), cadence.mostMs);
    case 'auto': {
      // One that was restored or taken over says when, not what it costs: take one soon.
      if (seen.saveMs === undefined) return 0;
      return bestIntervalMs(seen.saveMs, meanTimeBetweenLossesMs(cadence.assumedMtbfMs, seen));
    }
  }
}

export function meanTimeBetweenLossesMs(
  assumedMs: number,
  { losses, elapsedMs }: Pick<CadenceSeen, 'losses' | 'elapsedMs'>,
): number {
  return (assumedMs + Math.max(0, elapsedMs)) / (1 + Math.max(0, losses));
}

/** Daly's estimate; of the work between two checkpoints, so that the time from one to the next is this and C. */
export function bestIntervalMs(costMs: number, mtbfMs: number): number {
  if (costMs <= 0) return 0;
  if (costMs >= 2 * mtbfMs) return mtbfMs + costMs;
  const x = costMs / (2 * mtbfMs);
  return Math.sqrt(2 * costMs * mtbfMs) * (1 + Math.sqrt(x) / 3 + x / 9);
}

/** Weight of the newest save in what a save is taken to cost. */
const smoothing = 0.3;

export function smoothedMs(before: number | undefined, newest: number): number {
  return before === undefined ? newest : smoothing * newest + (1 - smoothing) * before;
}
