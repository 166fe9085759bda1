/**
 * What must be true of every simulated run (DESIGN section 11), checked as it happens. The first violation ends the run.
 *
 *   R1  after `begin` of a generation nothing of an older one is written; a number belongs to one leader and one gang row
 *   R2  no step that all of a gang had applied is lost while one of them is well; every state is that of the undisturbed run
 *   R3  a listed checkpoint is stored whole, holds the state of its step, and the newest is not lost
 *   R4  every update is made from every shard of its step, once; every epoch counts every sample once
 *   R5  the outcome is that of the undisturbed run
 *   R7  after the outcome nothing of it changes any more, and nobody begins anything
 *   TR4 workers of a gang are never more than one step apart
 */
import { weightsDigest } from '../../container/finish.ts';
import { bytesOf, digestOf } from '../../core/checkpoint.ts';
import type { MessageOf } from '../../core/gang/messages.ts';
import type { RunPlan } from '../../core/plan.ts';
import {
  type CheckpointIndex,
  type EpochRow,
  type GangRow,
  keys,
  type OutcomeRow,
  type ProgressRow,
  settled,
} from '../../core/run.ts';
import type { Host } from './host.ts';
import type { Storage, Written } from './storage.ts';

/** After trouble the protocol may take so long to give somebody up, or to find that it need not. */
const convalescenceMs = 12_000;

export interface Seen {
  readonly plan: RunPlan;
  readonly storage: Storage;
  readonly reference: readonly Float32Array[];
  readonly endStep: number;
  readonly nowMs: () => number;
  readonly hosts: () => Iterable<Host>;
}

export class Rules {
  violation: string | undefined;
  restores = 0;
  private readonly seen: Seen;
  private readonly steps = new Map<string, number>();
  private readonly generations = new Map<number, GangRow>();
  private readonly begun = new Map<number, MessageOf<'begin'>>();
  private inForce = 0;
  private newestSaved = 0;
  private endedAtMs: number | undefined;
  private readonly digests: (string | undefined)[] = [];

  constructor(seen: Seen) {
    this.seen = seen;
  }

  stepOf(host: Host): number {
    return this.steps.get(host.taskId) ?? 0;
  }

  break(what: string): void {
    this.violation ??= what;
  }

  /** R2, R5: the state after so many updates. */
  reached(host: Host, step: number, state: Float32Array): void {
    const expected = this.seen.reference[step];
    if (expected === undefined) return this.break(`R2 ${host.taskId} goes beyond the last step, to ${step}`);
    for (let i = 0; i < state.length; i += 1) {
      if (state[i] !== expected[i]) return this.break(`R2 ${host.taskId} has another state after step ${step}`);
    }
    this.steps.set(host.taskId, step);
    const gang = this.begun.get(this.inForce)?.gang;
    if (gang?.workers.some((worker) => worker.taskId === host.taskId) !== true) return;
    for (const other of gang.workers) {
      const behind = step - (this.steps.get(other.taskId) ?? 0);
      // One that is being brought up gets its state later; from the first step of the generation on it has it.
      if (behind > 1 && step > (this.begun.get(this.inForce)?.fromStep ?? 0) + 1)
        this.break(`TR4 ${host.taskId} is at step ${step}, ${other.taskId} at ${step - behind}`);
    }
  }

  loaded(host: Host, step: number): void {
    this.steps.set(host.taskId, step);
  }

  /** A leader goes back to a checkpoint. */
  restored(host: Host, step: number): void {
    this.restores += 1;
    this.steps.set(host.taskId, step);
    const well = [...this.seen.hosts()].find(
      (other) => this.isWell(other) && this.stepOf(other) > step && other !== host,
    );
    if (well !== undefined)
      this.break(`R2 ${host.taskId} restores step ${step}, while ${well.taskId} is well at step ${this.stepOf(well)}`);
  }

  sent(from: Host, message: MessageOf<'begin'>): void {
    const { gang, fromStep } = message;
    const { generation } = gang;
    const row = this.generations.get(generation);
    const same = row?.leader === gang.leader && from.taskId === gang.leader;
    if (!same) this.break(`R1 ${from.taskId} begins generation ${generation}, which is not committed so`);
    const listed = row?.members.map((member) => member.taskId).join();
    if (listed !== [...gang.workers, ...gang.servers].map((member) => member.taskId).join())
      this.break(`R1 generation ${generation} is begun with other members than were committed`);
    if (!this.begun.has(generation)) {
      if (generation < this.inForce) this.begun.set(generation, message);
      else this.begin(from, message, fromStep);
    }
  }

  written({ host, key, before, after, fence, askedAtMs }: Written): void {
    const who = host?.taskId ?? 'the control plane';
    if (fence !== undefined && fence < this.inForce)
      this.break(`R1 ${who} writes ${key} under ${fence} of ${this.inForce}`);
    if (key === keys.gang) this.committed(who, before?.value as GangRow | undefined, after?.value as GangRow);
    if (this.endedAtMs !== undefined && askedAtMs > this.endedAtMs && isResult(key))
      this.break(`R7 ${who} writes ${key} after the end`);
    if (key === keys.checkpoints || key.startsWith('part/')) this.checkCheckpoints(who);
    if (key.startsWith('epoch/')) this.epochEnded(after?.value as EpochRow);
    if (key === keys.progress) this.progressed(who, before?.value as ProgressRow, after?.value as ProgressRow);
    if (key === keys.outcome)
      this.ended(who, settled(before?.value as OutcomeRow), settled(after?.value as OutcomeRow));
  }

