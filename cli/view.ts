/**
 * What the progress of a run looks like: the rows of the table come in, text goes out. Pure; when to read the rows and
 * where to write the text is cli/progress.ts.
 *
 * Invariants
 *  V1  The same rows, plan, width and instant give the same text.
 *  V2  No line is longer than the width it was made for, and a block no higher than the screen: what has scrolled away
 *      cannot be redrawn.
 *  V3  Plain lines are told once: `plainLines(before, now)` holds what `now` adds to `before`.
 */
import { formatCount } from '../core/format-count.ts';
import type { RunPlan } from '../core/plan.ts';
import type { EpochRow, EventRow, MemberRow, ProgressRow, RunRow, TaskProgress, TaskRow } from '../core/run.ts';
import { describeEvent } from './describe-event.ts';
import { formatDuration, formatMetric } from './format.ts';

/** All that is known of a run at one instant. Anything may still be missing at the start. */
export interface RunView {
  readonly runId: string;
  readonly nowMs: number;
  /** When this process began to look; the elapsed time of the view. */
  readonly sinceMs: number;
  readonly run?: RunRow;
  readonly plan?: RunPlan;
  readonly progress?: ProgressRow;
  readonly epochs: readonly EpochRow[];
  readonly events: readonly EventRow[];
  readonly tasks: readonly TaskRow[];
  readonly members: readonly MemberRow[];
}

/** Remaining time at the present speed; undefined before there is a speed. */
export function etaMs(view: RunView): number | undefined {
  const { plan, progress } = view;
  if (!plan || !progress || !(progress.samplesPerSecond > 0)) return undefined;
  const stepsLeft = Math.max(0, plan.training.totalSteps - progress.step);
  // The last batch of an epoch is short, so count samples, not batches.
  const samplesPerStep = plan.shape.trainSamples / plan.training.stepsPerEpoch;
  return (stepsLeft * samplesPerStep * 1000) / progress.samplesPerSecond;
}

const barWidth = 24;

/** The live block: status, bar, numbers, one line a task, the last events. */
export function renderBlock(view: RunView, columns: number, rows = 1000, lastEvents = 5): string[] {
  const { plan, progress, run } = view;
  const last = view.epochs.at(-1);
  const lines = [
    join('   ', [
      view.runId,
      run?.phase ?? 'starting',
      progress ? `generation ${progress.generation}` : '',
      run && run.recoveries > 0 ? `recoveries ${run.recoveries}` : '',
      formatDuration(view.nowMs - view.sinceMs),
    ]),
  ];
  if (plan) {
    const { epochs, totalSteps, stepsPerEpoch } = plan.training;
    // The progress row is a little behind; the last epoch is exact.
    const step = Math.max(progress?.step ?? 0, last?.step ?? 0);
    const epoch = Math.min(epochs, Math.floor(step / stepsPerEpoch) + 1);
    const eta = etaMs(view);
    lines.push(
      join('   ', [
        `  epoch ${epoch}/${epochs}`,
        bar(step / totalSteps),
        `step ${formatCount(step)}/${formatCount(totalSteps)}`,
        eta === undefined ? '' : `ETA ${formatDuration(eta)}`,
      ]),
      join('   ', [
        `  loss ${formatMetric(progress?.loss)}`,
        `accuracy ${formatMetric(last?.accuracy ?? progress?.accuracy)}`,
        `${formatCount(progress?.samplesPerSecond ?? 0)} samples/s`,
        `${progress?.worldSize ?? 0} of ${run?.workers?.count ?? plan.cluster.worker.max} workers`,
      ]),
    );
  }
  // One row is left for the cursor.
  const room = Math.max(1, rows - 1 - lines.length - lastEvents);
  lines.push(...firstOf(taskLines(view), room).map((text) => `  ${text}`));
  lines.push(
    ...eventLines(view)
      .slice(-lastEvents)
      .map((text) => `  ${text}`),
  );
  return lines.map((text) => clip(text, columns));
}

