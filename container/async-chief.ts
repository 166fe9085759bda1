/**
 * The leader's work besides leading, in asynchronous mode: restore, the end of an epoch, checkpoints, progress, the end of
 * training. Exists on every worker, because any of them may come to lead.
 *
 * Invariants
 *  AC1 Saving never stops training: the partitions are copies. One save at a time; one that comes while another is being
 *      written is skipped.
 *  AC2 The engine is used by one piece of work at a time: each loads the parameters that it is about (EngineTurns).
 *  AC3 Epochs are reported from the sums in the partitions, so a new leader reports the same of them.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { isCheckpointDue, smoothedMs } from '../core/cadence.ts';
import { epochRow } from '../core/epoch.ts';
import { CuttlefishError, type Failure, toFailure } from '../core/failure.ts';
import { inAll } from '../core/gang/async/applied.ts';
import type { AsyncMember } from '../core/gang/async/member.ts';
import {
  type Copy,
  cutOut,
  type Mark,
  noTally,
  type Partitioning,
  putTogether,
  type Tally,
} from '../core/gang/async/partition.ts';
import type { BeatReport, Gang } from '../core/gang/messages.ts';
import type { RunPlan } from '../core/plan.ts';
import {
  type EpochRow,
  type GangMember,
  keys,
  type ProgressRow,
  prefixes,
  type RunRow,
  type TaskId,
} from '../core/run.ts';
import { shouldStop } from '../core/stop.ts';
import { refusalOf, restoreCheckpoint, saveCheckpoint } from './checkpoint.ts';
import { EngineTurns } from './engine-turns.ts';
import { publish, publishFailure } from './finish.ts';
import type { Leadership } from './leadership.ts';
import type { Meter } from './meter.ts';
import { progressRow, type Report } from './progress.ts';
import type { Replica } from './replica.ts';

type World = Pick<Cloud, 'table' | 'objects' | 'clock' | 'ids' | 'log' | 'workflow'>;

export interface AsyncChiefParts {
  readonly cloud: World;
  readonly plan: RunPlan;
  readonly self: GangMember;
  readonly replica: Replica;
  readonly leadership: Leadership;
  readonly meter: Meter;
  readonly cut: Partitioning;
  readonly generation: () => number;
}

export class AsyncChief {
  readonly turns = new EngineTurns();
  private readonly parts: AsyncChiefParts;
  /** As the seed makes them. */
  private readonly initial: Float32Array;
  private readonly reports = new Map<TaskId, Report>();
  private saving: Promise<void> | undefined;
  private savedStep = -1;
  private damaged: readonly string[] = [];
  /** Of the newest save, monotonic; and how often the run was hurt, for a cadence that goes by that. */
  private savedAtMs: number | undefined;
  private readonly upSinceMs: number;
  private saveMs: number | undefined;
  private seen = { losses: 0, elapsedMs: 0 };
  private finishing = false;
  /** Items in every partition, as we know it. */
  private done = 0;
  private lostSteps = 0;
  private usefulMs = 0;
  private inherited: ProgressRow | undefined;
  private last: ProgressRow | undefined;
  private progressAtMs = 0;
  private tickedAtMs: number | undefined;
  private writing = false;
  private epochFromMs: number;

  constructor(parts: AsyncChiefParts) {
    this.parts = parts;
    this.initial = parts.replica.engine.parameters.slice();
    this.upSinceMs = parts.cloud.clock.monotonic();
    this.epochFromMs = this.upSinceMs;
  }

  heard(from: TaskId, report: BeatReport): void {
    this.reports.set(from, { step: this.done, report });
  }

  forget(peer: TaskId): void {
    this.reports.delete(peer);
  }

  /** The partitions as the newest intact checkpoint has them, or as the seed makes them. */
  async restore(partitions: readonly number[]): Promise<Copy[]> {
    await this.inherit();
    const { cloud, plan, cut, replica } = this.parts;
    const found = await restoreCheckpoint(cloud, plan);
    this.damaged = found.damaged;
    if (found.kind === 'none') {
      await this.note('training.started', { engine: replica.engine.name, partitions });
      const slots = new Float32Array(cut.slots * cut.trainableLength);
      return partitions.map((partition) => ({
        mark: { partition, generation: 0, applied: { below: 0, beyond: [] }, sums: [] },
        values: cutOut(cut, partition, this.initial, slots),
      }));
    }
    const { manifest, parameters, slots } = found;
    const foreign = refusalOf(manifest, replica.engine.name);
    if (foreign !== undefined) {
      this.done = manifest.step;
      await this.giveUp(foreign);
      throw new CuttlefishError(foreign);
    }
    this.savedStep = Math.max(this.savedStep, manifest.step);
    await this.note('training.restored', { step: manifest.step, partitions });
    return partitions.map((partition) => {
      const mark = manifest.partitions?.find((one) => one.partition === partition);
      if (mark === undefined) throw new Error(`the checkpoint of step ${manifest.step} has no partition ${partition}`);
      return { mark, values: cutOut(cut, partition, parameters, slots) };
    });
  }

  /** What was done before and is not any more has to be done again. */
  async opened(done: number): Promise<void> {
    await this.inherit();
    const lost = Math.max(this.done, this.last?.step ?? this.inherited?.step ?? 0) - done;
    this.lostSteps += Math.max(0, lost);
    this.done = done;
  }

  /** True when training is to stop. Reports every epoch up to this one that has not been. */
  async endEpoch(epoch: number, gang: Gang, copies: readonly Copy[]): Promise<boolean> {
    const { cloud, plan, replica, leadership } = this.parts;
    const { runId, training, history } = plan;
    const evaluation = await this.turns.take(async () => {
      this.load(copies);
      return replica.evaluate(replica.epochSet);
    });
    const before = await cloud.table.query<EpochRow>(runId, prefixes.epoch);
    const reported = new Set(before.map(({ value }) => value.epoch));
    const missing = Array.from({ length: epoch }, (_, i) => i + 1).filter((one) => !reported.has(one));
    const now = cloud.clock.monotonic();
    const durationMs = Math.max(1, Math.round((now - this.epochFromMs) / Math.max(1, missing.length)));
    this.epochFromMs = now;
    const ended = missing.map((one) => {
      // An item may have been computed twice, each time for other partitions: the loss is then theirs, the samples are the same.
      const [first = noTally, ...others] = copies.map((copy) => sumsOf(copy, one - 1));
      return epochRow({
        plan,
        epoch: one,
        sums: [first, ...others],
        isEveryoneOnce: (sums) => replica.isEveryoneOnce(sums),
        evaluation,
        durationMs,
        worldSize: gang.workers.length,
        generation: gang.generation,
        atMs: cloud.clock.now(),
      });
    });
    for (const row of ended) await cloud.table.put(runId, keys.epoch(row.epoch), row, { absent: true });
    const rows = await cloud.table.query<EpochRow>(runId, prefixes.epoch);
    const until = rows.map(({ value }) => value).filter((value) => value.epoch <= epoch);
    const stop = shouldStop(training.stopWhen, until);
    for (const { epoch: one, step, loss, accuracy } of ended) {
      const why = stop.stop && one === epoch ? { why: stop.why } : {};
      await this.note('epoch.ended', { epoch: one, step, loss, accuracy, ...why });
      if (one % history.epochsPerTurn === 0) await leadership.news(`epoch ${one} ended`);
    }
    return stop.stop;
  }

  /** Beside training. */
  checkpoint(copies: readonly Copy[]): void {
    if (this.parts.plan.checkpoint.everySteps === 0) return;
    if (this.saving !== undefined || doneIn(copies) <= this.savedStep) return;
    const work = this.save(copies).catch((error: unknown) => {
      this.parts.cloud.log.write('warn', 'checkpoint.failed', { failure: toFailure(error) });
    });
    this.saving = work.finally(() => {
      this.saving = undefined;
    });
  }

  /** Whether the clock asks for a checkpoint: where steps do, the steward counts them. */
  get isCheckpointDue(): boolean {
    const { cloud, plan } = this.parts;
    const { cadence, everySteps } = plan.checkpoint;
    if (cadence.kind === 'steps' || everySteps === 0 || this.saving !== undefined) return false;
    if (this.done <= this.savedStep) return false;
    const { savedAtMs, upSinceMs, saveMs, seen } = this;
    return isCheckpointDue(cadence, {
      nowMs: cloud.clock.monotonic(),
      upSinceMs,
      // There the partitions are gathered for the evaluation, and saved.
      isEpochEnd: false,
      ...(savedAtMs === undefined ? {} : { savedAtMs }),
      ...(saveMs === undefined ? {} : { saveMs }),
      ...seen,
    });
  }

  async finish(copies: readonly Copy[]): Promise<'running' | 'published' | 'fenced'> {
    if (this.finishing) return 'running';
    this.finishing = true;
    const { cloud, plan, replica, generation } = this.parts;
    const step = doneIn(copies);
    try {
      await this.saving;
      if (plan.checkpoint.everySteps > 0 && step > this.savedStep) await this.save(copies);
      const { lostSteps } = this;
      const end = { step, generation, lostSteps, usefulMs: this.totalUsefulMs() };
      const isPublished = await this.turns.take(async () => {
        this.load(copies);
        return publish(cloud, plan, replica, await replica.evaluate(replica.finalSet), end);
      });
      return isPublished ? 'published' : 'fenced';
    } finally {
      this.finishing = false;
    }
  }

  /** The outcome is written: tells the control plane. */
  async tellEnd(copies: readonly Copy[]): Promise<void> {
    await this.note('training.ended', { step: doneIn(copies) });
    await this.parts.leadership.news('training has ended');
  }

  async giveUp(failure: Failure): Promise<void> {
    const { cloud, plan, replica, leadership, generation } = this.parts;
    const { lostSteps, done: step } = this;
    const engine = replica.engine.name;
    const end = { step, generation, lostSteps, usefulMs: this.totalUsefulMs(), engine };
    await publishFailure(cloud, plan, failure, end);
    await this.note('training.ended', { step, why: failure.kind });
    await leadership.news('training cannot go on');
  }

  /** Writes the progress row when it is due. */
  async tick(member: AsyncMember): Promise<void> {
    const { cloud, plan, self, meter, leadership } = this.parts;
    const now = cloud.clock.monotonic();
    const { done, recent } = member.steward;
    // Time counts while items are being worked on.
    if (done !== undefined && this.tickedAtMs !== undefined) this.usefulMs += now - this.tickedAtMs;
    this.tickedAtMs = done === undefined ? undefined : now;
    this.done = done ?? this.done;
    const { gang } = member.membership;
    if (gang === undefined || done === undefined || this.writing || now < this.progressAtMs) return;
    this.progressAtMs = now + plan.timing.progressIntervalMs;
    this.writing = true;
    try {
      await this.inherit();
      this.heard(self.taskId, meter.report());
      this.last = progressRow({
        plan,
        gang,
        step: done,
        sums: recent,
        lastSums: recent,
        reports: this.reports,
        before: this.last ?? this.inherited,
        usefulMs: this.totalUsefulMs(),
        lostSteps: this.lostSteps,
        nowMs: cloud.clock.now(),
      });
      await leadership.writeProgress(this.last, this.parts.generation());
    } finally {
      this.writing = false;
    }
  }

  private load(copies: readonly Copy[]): void {
    const { replica, cut } = this.parts;
    replica.engine.parameters.set(putTogether(cut, copies).parameters);
    replica.engine.parametersChanged();
  }

  private async save(copies: readonly Copy[]): Promise<void> {
    const { cloud, plan, cut, replica, leadership } = this.parts;
    const step = doneIn(copies);
    const epoch = Math.floor(step / plan.training.stepsPerEpoch);
    const state = putTogether(cut, copies);
    const beginMs = cloud.clock.monotonic();
    this.savedAtMs = beginMs;
    for (;;) {
      const generation = this.parts.generation();
      const saved = await saveCheckpoint(cloud, plan, {
        ...state,
        step,
        epoch,
        generation,
        engine: replica.engine.name,
        // Each mark has its own.
        epochSums: noTally,
        stopState: [],
        optimizerStep: step,
        partitions: copies.map(({ mark }): Mark => mark),
        damaged: this.damaged,
      });
      // Somebody came or went meanwhile, and the generation in force is ours too: the same state under its number.
      if (saved.kind === 'fenced' && leadership.leads && this.parts.generation() > generation) continue;
      if (saved.kind === 'saved') {
        this.savedStep = Math.max(this.savedStep, step);
        this.damaged = [];
        await this.note('checkpoint.saved', { step, bytes: saved.bytes, durationMs: saved.durationMs });
      }
      if (saved.kind === 'failed') await this.note('checkpoint.failed', { step, failure: saved.failure });
      break;
    }
    this.saveMs = smoothedMs(this.saveMs, cloud.clock.monotonic() - beginMs);
    if (plan.checkpoint.cadence.kind !== 'auto') return;
    const run = (await cloud.table.get<RunRow>(plan.runId, keys.run))?.value;
    if (run === undefined) return;
    this.seen = { losses: run.recoveries, elapsedMs: cloud.clock.now() - (run.startedAtMs ?? run.submittedAtMs) };
  }

  private async inherit(): Promise<void> {
    if (this.inherited !== undefined) return;
    const { cloud, plan } = this.parts;
    const row = await cloud.table.get<ProgressRow>(plan.runId, keys.progress);
    if (row === undefined || this.inherited !== undefined) return;
    this.inherited = row.value;
    this.lostSteps += row.value.lostSteps;
  }

  private totalUsefulMs(): number {
    return Math.round((this.inherited?.usefulMs ?? 0) + this.usefulMs);
  }

  private note(event: Parameters<typeof record>[2], detail: Readonly<Record<string, unknown>>): Promise<void> {
    const { cloud, plan, self } = this.parts;
    return record(cloud, plan.runId, event, { by: self.slot, ...detail });
  }
}

/** Items in every partition. */
function doneIn(copies: readonly Copy[]): number {
  return inAll(copies.map(({ mark }) => mark.applied)).count;
}

/** 0-based epoch. */
function sumsOf({ mark }: Copy, epoch: number): Tally {
  return mark.sums.find((tally) => tally.epoch === epoch)?.sums ?? noTally;
}
