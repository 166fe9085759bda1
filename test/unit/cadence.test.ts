import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bestIntervalMs,
  type CadenceSeen,
  checkpointIntervalMs,
  isCheckpointDue,
  meanTimeBetweenLossesMs,
  smoothedMs,
} from '../../core/cadence.ts';

const hour = 3_600_000;
const seen = (change: Partial<CadenceSeen> = {}): CadenceSeen => ({
  nowMs: 100_000,
  upSinceMs: 80_000,
  isEpochEnd: false,
  savedAtMs: 90_000,
  saveMs: 50,
  losses: 0,
  elapsedMs: 0,
  ...change,
});

/** Share of the time that is lost with an interval: to saving, and to what has to be done again after a loss. */
const waste = (workMs: number, costMs: number, mtbfMs: number): number =>
  1 - workMs / (mtbfMs * (Math.exp((workMs + costMs) / mtbfMs) - 1));

describe('the best interval', () => {
  test('is Young’s when a save is cheap', () => {
    expect(bestIntervalMs(200, 24 * hour)).toBeCloseTo(Math.sqrt(2 * 200 * 24 * hour), -3);
  });

  test('wastes no more than any other: by Daly’s model of restarts', () => {
    const cost = fc.integer({ min: 1, max: 60_000 });
    const ratio = fc.double({ min: 10, max: 100_000, noNaN: true });
    fc.assert(
      fc.property(cost, ratio, fc.double({ min: 0.2, max: 5, noNaN: true }), (costMs, times, factor) => {
        const mtbfMs = costMs * times;
        const best = bestIntervalMs(costMs, mtbfMs) - costMs;
        expect(waste(best, costMs, mtbfMs)).toBeLessThanOrEqual(waste(best * factor, costMs, mtbfMs) + 1e-4);
      }),
    );
  });

  test('grows with what a save costs and with how seldom things are lost, and is always finite', () => {
    const ms = fc.integer({ min: 1, max: 10 * hour });
    fc.assert(
      fc.property(ms, ms, (costMs, mtbfMs) => {
        const best = bestIntervalMs(costMs, mtbfMs);
        expect(Number.isFinite(best) && best > 0).toBe(true);
        expect(bestIntervalMs(costMs + 1, mtbfMs)).toBeGreaterThan(best * 0.9);
        expect(bestIntervalMs(costMs, mtbfMs + hour)).toBeGreaterThanOrEqual(best);
      }),
    );
  });

  test('when losses come faster than saves end, is as long as can be hoped for', () => {
    expect(bestIntervalMs(10_000, 1000)).toBe(11_000);
    expect(bestIntervalMs(0, hour)).toBe(0);
  });
});

describe('the mean time between losses', () => {
  test('begins with the assumption, and is what was seen in the end', () => {
    expect(meanTimeBetweenLossesMs(hour, { losses: 0, elapsedMs: 0 })).toBe(hour);
    expect(meanTimeBetweenLossesMs(hour, { losses: 1, elapsedMs: hour })).toBe(hour);
    expect(meanTimeBetweenLossesMs(hour, { losses: 99, elapsedMs: 99 * 60_000 })).toBeCloseTo(95_400, -2);
    expect(meanTimeBetweenLossesMs(hour, { losses: 0, elapsedMs: 9 * hour })).toBe(10 * hour);
    // A clock that was set back is no reason for a negative time.
    expect(meanTimeBetweenLossesMs(hour, { losses: 0, elapsedMs: -1 })).toBe(hour);
  });
});

describe('is due', () => {
  const auto = { kind: 'auto', assumedMtbfMs: hour } as const;
  const timed = { kind: 'time', everyMs: 10_000 } as const;

  test('at every step that the steps name', () => {
    expect(isCheckpointDue({ kind: 'steps' }, seen({ savedAtMs: 99_999 }))).toBe(true);
  });

  test('when the time is up', () => {
    expect(isCheckpointDue(timed, seen())).toBe(true);
    expect(isCheckpointDue(timed, seen({ nowMs: 99_999 }))).toBe(false);
  });

  test('at once while there is none (CD2)', () => {
    for (const cadence of [auto, timed]) {
      const { savedAtMs: _, ...none } = seen();
      expect(isCheckpointDue(cadence, none)).toBe(true);
    }
    const { saveMs: _, ...unmeasured } = seen({ savedAtMs: 99_999 });
    expect(isCheckpointDue(auto, unmeasured)).toBe(true);
  });

  test('so seldom that saving takes no more than its share of the time, within limits', () => {
    const share = { kind: 'share', most: 0.01, leastMs: 10_000, mostMs: 900_000 } as const;
    expect(checkpointIntervalMs(share, seen({ saveMs: 700 }))).toBe(70_000);
    expect(checkpointIntervalMs(share, seen({ saveMs: 50 }))).toBe(10_000);
    expect(checkpointIntervalMs(share, seen({ saveMs: 60_000 }))).toBe(900_000);
    expect(isCheckpointDue(share, seen())).toBe(true);
    expect(isCheckpointDue(share, seen({ nowMs: 99_999 }))).toBe(false);
    expect(isCheckpointDue(share, seen({ nowMs: 99_999, isEpochEnd: true }))).toBe(true);
    // The first is no exception: nothing is held up by it at the beginning.
    const { savedAtMs: _, saveMs: __, ...none } = seen();
    expect(isCheckpointDue(share, { ...none, nowMs: 89_999 })).toBe(false);
    expect(isCheckpointDue(share, { ...none, nowMs: 90_000 })).toBe(true);
  });

  test('sooner where more is lost, later where saves are dear', () => {
    const calm = checkpointIntervalMs(auto, seen());
    expect(calm).toBeCloseTo(Math.sqrt(2 * 50 * hour), -2);
    expect(checkpointIntervalMs(auto, seen({ losses: 20, elapsedMs: 60_000 }))).toBeLessThan(calm / 4);
    expect(checkpointIntervalMs(auto, seen({ saveMs: 5000 }))).toBeGreaterThan(9 * calm);
  });

  test('what a save costs follows what is measured', () => {
    expect(smoothedMs(undefined, 100)).toBe(100);
    expect(smoothedMs(100, 200)).toBe(130);
  });
});
