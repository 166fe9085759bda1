/**
 * What a fault costs those that it does not hit, from the steps that every task logged and the events of the run. Pure.
 *
 * Invariants
 *  BE1 A measure that cannot be taken from these samples is absent, never 0.
 */
import type { EventRow } from '../../core/run.ts';
import { type Measure, median } from './measures.ts';
import type { RunSamples, TaskSamples } from './samples.ts';

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
    const joined = joinedAfter(run, formed.atMs);
    if (joined === undefined) continue;
    add(
      'replacement: process start to first step',
      joined.task.steps[0] && joined.firstStepMs - joined.task.startedAtMs,
    );
    add('pause of the survivors when it joins', pauseAround(run, joined.task, joined.firstStepMs), 'steps');
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

function joinedAfter({ tasks }: RunSamples, afterMs: number): { task: TaskSamples; firstStepMs: number } | undefined {
  const task = tasks.find(({ startedAtMs, steps }) => startedAtMs >= afterMs && steps.length > 0);
  return task === undefined ? undefined : { task, firstStepMs: task.steps[0]?.atMs ?? Number.NaN };
}

/** How long the others went without a step at most while the newcomer came in, less the step itself, in their usual steps. */
function pauseAround({ tasks }: RunSamples, newcomer: TaskSamples, firstStepMs: number): number | undefined {
  const windowMs = 1000;
  for (const task of tasks) {
    const times = task.steps.map(({ atMs }) => atMs).filter((atMs) => Math.abs(atMs - firstStepMs) < windowMs);
    if (task === newcomer || times.length < 20) continue;
    const gaps = times.slice(1).map((atMs, i) => atMs - (times[i] as number));
    const usual = Math.max(1, median(gaps));
    const during = gaps.filter((_, i) => Math.abs((times[i + 1] as number) - firstStepMs) < windowMs / 4);
    return (Math.max(...during) - usual) / usual;
  }
  return undefined;
}
