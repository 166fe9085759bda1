/**
 * Bounds the history of the execution. Step Functions ends a Standard execution at 25,000 events, and nothing can catch
 * that; so the number of Watch turns is bounded before the run starts, and with many epochs a turn spans several.
 *
 * Invariants
 *  B1  worstCaseEvents <= 20,000 for every plan that is made.
 *  B2  maxTurns is at least one turn for each thing that can happen within the budgets of the run.
 */
import type { HistoryPlan } from './plan.ts';

export const hardLimitEvents = 25_000;
/** Retries of a state add events that no plan can foresee: a fifth is kept for them. */
const limitEvents = 20_000;
/** Validate, Plan, Scale, Launch, Finish or Fail, Release, and the start and end of the execution. */
const fixedEvents = 60;
/** Watch 6 (a callback task), Decide 5 (a Lambda task), Choice 2. */
const turnEvents = 13;
/** Scale and Launch, with a state between them, when a turn decides to launch. */
const launchEvents = 14;
const fixedTransitions = 8;
const turnTransitions = 3;
const launchTransitions = 3;

export interface HistoryInput {
  readonly epochs: number;
  readonly tasks: number;
  readonly maxRecoveries: number;
  readonly maxLaunches: number;
  readonly maxDurationMs: number;
  readonly startDeadlineMs: number;
  readonly holdDeadlineMs: number;
  readonly watchHeartbeatSeconds: number;
  readonly watchTimeoutSeconds: number;
}

export type HistoryBound =
  | { readonly kind: 'bounded'; readonly history: HistoryPlan; readonly transitions: number }
  | { readonly kind: 'too-long'; readonly otherTurns: number; readonly turnsLeft: number };

export function boundHistory(input: HistoryInput): HistoryBound {
  const most = Math.floor((limitEvents - fixedEvents - input.maxLaunches * launchEvents) / turnEvents);
  const other = otherTurns(input);
  const forEpochs = most - other;
  if (forEpochs < 1) return { kind: 'too-long', otherTurns: other, turnsLeft: Math.max(0, most) };
  const epochsPerTurn = Math.ceil(input.epochs / forEpochs);
  const needed = Math.ceil(input.epochs / epochsPerTurn) + other;
  // Twice what is needed where there is room: a wake-up more than foreseen must not end a run.
  const maxTurns = Math.min(most, 2 * needed);
  return {
    kind: 'bounded',
    history: {
      epochsPerTurn,
      maxTurns,
      worstCaseEvents: fixedEvents + input.maxLaunches * launchEvents + maxTurns * turnEvents,
    },
    transitions: fixedTransitions + maxTurns * turnTransitions + input.maxLaunches * launchTransitions,
  };
}

/** Turns that are not for epochs: tasks that start and stop, losses, silence while waiting for capacity, time-outs. */
function otherTurns(input: HistoryInput): number {
  const starts = 2 * (input.tasks + input.maxLaunches);
  const losses = 3 * (input.maxRecoveries + input.maxLaunches);
  const waitingMs = input.startDeadlineMs + (input.maxRecoveries + 1) * input.holdDeadlineMs;
  const silence = Math.ceil(Math.min(waitingMs, input.maxDurationMs) / (input.watchHeartbeatSeconds * 1000));
  const timeouts = Math.ceil(input.maxDurationMs / (input.watchTimeoutSeconds * 1000));
  return starts + losses + silence + timeouts + 20;
}
