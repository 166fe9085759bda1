/**
 * What a fault costs those that it does not hit, from the steps that every task logged and the events of the run. Pure.
 *
 * Invariants
 *  BE1 A measure that cannot be taken from these samples is absent, never 0.
 */
import type { EventRow } from '../../core/run.ts';
import { type Measure, median } from './measures.ts';
import type { RunSamples, StepSample, TaskSamples } from './samples.ts';

export function elasticMeasures(label: string, run: RunSamples): Measure[] {
  const measures: Measure[] = [];
  const add = (name: string, value: number | undefined, unit = 'ms'): void => {
    if (value !== undefined && Number.isFinite(value)) measures.push({ name: `${label}: ${name}`, unit, value });
  };
  for (const strike of run.events.filter(({ event }) => event === 'chaos.injected')) {
    const formed = formedAfter(run, strike);
    if (formed === undefined) continue;
    const next = nextStep(run.tasks, formed.atMs);
    if (strike.action === 'kill') add('kill -9 to next committed step', next && next - strike.atMs);
    if (strike.action === 'pause') add('hung to fenced', formed.atMs - strike.atMs);
    const joined = joinedAfter(run, strike.atMs);
    if (joined === undefined) continue;
    const { task, first } = joined;
    add('replacement: process start to first step', first.atMs - task.startedAtMs);
    add('pause of the survivors when it is counted in', pauseAt(run, joined), 'steps');
    add('longest pause of the survivors around it', longestPauseAround(run, joined), 'steps');
  }
  if (run.events.some(({ event }) => event === 'chaos.injected')) add('steps repeated', run.result.lostSteps, 'steps');
  return measures;
}

function formedAfter({ events }: RunSamples, strike: EventRow): EventRow | undefined {
  return events.find(({ event, atMs }) => event === 'generation.formed' && atMs >= strike.atMs);
}

/** The first step that anybody applied after this. */
function nextStep(tasks: readonly TaskSamples[], afterMs: number): number | undefined {
  const next = tasks.flatMap(({ steps }) => steps.filter(({ atMs }) => atMs >= afterMs).slice(0, 1));
  return next.length === 0 ? undefined : Math.min(...next.map(({ atMs }) => atMs));
}

interface Joined {
  readonly task: TaskSamples;
  readonly first: StepSample;
}

/** Whose process was started after this, and which was the first step that it had a share in. */
function joinedAfter({ tasks }: RunSamples, afterMs: number): Joined | undefined {
  for (const task of tasks) {
    const [first] = task.steps;
    if (task.startedAtMs >= afterMs && first !== undefined) return { task, first };
  }
  return undefined;
}

/** What the first step with the newcomer took more than usual, in usual steps. */
function pauseAt(run: RunSamples, joined: Joined): number | undefined {
  const around = gapsAround(run, joined);
  const gap = around?.gaps.find(({ step }) => step === joined.first.step);
  return gap && around && (gap.ms - around.usualMs) / around.usualMs;
}

/** The same of the longest step from a quarter of a second before it to as much after: what else held them up. */
function longestPauseAround(run: RunSamples, joined: Joined): number | undefined {
  const around = gapsAround(run, joined);
  if (around === undefined) return undefined;
  const during = around.gaps.filter(({ atMs }) => Math.abs(atMs - joined.first.atMs) < windowMs / 4);
  return (Math.max(...during.map(({ ms }) => ms)) - around.usualMs) / around.usualMs;
}

const windowMs = 1000;

interface Gap extends StepSample {
  /** Since the step before. */
  readonly ms: number;
}

/** The steps of one of the others from a second before until a second after, and how long one usually takes. */
function gapsAround(
  { tasks }: RunSamples,
  { task: newcomer, first }: Joined,
): { readonly gaps: readonly Gap[]; readonly usualMs: number } | undefined {
  for (const task of tasks) {
    const near = task.steps.filter(({ atMs }) => Math.abs(atMs - first.atMs) < windowMs);
    if (task === newcomer || near.length < 20) continue;
    const gaps = near.slice(1).map((step, i) => ({ ...step, ms: step.atMs - (near[i] as StepSample).atMs }));
    return { gaps, usualMs: Math.max(1, median(gaps.map(({ ms }) => ms))) };
  }
  return undefined;
}
