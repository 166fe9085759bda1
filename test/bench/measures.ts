/**
 * From samples to measures. Pure, so that the arithmetic can be tested.
 *
 * Invariants
 *  BM1 A measure that cannot be taken from these samples is absent, never 0.
 */
import type { ProgressRow } from '../../core/run.ts';
import type { ProcessorSample, RunSamples, StepSample } from './samples.ts';

export interface Measure {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
}

export interface Summary {
  readonly name: string;
  readonly unit: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly repeats: number;
}

/** Medians of one thing against another, both measured in this run; either may be a ratio that stands before this one. */
export interface Ratio {
  readonly name: string;
  readonly of: string;
  readonly to: string;
}

export function ratios(wanted: readonly Ratio[], rows: readonly Summary[]): Measure[] {
  const known = new Map(rows.map(({ name, median }) => [name, median]));
  return wanted.flatMap(({ name, of, to }) => {
    const [above, below] = [known.get(of), known.get(to)];
    if (above === undefined || below === undefined) return [];
    known.set(name, above / below);
    return [{ name, unit: 'times', value: above / below }];
  });
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** One line for each name, in the order in which the names first came. */
export function summarise(measures: readonly Measure[]): Summary[] {
  const groups = new Map<string, Measure[]>();
  for (const measure of measures) groups.set(measure.name, [...(groups.get(measure.name) ?? []), measure]);
  return [...groups.values()].map((group) => {
    const values = group.map((measure) => measure.value);
    const { name, unit } = group[0] as Measure;
    return {
      name,
      unit,
      median: median(values),
      min: Math.min(...values),
      max: Math.max(...values),
      repeats: values.length,
    };
  });
}

/** The first and the last progress row of a stretch of one generation and epoch in which everybody was training. */
type Stretch = readonly [from: ProgressRow, to: ProgressRow];

/** The first epoch warms up, and draws the digits; it counts only when there is no other. */
function stretches(progress: readonly ProgressRow[]): Stretch[] {
  const found = new Map<string, Stretch>();
  for (const row of progress.filter(({ tasks }) => tasks.every(({ state }) => state === 'training'))) {
    const key = `${row.generation}/${row.epoch}`;
    found.set(key, [found.get(key)?.[0] ?? row, row]);
  }
  const all = [...found.values()].filter(([from, to]) => to.step > from.step && to.atMs > from.atMs);
  const warm = all.filter(([{ epoch }]) => epoch > 1);
  return warm.length > 0 ? warm : all;
}

/** Of whole epochs, without the evaluation at their end: their median. */
export function stepsPerSecond(progress: readonly ProgressRow[]): number | undefined {
  const speeds = stretches(progress).map(([from, to]) => ((to.step - from.step) * 1000) / (to.atMs - from.atMs));
  return speeds.length === 0 ? undefined : median(speeds);
}

/** As many as between two checkpoints, where the bench saves every so often: each window then has one in it. */
const windowSteps = 10;

/** Milliseconds a step, from the steps that every task logged: the median of all windows of ten within one epoch. */
export function stepTimeMs({ tasks, result }: RunSamples): number | undefined {
  const stepsPerEpoch = result.steps / result.epochs;
  const windows = tasks.flatMap(({ steps }) =>
    steps.slice(windowSteps).flatMap(({ step, atMs }, i) => {
      const first = steps[i] as StepSample;
      const whole = step - first.step === windowSteps;
      const oneEpoch = Math.floor(first.step / stepsPerEpoch) === Math.floor(step / stepsPerEpoch);
      return whole && oneEpoch ? [(atMs - first.atMs) / windowSteps] : [];
    }),
  );
  return windows.length === 0 ? undefined : median(windows);
}

/**
 * Processor time of a step in all threads of all tasks, in the same epochs: what else the machine does shows less in it
 * than in the time.
 */
export function processorTimeMs({ progress, tasks }: Pick<RunSamples, 'progress' | 'tasks'>): number | undefined {
  const costs = stretches(progress).map(([from, to]) => {
    const spent = tasks.map(({ processor }) => spentAt(processor, to.atMs) - spentAt(processor, from.atMs));
    return spent.reduce((sum, each) => sum + each, 0) / (to.step - from.step);
  });
  const told = costs.filter(Number.isFinite);
  return told.length === 0 || tasks.length === 0 ? undefined : median(told);
}

/** Between two looks as if it had been spent evenly; NaN outside of them. */
function spentAt(looks: readonly ProcessorSample[], atMs: number): number {
  const next = looks.findIndex((look) => look.atMs >= atMs);
  const [before, after] = [looks[Math.max(0, next - 1)], looks[next]];
  if (before === undefined || after === undefined || before.atMs > atMs) return Number.NaN;
  const share = after.atMs === before.atMs ? 0 : (atMs - before.atMs) / (after.atMs - before.atMs);
  return before.spentMs + share * (after.spentMs - before.spentMs);
}

/**
 * When the first step after `afterMs` was committed, given that `fromStep` steps were committed before: read off the
 * first row that shows more, and taken back to the first of its steps with the speed that follows.
 */
export function firstStepAfter(
  progress: readonly ProgressRow[],
  afterMs: number,
  fromStep: number,
  notBeforeMs: number,
): number | undefined {
  const later = progress.filter((row) => row.atMs > afterMs && row.step > fromStep);
  const [first, second] = later;
  if (first === undefined) return undefined;
  const speed =
    second !== undefined && second.step > first.step && second.generation === first.generation
      ? (second.step - first.step) / (second.atMs - first.atMs)
      : undefined;
  const taken = speed === undefined ? first.atMs : first.atMs - (first.step - fromStep - 1) / speed;
  return Math.max(notBeforeMs, taken);
}

/** Shares of the step time in computing, on the wire and waiting, over all workers, while training. */
export function shares(
  progress: readonly ProgressRow[],
): { engine: number; wire: number; waiting: number } | undefined {
  const tasks = progress
    .flatMap((row) => row.tasks)
    .filter((task) => task.shards > 0 && task.state === 'training' && task.computeShare + task.waitShare > 0);
  if (tasks.length === 0) return undefined;
  return {
    engine: median(tasks.map((task) => task.computeShare)),
    wire: median(tasks.map((task) => task.wireShare)),
    waiting: median(tasks.map((task) => task.waitShare)),
  };
}

/** Of all tasks, or processes of a peer. */
export const perThousand = 'processor time of 1,000 samples';

/** What one run says about `label`, e.g. "2 workers". */
export function measure(label: string, run: RunSamples): Measure[] {
  const measures: Measure[] = [];
  const add = (name: string, unit: string, value: number | undefined): void => {
    if (value !== undefined && Number.isFinite(value)) measures.push({ name: `${label}: ${name}`, unit, value });
  };
  const formed = run.events.find((event) => event.event === 'generation.formed');
  const first = firstStepAfter(run.progress, run.spawnedAtMs, 0, formed?.atMs ?? run.spawnedAtMs);
  add('command to first step (cold)', 'ms', first === undefined ? undefined : first - run.spawnedAtMs);
  const speed = stepsPerSecond(run.progress);
  add('steps per second', '1/s', speed);
  add('samples per second', '1/s', speed === undefined ? undefined : speed * run.batchSize);
  add('step time', 'ms', stepTimeMs(run));
  const processor = processorTimeMs(run);
  add('step time of the processor', 'ms', processor);
  add(perThousand, 'ms', processor === undefined ? undefined : (processor * 1000) / run.batchSize);
  const whole = run.epochs.slice(1).map((epoch) => epoch.samplesPerSecond);
  add('samples per second, with evaluation', '1/s', whole.length === 0 ? undefined : median(whole));
  const share = shares(run.progress);
  add('step time in the engine', '%', share && share.engine * 100);
  add('step time on the wire', '%', share && share.wire * 100);
  add('step time waiting', '%', share && share.waiting * 100);
  add('checkpoint', 'ms', checkpointMs(run));
  add(
    'checkpoint size',
    'bytes',
    run.checkpoint?.parts.reduce((sum, part) => sum + part.bytes, 0),
  );
  const peaks = run.tasks.flatMap(({ peakMemoryMiB }) => (peakMemoryMiB === undefined ? [] : [peakMemoryMiB]));
  add('peak memory of a task', 'MiB', peaks.length === 0 ? undefined : Math.max(...peaks));
  add('workflow transitions', 'transitions', run.result.receipt.transitions);
  return measures;
}

function checkpointMs({ checkpoint, events }: RunSamples): number | undefined {
  const saved = events.filter((event) => event.event === 'checkpoint.saved');
  const told = saved.map((event) => event.durationMs).filter((value): value is number => typeof value === 'number');
  if (told.length > 0) return median(told);
  const newest = saved.find((event) => event.step === checkpoint?.step);
  return checkpoint === undefined || newest === undefined ? undefined : newest.atMs - checkpoint.atMs;
}
