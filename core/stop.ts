/**
 * When training ends before its last epoch: a pure function of the finished epochs, so a new leader decides the same.
 */
import type { StopPlan } from './plan.ts';
import type { EpochRow } from './run.ts';

export type Stop = { readonly stop: false } | { readonly stop: true; readonly why: string };

/** `epochs` in order, from the first to the one that has just ended. */
export function shouldStop(rules: readonly StopPlan[], epochs: readonly Pick<EpochRow, 'loss' | 'accuracy'>[]): Stop {
  for (const rule of rules) {
    const values = epochs.map((epoch) => (rule.metric === 'loss' ? epoch.loss : (epoch.accuracy ?? 0)));
    const last = values.at(-1);
    if (last === undefined) continue;
    // Counted so that greater is better for both metrics.
    const sign = rule.metric === 'loss' ? -1 : 1;
    if (rule.reaches !== undefined && sign * last >= sign * rule.reaches) {
      return { stop: true, why: `${rule.metric} ${round(last)} has reached ${rule.reaches}` };
    }
    if (rule.patience !== undefined && epochsWithoutGain(values, sign, rule.minDelta) >= rule.patience) {
      return { stop: true, why: `${rule.metric} has not improved by ${rule.minDelta} for ${rule.patience} epochs` };
    }
  }
  return { stop: false };
}

function epochsWithoutGain(values: readonly number[], sign: number, minDelta: number): number {
  let best = Number.NEGATIVE_INFINITY;
  let since = 0;
  for (const value of values) {
    const gained = sign * value > best + minDelta;
    since = gained ? 0 : since + 1;
    if (gained) best = sign * value;
  }
  return since;
}

const round = (value: number): number => Math.round(value * 10_000) / 10_000;