  private isWell(host: Host): boolean {
    return host.alive && this.seen.nowMs() - host.troubledAtMs > convalescenceMs;
  }

  private begin(from: Host, message: MessageOf<'begin'>, fromStep: number): void {
    const last = this.begun.get(this.inForce);
    if (this.endedAtMs !== undefined)
      this.break(`R7 ${from.taskId} begins generation ${message.gang.generation} after the end`);
    if (last !== undefined) {
      const all = last.gang.workers.map((worker) => this.steps.get(worker.taskId) ?? 0);
      const committed = Math.max(last.fromStep, Math.min(...all));
      const well = [...this.seen.hosts()].find((host) => this.isWell(host) && this.stepOf(host) >= committed);
      if (fromStep < committed && well !== undefined)
        this.break(
          `R2 generation ${message.gang.generation} begins at ${fromStep}, all had applied ${committed}, and ${well.taskId} is well`,
        );
    }
    this.inForce = message.gang.generation;
    this.begun.set(this.inForce, message);
  }

  private committed(who: string, before: GangRow | undefined, after: GangRow): void {
    if (before !== undefined && after.generation <= before.generation)
      this.break(`R1 ${who} commits generation ${after.generation} after ${before.generation}`);
    if (!after.members.some((member) => member.taskId === after.leader && member.role === 'worker'))
      this.break(`LD4 generation ${after.generation} is without its leader`);
    this.generations.set(after.generation, after);
  }

  private progressed(who: string, before: ProgressRow | undefined, after: ProgressRow): void {
    const back = (before?.step ?? 0) - after.step;
    if (back > 1 && this.restores === 0) this.break(`R2 ${who} reports step ${after.step} after ${before?.step}`);
  }

  /** R3. */
  private checkCheckpoints(who: string): void {
    const index = this.seen.storage.get<CheckpointIndex>(keys.checkpoints)?.value;
    for (const manifest of index?.manifests ?? []) {
      for (const part of manifest.parts) {
        const whole = Array.from({ length: part.chunks }, (_, i) => this.seen.storage.get(keys.part(part.digest, i)));
        if (part.bytes > 0 && whole.includes(undefined))
          this.break(
            `R3 ${who}: the checkpoint of step ${manifest.step} is listed, and its ${part.name} are not stored`,
          );
      }
      if (manifest.parts[0]?.digest !== this.digestAt(manifest.step))
        this.break(`R3 ${who}: the checkpoint of step ${manifest.step} does not hold the state of that step`);
    }
    const newest = Math.max(0, ...(index?.manifests ?? []).map((manifest) => manifest.step));
    if (newest < this.newestSaved) this.break(`R3 ${who} loses the checkpoint of step ${this.newestSaved}`);
    this.newestSaved = newest;
  }

  private digestAt(step: number): string | undefined {
    this.digests[step] ??= digestOf(bytesOf((this.seen.reference[step] as Float32Array).slice(0, 4)));
    return this.digests[step];
  }

  /** R4 and R5 of an epoch. */
  private epochEnded(row: EpochRow): void {
    const { shards, stepsPerEpoch } = this.seen.plan.training;
    if (row.samples !== shards * stepsPerEpoch) this.break(`R4 epoch ${row.epoch} counts ${row.samples} samples`);
    if (row.step !== row.epoch * stepsPerEpoch) this.break(`R4 epoch ${row.epoch} ends at step ${row.step}`);
  }

  private ended(who: string, before: OutcomeRow | undefined, after: OutcomeRow | undefined): void {
    if (before !== undefined) this.break(`R7 ${who} writes the outcome again`);
    if (after === undefined) return;
    this.endedAtMs = this.seen.nowMs();
    const { reference, endStep, plan } = this.seen;
    const expected = weightsDigest((reference[endStep] as Float32Array).slice(0, 4));
    if (after.kind !== 'trained') this.break(`R5 ${who} gives up: ${JSON.stringify(after.failure)}`);
    else if (after.steps !== endStep) this.break(`R5 training ends after ${after.steps} steps instead of ${endStep}`);
    else if (after.weightsDigest !== expected) this.break('R5 the outcome has other weights');
    for (let epoch = 1; epoch <= endStep / plan.training.stepsPerEpoch; epoch += 1) {
      if (this.seen.storage.get(keys.epoch(epoch)) === undefined) this.break(`R4 epoch ${epoch} has no row at the end`);
    }
  }
}

/** What a result is made of. Parts of checkpoints are named by their content, and nobody lists them any more. */
function isResult(key: string): boolean {
  return key === keys.outcome || key === keys.checkpoints || key.startsWith('epoch/');
}
