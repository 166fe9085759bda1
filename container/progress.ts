/** The progress row, from what the leader knows. Pure. */
import { type BeatReport, type EpochSums, type Gang, membersOf } from '../core/gang/messages.ts';
import type { RunPlan } from '../core/plan.ts';
import type { ProgressRow, TaskId, TaskProgress } from '../core/run.ts';
import { ownership } from '../core/shards.ts';

export interface Report {
  readonly step: number;
  readonly report: BeatReport;
}

export interface Seen {
  readonly plan: RunPlan;
  readonly gang: Gang;
  readonly step: number;
  readonly sums: EpochSums;
  readonly lastSums: EpochSums;
  readonly reports: ReadonlyMap<TaskId, Report>;
  readonly before: ProgressRow | undefined;
  readonly usefulMs: number;
  readonly lostSteps: number;
  readonly nowMs: number;
}

/** Weight of the newest interval in the smoothed speed. */
const smoothing = 0.3;

export function progressRow(seen: Seen): ProgressRow {
  const { plan, gang, step, before, nowMs } = seen;
  const { training, shape } = plan;
  // Just after the end of an epoch the sums are empty: the epoch that ended says more than nothing.
  const [samples, lossSum, correct] = seen.sums[0] > 0 ? seen.sums : seen.lastSums;
  const firstStepAtMs = before?.firstStepAtMs ?? (step > 0 ? nowMs : undefined);
  return {
    generation: gang.generation,
    beat: (before?.beat ?? 0) + 1,
    step,
    epoch: Math.min(training.epochs, Math.floor(step / training.stepsPerEpoch) + 1),
    loss: samples > 0 ? lossSum / samples : 0,
    ...(shape.task === 'classification' && samples > 0 ? { accuracy: correct / samples } : {}),
    samplesPerSecond: speed(seen),
    atMs: nowMs,
    ...(firstStepAtMs === undefined ? {} : { firstStepAtMs }),
    usefulMs: seen.usefulMs,
    lostSteps: seen.lostSteps,
    worldSize: gang.workers.length,
    tasks: membersOf(gang).map((member, i): TaskProgress => {
      const known = seen.reports.get(member.taskId);
      const owned = member.role === 'worker' ? ownership(training.shards, gang.workers.length, i) : { from: 0, to: 0 };
      return {
        slot: member.slot,
        taskId: member.taskId,
        shards: owned.to - owned.from,
        step: member.role === 'worker' ? (known?.step ?? step) : step,
        ...(known?.report ?? { state: 'idle', memoryMiB: 0, computeShare: 0, wireShare: 0, waitShare: 0 }),
      };
    }),
  };
}

function speed({ before, step, plan, nowMs }: Seen): number {
  if (before === undefined || nowMs <= before.atMs || step < before.step) return before?.samplesPerSecond ?? 0;
  const now = ((step - before.step) * plan.training.batchSize * 1000) / (nowMs - before.atMs);
  return Math.round(before.samplesPerSecond === 0 ? now : smoothing * now + (1 - smoothing) * before.samplesPerSecond);
}