function firstOf(lines: readonly string[], room: number): readonly string[] {
  if (lines.length <= room) return lines;
  return [...lines.slice(0, room - 1), `and ${lines.length - room + 1} more tasks: "cuttlefish status" shows them`];
}

/** The events that people see, with their time. */
export function eventLines(view: RunView): string[] {
  return view.events.flatMap((event) => line(view, event));
}

/** One line for each task that is up or on its way, ordered by slot. */
export function taskLines(view: RunView): string[] {
  const seen = new Map<string, TaskProgress>(view.progress?.tasks.map((task) => [task.taskId, task]) ?? []);
  const slots = new Map(view.members.map((member) => [member.taskId, member.slot]));
  const alive = view.tasks.filter((task) => task.state !== 'stopped');
  return alive
    .map((task) => ({ task, slot: task.slot ?? slots.get(task.taskId) ?? task.role, progress: seen.get(task.taskId) }))
    .sort((a, b) => compareSlots(a.slot, b.slot))
    .map(({ task, slot, progress }) =>
      progress
        ? join('  ', [
            slot.padEnd(20),
            progress.state.padEnd(11),
            `${progress.shards} shards`.padEnd(9),
            `step ${formatCount(progress.step)}`.padEnd(12),
            `${Math.round(progress.memoryMiB)} MiB`.padEnd(8),
            shares(progress),
          ])
        : join('  ', [slot.padEnd(20), task.state]),
    );
}

/** What a terminal that cannot be redrawn is told: epochs, what went wrong, and phases, each once. */
export function plainLines(before: RunView | undefined, now: RunView): string[] {
  const phase = now.run && now.run.phase !== before?.run?.phase ? [`${at(now, now.nowMs)}  ${now.run.phase}`] : [];
  const news = [
    ...now.events
      .slice(before?.events.length ?? 0)
      .flatMap((event) => line(now, event).map((text) => ({ atMs: event.atMs, text }))),
    ...now.epochs.slice(before?.epochs.length ?? 0).map((epoch) => ({ atMs: epoch.atMs, text: epochLine(now, epoch) })),
  ];
  return [...news.sort((a, b) => a.atMs - b.atMs).map(({ text }) => text), ...phase];
}

export function epochLine(view: RunView, epoch: EpochRow): string {
  return join('  ', [
    at(view, epoch.atMs),
    `epoch ${epoch.epoch}/${view.plan?.training.epochs ?? '?'}`,
    `step ${epoch.step}`,
    `loss ${formatMetric(epoch.loss)}`,
    epoch.accuracy === undefined ? '' : `accuracy ${formatMetric(epoch.accuracy)}`,
    `${formatCount(epoch.samplesPerSecond)} samples/s`,
    `${epoch.worldSize} worker${epoch.worldSize === 1 ? '' : 's'}`,
  ]);
}

function line(view: RunView, event: EventRow): string[] {
  const text = describeEvent(event);
  return text === undefined ? [] : [`${at(view, event.atMs)}  ${text}`];
}

function at(view: RunView, ms: number): string {
  return formatDuration(ms - view.sinceMs).padStart(5);
}

function shares(progress: TaskProgress): string {
  const percent = (share: number) => `${Math.round(share * 100)}%`;
  return `compute ${percent(progress.computeShare)}  wire ${percent(progress.wireShare)}  wait ${percent(progress.waitShare)}`;
}

function bar(share: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * barWidth);
  return `[${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] ${Math.floor(Math.min(1, share) * 100)}%`;
}

function compareSlots(a: string, b: string): number {
  const [roleA, roleB] = [a.split('/')[0] ?? a, b.split('/')[0] ?? b];
  // Workers first; they are what a person looks for.
  if (roleA !== roleB) return roleA < roleB ? 1 : -1;
  return Number(a.split('/')[1] ?? 1e9) - Number(b.split('/')[1] ?? 1e9);
}

function join(separator: string, parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join(separator);
}

function clip(text: string, columns: number): string {
  return text.length <= columns ? text : `${text.slice(0, Math.max(0, columns - 1))}…`;
}
