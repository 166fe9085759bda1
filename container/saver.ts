/**
 * The leader's checkpoints: when one is taken of those that are offered, and what goes into it.
 *
 * Invariants
 *  SV1 Saving never stops training: the state is copied at a committed step and written beside. One save at a time; what
 *      is offered meanwhile is passed over; when the config named that step, the next save tells how many there were.
 *  SV2 When one is taken follows from this task's own monotonic clock; no bit of the weights depends on it (P2).
 */
import type { Cloud } from '../cloud/ports.ts';
import { isCheckpointDue, smoothedMs } from '../core/cadence.ts';
import type { EventName } from '../core/events.ts';
import { toFailure } from '../core/failure.ts';
import type { RunPlan } from '../core/plan.ts';
import { keys, type RunRow } from '../core/run.ts';
import { saveCheckpoint } from './checkpoint.ts';
import type { Leadership } from './leadership.ts';
import type { Replica } from './replica.ts';

export interface SaverParts {
  readonly cloud: Pick<Cloud, 'table' | 'objects' | 'clock' | 'ids' | 'log'>;
  readonly plan: RunPlan;
  readonly replica: Replica;
  readonly leadership: Pick<Leadership, 'leads'>;
  /** The one in force, as far as we know. */
  readonly generation: () => number;
  readonly note: (event: EventName, detail: Readonly<Record<string, unknown>>) => Promise<void>;
}

export class Saver {
  private readonly parts: SaverParts;
  /** One for all saves: fresh memory of this size costs as much as the copying. */
  private copy: Float32Array | undefined;
  private saving: Promise<void> | undefined;
  private savedStep = -1;
  /** Steps that the config names, since the newest save was begun, that met it still going on. */
  private passedOver = 0;
  /** Parts that the restore found damaged; the next save takes their checkpoints off the list. */
  private damaged: readonly string[] = [];
  /** Of the newest save, monotonic; or when we restored one. */
  private begunAtMs: number | undefined;
  private readonly upSinceMs: number;
  private saveMs: number | undefined;
  private seen = { losses: 0, elapsedMs: 0 };

  constructor(parts: SaverParts) {
    this.parts = parts;
    this.upSinceMs = parts.cloud.clock.monotonic();
  }

  /** What a restore found: the step that is in the engine now, none when there was no checkpoint. */
  restored(damaged: readonly string[], step?: number): void {
    this.damaged = damaged;
    if (step === undefined) return;
    this.savedStep = step;
    this.begunAtMs = this.parts.cloud.clock.monotonic();
  }

  /** The state after `step` updates may be saved: it is, beside training, when it is due. */
  offer(step: number): void {
    const { cloud, plan } = this.parts;
    if (step <= this.savedStep) return;
    if (this.saving !== undefined) {
      if (plan.checkpoint.cadence.kind === 'steps') this.passedOver += 1;
      return;
    }
    const { begunAtMs, upSinceMs, saveMs, seen } = this;
    const due = isCheckpointDue(plan.checkpoint.cadence, {
      nowMs: cloud.clock.monotonic(),
      upSinceMs,
      isEpochEnd: step % plan.training.stepsPerEpoch === 0,
      ...(begunAtMs === undefined ? {} : { savedAtMs: begunAtMs }),
      ...(saveMs === undefined ? {} : { saveMs }),
      ...seen,
    });
    if (due) this.beside(step);
  }

  /** Due or not, beside whatever goes on: training waits for machines, and those that are left may go too. */
  secure(step: number): void {
    if (step <= Math.max(0, this.savedStep) || this.saving !== undefined) return;
    if (this.parts.plan.checkpoint.everySteps > 0) this.beside(step);
  }

  /** The state as it is, waited for; nothing when the config wants no checkpoints. */
  async now(step: number): Promise<void> {
    await this.saving;
    if (this.parts.plan.checkpoint.everySteps > 0 && step > this.savedStep) await this.save(step);
  }

  private beside(step: number): void {
    const { cloud } = this.parts;
    const work = this.save(step).catch((error: unknown) => {
      cloud.log.write('warn', 'checkpoint.failed', { step, failure: toFailure(error) });
    });
    this.saving = work.finally(() => {
      this.saving = undefined;
    });
  }

  /** Up to the first wait this runs at once: what is saved is the state of this moment. */
  private async save(step: number): Promise<void> {
    const { cloud, plan, replica } = this.parts;
    const { sums, lastSums, engine } = replica;
    const beginMs = cloud.clock.monotonic();
    this.begunAtMs = beginMs;
    const { passedOver } = this;
    this.passedOver = 0;
    this.copy ??= new Float32Array(replica.stateLength);
    const state = replica.snapshot(this.copy);
    const parameterLength = engine.parameters.length;
    const { stepsPerEpoch } = plan.training;
    try {
      await this.write(step, passedOver, {
        parameters: state.subarray(0, parameterLength),
        slots: state.subarray(parameterLength),
        step,
        epoch: Math.floor(step / stepsPerEpoch),
        engine: engine.name,
        epochSums: step % stepsPerEpoch === 0 ? lastSums : sums,
        stopState: [],
        optimizerStep: step,
        damaged: this.damaged,
      });
    } finally {
      this.saveMs = smoothedMs(this.saveMs, cloud.clock.monotonic() - beginMs);
    }
    if (plan.checkpoint.cadence.kind === 'auto') await this.lookBack();
  }

  private async write(
    step: number,
    passedOver: number,
    snapshot: Omit<Parameters<typeof saveCheckpoint>[2], 'generation'>,
  ): Promise<void> {
    const { cloud, plan, leadership, note } = this.parts;
    for (;;) {
      const generation = this.parts.generation();
      const saved = await saveCheckpoint(cloud, plan, { ...snapshot, generation });
      // Somebody came or went meanwhile, and the generation in force is ours too: the same state under its number.
      if (saved.kind === 'fenced' && leadership.leads && this.parts.generation() > generation) continue;
      if (saved.kind === 'saved') {
        this.savedStep = Math.max(this.savedStep, step);
        this.damaged = [];
        const { bytes, durationMs } = saved;
        await note('checkpoint.saved', { step, bytes, durationMs, ...(passedOver === 0 ? {} : { passedOver }) });
      }
      if (saved.kind === 'failed') await note('checkpoint.failed', { step, failure: saved.failure });
      return;
    }
  }

  /** How often this run has been hurt so far; the control plane counts it. An estimate, so wall clocks will do. */
  private async lookBack(): Promise<void> {
    const { cloud, plan } = this.parts;
    const run = (await cloud.table.get<RunRow>(plan.runId, keys.run))?.value;
    if (run === undefined) return;
    this.seen = { losses: run.recoveries, elapsedMs: cloud.clock.now() - (run.startedAtMs ?? run.submittedAtMs) };
  }
}
