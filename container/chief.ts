/**
 * The leader's work besides leading: restore, end of an epoch, checkpoints, progress, the end of training. Exists on every
 * worker, because any of them may come to lead.
 *
 * Invariants
 *  CH1 What is reported of a step or an epoch follows from reduced values only, so a new leader reports the same.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud, Row } from '../cloud/ports.ts';
import { epochRow } from '../core/epoch.ts';
import { CuttlefishError, type Failure, toFailure } from '../core/failure.ts';
import type { Member } from '../core/gang/member.ts';
import { type BeatReport, noSums } from '../core/gang/messages.ts';
import type { RunPlan } from '../core/plan.ts';
import { type EpochRow, type GangMember, keys, type ProgressRow, prefixes, type TaskId } from '../core/run.ts';
import { shouldStop } from '../core/stop.ts';
import { refusalOf, restoreCheckpoint } from './checkpoint.ts';
import type { Evaluation } from './engine/port.ts';
import { publish, publishFailure } from './finish.ts';
import type { Leadership } from './leadership.ts';
import type { Meter } from './meter.ts';
import { progressRow, type Report } from './progress.ts';
import type { Replica } from './replica.ts';
import { Saver } from './saver.ts';

type World = Pick<Cloud, 'table' | 'objects' | 'clock' | 'ids' | 'log' | 'workflow'>;

interface ChiefParts {
  readonly cloud: World;
  readonly plan: RunPlan;
  readonly self: GangMember;
  readonly replica: Replica;
  readonly leadership: Leadership;
  readonly meter: Meter;
  readonly generation: () => number;
}

export class Chief {
  private readonly cloud: World;
  private readonly plan: RunPlan;
  private readonly self: GangMember;
  private readonly replica: Replica;
  private readonly leadership: Leadership;
  private readonly meter: Meter;
  /** The one in force, as far as we know. */
  private readonly generation: () => number;
  private readonly saver: Saver;
  private readonly reports = new Map<TaskId, Report>();
  private finishing = false;
  /** The epoch that ended last. */
  private evaluated: { readonly step: number; readonly evaluation: Evaluation } | undefined;
  private lostSteps = 0;
  /** The progress row that was there when we took over. */
  private inherited: ProgressRow | undefined;
  private last: ProgressRow | undefined;
  private progressAtMs = 0;
  private writing = false;
  private epochFromMs: number;

  constructor(parts: ChiefParts) {
    this.cloud = parts.cloud;
    this.plan = parts.plan;
    this.self = parts.self;
    this.replica = parts.replica;
    this.leadership = parts.leadership;
    this.meter = parts.meter;
    this.generation = parts.generation;
    this.saver = new Saver({ ...parts, note: (event, detail) => this.note(event, detail) });
    this.epochFromMs = parts.cloud.clock.monotonic();
  }

  heard(from: TaskId, step: number, report: BeatReport): void {
    this.reports.set(from, { step, report });
  }

  forget(peer: TaskId): void {
    this.reports.delete(peer);
  }

  /**
   * Finds the newest intact checkpoint; `load` puts it in the engine and answers its step, 0 when there is none. One that
   * another engine computed ends the run.
   */
  async restore(): Promise<{ readonly load: () => number }> {
    await this.inherit();
    const found = await restoreCheckpoint(this.cloud, this.plan);
    if (found.kind === 'none') return { load: () => this.loaded(0, found.damaged) };
    const { manifest, parameters, slots } = found;
    const foreign = refusalOf(manifest, this.replica.engine.name);
    if (foreign !== undefined) {
      await this.giveUp(foreign, manifest.step);
      throw new CuttlefishError(foreign);
    }
    const state = new Float32Array(parameters.length + slots.length);
    state.set(parameters);
    state.set(slots, parameters.length);
    // At the end of an epoch the manifest holds the sums of that epoch, else those of the one that goes on.
    const boundary = manifest.step % this.plan.training.stepsPerEpoch === 0;
    const sums = boundary ? noSums : manifest.epochSums;
    return {
      load: () => {
        this.replica.load(state, parameters.length, sums, boundary ? manifest.epochSums : noSums);
        return this.loaded(manifest.step, found.damaged);
      },
    };
  }

  private loaded(step: number, damaged: readonly string[]): number {
    this.saver.restored(damaged, step > 0 ? step : undefined);
    const lostSteps = Math.max(0, (this.inherited?.step ?? 0) - step);
    this.lostSteps += lostSteps;
    if (step > 0) void this.note('training.restored', { step, lostSteps });
    else {
      const engine = this.replica.engine.name;
      void this.note('training.started', { engine, ...(lostSteps > 0 ? { lostSteps } : {}) });
    }
    return step;
  }

  /** True when training is to stop here. */
  async endEpoch(epoch: number, step: number, generation: number, worldSize: number): Promise<boolean> {
    const { table, clock } = this.cloud;
    const { runId, training, history } = this.plan;
    const evaluation = await this.meter.useful(this.replica.evaluate(this.replica.epochSet));
    this.evaluated = { step, evaluation };
    const now = clock.monotonic();
    const durationMs = Math.max(1, Math.round(now - this.epochFromMs));
    this.epochFromMs = now;
    const row = epochRow({
      plan: this.plan,
      epoch,
      sums: [this.replica.lastSums],
      isEveryoneOnce: (sums) => this.replica.isEveryoneOnce(sums),
      evaluation,
      durationMs,
      worldSize,
      generation,
      atMs: clock.now(),
    });
    const stored = await table.put(runId, keys.epoch(epoch), row, { absent: true });
    if (stored.kind === 'conflict') await this.compareRolls(row, stored.current);
    const epochs = await table.query<EpochRow>(runId, prefixes.epoch);
    const until = epochs.map(({ value }) => value).filter((value) => value.epoch <= epoch);
    const stop = shouldStop(training.stopWhen, until);
    if (stored.kind === 'stored') {
      const { loss, accuracy } = row;
      await this.note('epoch.ended', { epoch, step, loss, accuracy, ...(stop.stop ? { why: stop.why } : {}) });
      if (epoch % history.epochsPerTurn === 0) await this.leadership.news(`epoch ${epoch} ended`);
    }
    return stop.stop;
  }

  /** The epoch was trained again from a checkpoint: what is said of its samples must hold of these weights too. */
  private async compareRolls(again: EpochRow, before: Row<EpochRow> | undefined): Promise<void> {
    if (before === undefined || before.value.rollCall === again.rollCall) return;
    const { rollCall = '', dataExactlyOnce = false } = again;
    const row = { ...before.value, rollCall, dataExactlyOnce };
    await this.cloud.table.put(this.plan.runId, keys.epoch(again.epoch), row, { version: before.version });
  }

  /** A checkpoint may be taken here, beside training. */
  checkpoint(step: number): void {
    this.saver.offer(step);
  }

  /** The state as it is, waited for; nothing when the config wants no checkpoints. */
  async saveNow(step: number): Promise<void> {
    await this.saver.now(step);
  }

  async finish(step: number): Promise<'running' | 'published' | 'fenced'> {
    if (this.finishing) return 'running';
    this.finishing = true;
    try {
      await this.saveNow(step);
      const { lostSteps, generation } = this;
      const end = { step, generation, lostSteps, usefulMs: this.totalUsefulMs() };
      const evaluation = await this.evaluateAtEnd(step);
      return (await publish(this.cloud, this.plan, this.replica, evaluation, end)) ? 'published' : 'fenced';
    } finally {
      this.finishing = false;
    }
  }

  /** When the epoch that ended here was evaluated on the same samples, that was it. */
  private async evaluateAtEnd(step: number): Promise<Evaluation> {
    const { epochSet, finalSet } = this.replica;
    if (this.evaluated?.step === step && epochSet === finalSet) return this.evaluated.evaluation;
    return this.replica.evaluate(finalSet);
  }

  /** The outcome is written: tells the control plane. */
  async tellEnd(step: number): Promise<void> {
    await this.note('training.ended', { step });
    await this.leadership.news('training has ended');
  }

  async giveUp(failure: Failure, step: number): Promise<void> {
    const { lostSteps, generation } = this;
    const engine = this.replica.engine.name;
    const usefulMs = this.totalUsefulMs();
    await publishFailure(this.cloud, this.plan, failure, { step, generation, lostSteps, usefulMs, engine });
    await this.note('training.ended', { step, why: failure.kind });
    await this.leadership.news('training cannot go on');
  }

  /** Writes the progress row when it is due; secures the state while training waits for machines. */
  async tick(member: Member): Promise<void> {
    const { clock } = this.cloud;
    const now = clock.monotonic();
    const { step, hasState } = member.trainer;
    if (member.leading?.state.kind === 'holding' && hasState) this.saver.secure(step);
    if (member.gang === undefined || this.writing || now < this.progressAtMs) return;
    this.progressAtMs = now + this.plan.timing.progressIntervalMs;
    this.writing = true;
    try {
      await this.inherit();
      const { gang } = member;
      if (gang === undefined) return;
      this.heard(this.self.taskId, step, this.meter.report());
      this.last = progressRow({
        plan: this.plan,
        gang,
        step,
        sums: this.replica.sums,
        lastSums: this.replica.lastSums,
        reports: this.reports,
        before: this.last ?? this.inherited,
        usefulMs: this.totalUsefulMs(),
        lostSteps: this.lostSteps,
        nowMs: clock.now(),
      });
      await this.leadership.writeProgress(this.last, this.generation());
    } finally {
      this.writing = false;
    }
  }

  private async inherit(): Promise<void> {
    if (this.inherited !== undefined) return;
    const row = await this.cloud.table.get<ProgressRow>(this.plan.runId, keys.progress);
    if (row === undefined) return;
    this.inherited = row.value;
    this.lostSteps += row.value.lostSteps;
  }

  private totalUsefulMs(): number {
    return Math.round((this.inherited?.usefulMs ?? 0) + this.meter.usefulMs);
  }

  /** A line of history is not worth failing for. */
  private async note(event: Parameters<typeof record>[2], detail: Readonly<Record<string, unknown>>): Promise<void> {
    try {
      await record(this.cloud, this.plan.runId, event, { by: this.self.slot, ...detail });
    } catch (error) {
      this.cloud.log.write('warn', 'task.faltered', { what: `recording ${event}`, failure: toFailure(error) });
    }
  }
}
