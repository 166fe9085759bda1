/**
 * What must be true of every simulated run (DESIGN section 11), checked as it happens. The first violation ends the run.
 *
 *   R1  after `begin` of a generation nothing of an older one is written, and who is in it takes no frame of an older one; a
 *       number belongs to one leader and one gang row
 *   R2  no step that all of a gang had applied is lost while one of them is well; every state is that of the undisturbed run
 *   R3  a listed checkpoint is stored whole, holds the state of its step, and the newest is not lost
 *   R4  every update is made from every shard of its step, once; every epoch counts every sample once
 *   R5  the outcome is that of the undisturbed run
 *   R7  after the outcome nothing of it changes any more, and nobody begins anything; nobody is dismissed before it
 *   P3  no step counts as lost but when nobody was left who had it
 *   P4  who is well is not given up: not dropped, not robbed of the lease or of its slot; nobody goes who is not out
 *   MB2, LD4, LD5, TR4: see core/gang
 */
import { weightsDigest } from '../../container/finish.ts';
import { bytesOf, digestOf } from '../../core/checkpoint.ts';
import { type Gang, type Message, type MessageOf, membersOf } from '../../core/gang/messages.ts';
import type { RunPlan } from '../../core/plan.ts';
import {
  type CheckpointIndex,
  type EpochRow,
  type GangRow,
  keys,
  type LeaderRow,
  type MemberRow,
  type OutcomeRow,
  type ProgressRow,
  prefixes,
  settled,
} from '../../core/run.ts';
import type { Host } from './host.ts';
import type { Storage, Written } from './storage.ts';

/** After trouble the protocol may take so long to give somebody up, or to find that it need not. */
const convalescenceMs = 12_000;
/** A leader that was in trouble itself may misjudge others for so long. */
const recollectMs = 2_000;

/** How far ahead of everybody a generation may begin. */
const furthest = 2;

export interface Seen {
  readonly plan: RunPlan;
  readonly storage: Storage;
  readonly reference: readonly Float32Array[];
  readonly endStep: number;
  readonly nowMs: () => number;
  readonly host: (taskId: string) => Host | undefined;
  /** The newest generation that a process has been prepared for. */
  readonly generationOf: (host: Host) => number;
}

export class Rules {
  violation: string | undefined;
  restores = 0;
  private readonly seen: Seen;
  private readonly steps = new Map<string, number>();
  private readonly generations = new Map<number, GangRow>();
  private inForce: Gang | undefined;
  private fromStep = 0;
  /** Where each generation begins. */
  private readonly beginnings = new Map<number, number>();
  private newestGang: GangRow | undefined;
  private newestSaved = 0;
  private readonly savedWhenAsked = new Map<Host, number>();
  private endedAtMs: number | undefined;
  private endedBy: string | undefined;
  /** Training went back to a checkpoint. */
  private startedOver = false;
  /** Who was told by a newer generation that it is out. */
  private readonly fenced = new Set<string>();
  private readonly droppedEver = new Set<string>();
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
    if (expected?.every((value, i) => value === state[i]) !== true)
      this.break(`R2 ${host.taskId} has another state after step ${step} than the undisturbed run`);
    this.steps.set(host.taskId, step);
    const gang = this.inForce;
    if (gang?.workers.some((worker) => worker.taskId === host.taskId) !== true) return;
    for (const other of gang.workers) {
      const behind = step - (this.steps.get(other.taskId) ?? 0);
      // One that is being brought up gets its state later; from the first step of the generation on it has it.
      if (behind > 1 && step > this.fromStep + 1)
        this.break(`TR4 ${host.taskId} is at step ${step}, ${other.taskId} at ${step - behind}`);
    }
  }

  loaded(host: Host, step: number): void {
    this.steps.set(host.taskId, step);
  }

  /** What is saved after this may come too late for a restore. */
  asksForCheckpoints(host: Host): void {
    this.savedWhenAsked.set(host, this.newestSaved);
  }

  /** A leader goes back to a checkpoint. */
  restored(host: Host, step: number): void {
    this.restores += 1;
    if (this.inForce !== undefined) this.startedOver = true;
    const saved = this.savedWhenAsked.get(host) ?? 0;
    if (step < saved) this.break(`R2 ${host.taskId} restores step ${step}, and step ${saved} was saved`);
    this.steps.set(host.taskId, step);
    const members = (this.inForce?.workers ?? []).map((worker) => this.seen.host(worker.taskId));
    const well = members.find((other) => other !== undefined && this.isWell(other) && this.stepOf(other) > step);
    if (well !== undefined)
      this.break(`R2 ${host.taskId} restores step ${step}, while ${well.taskId} is well at step ${this.stepOf(well)}`);
  }

  sent(from: Host, message: Message): void {
    if (this.fenced.has(from.taskId))
      this.break(`MB2 ${from.taskId} says ${message.type} after it was told that it is out`);
    if (message.type === 'begin') this.begins(from, message);
    if (message.type === 'dismiss' && this.endedAtMs === undefined)
      this.break(`R7 ${from.taskId} dismisses before there is an outcome`);
  }

  /** A frame of an older generation must be refused. */
  took(host: Host, message: Message, before: number, refused: boolean): void {
    const fenced = message.type === 'contribution' || message.type === 'reduced' || message.type === 'prepare';
    if (fenced && message.generation < before && !refused)
      this.break(`R1 ${host.taskId} takes a ${message.type} of generation ${message.generation}, it is in ${before}`);
    if (message.type === 'fenced' && message.generation > before) this.fenced.add(host.taskId);
  }

  /** The leader decides that the slot of a lost member is free. `holds`: it waits for machines, and nobody trains. */
  releases(by: Host, peer: string, holds: boolean): void {
    if (!holds && this.leads(by) && this.trains(peer))
      this.break(`LD5 ${by.taskId} frees the slot of ${peer}, which is in generation ${this.newestGang?.generation}`);
  }

  /** Out is who is not in the newest gang, or whom a leader has dropped. */
  exits(host: Host, why: string): void {
    const { taskId } = host;
    if (why.startsWith('failed') && !/StorageFailed|TaskLost/.test(why)) this.break(`${taskId} ${why}`);
    if (why === 'fenced' && this.trains(taskId) && !this.droppedEver.has(taskId))
      this.break(`P4 ${taskId} goes as if it were out, and it is in generation ${this.newestGang?.generation}`);
  }

  dropped(by: Host, peer: Host): void {
    this.droppedEver.add(peer.taskId);
    // What one does that has lost the lease, and does not know yet, concerns nobody.
    // One that was stopped a moment ago has not heard everybody yet, and may have to choose between two.
    const mayErr = this.seen.nowMs() - by.troubledAtMs < recollectMs;
    if (this.leads(by) && !mayErr && this.isWell(peer))
      this.break(`P4 ${by.taskId} drops ${peer.taskId}, which is well`);
  }

  /** A member goes into a generation. */
  began(host: Host, gang: Gang): void {
    const { generation } = gang;
    const row = this.generations.get(generation);
    const listed = row?.members.map((member) => member.taskId).join();
    if (
      row?.leader !== gang.leader ||
      listed !==
        membersOf(gang)
          .map((member) => member.taskId)
          .join()
    )
      this.break(`R1 ${host.taskId} goes into generation ${generation}, which is not committed so`);
    if (generation <= (this.inForce?.generation ?? 0)) return;
    // Its writer may not have had the answer yet.
    if (this.endedAtMs !== undefined && this.endedBy !== gang.leader)
      this.break(`R7 generation ${generation} begins after the end`);
    const top = this.topOf(gang);
    if (this.inForce !== undefined) {
      const before = this.inForce.workers.map((worker) => this.steps.get(worker.taskId) ?? 0);
      const committed = Math.max(this.fromStep, Math.min(...before));
      const members = this.inForce.workers.map((worker) => this.seen.host(worker.taskId));
      const well = members.find(
        (other) => other !== undefined && this.isWell(other) && this.stepOf(other) >= committed,
      );
      if (top < committed && well !== undefined)
        this.break(
          `R2 generation ${generation} begins at ${top}; all had applied ${committed}, and ${well.taskId} is well`,
        );
    }
    this.inForce = gang;
    this.fromStep = this.beginnings.get(generation) ?? top;
  }

  private begins(from: Host, { gang, fromStep }: MessageOf<'begin'>): void {
    if (gang.leader !== from.taskId) this.break(`R1 ${from.taskId} begins the generation of ${gang.leader}`);
    const top = this.topOf(gang);
    // A leader that has been replaced, and does not know yet, begins nothing.
    const replaced = gang.generation < (this.newestGang?.generation ?? 0);
    // Those that go on meanwhile may be a little before it.
    if ((fromStep < top || fromStep > top + furthest) && !replaced)
      this.break(`R2 generation ${gang.generation} begins at ${fromStep}, a member is at ${top}`);
    this.beginnings.set(gang.generation, fromStep);
  }

  private topOf(gang: Gang): number {
    return Math.max(...gang.workers.map((worker) => this.steps.get(worker.taskId) ?? 0));
  }

  written({ host, key, before, after, fence, askedAtMs }: Written): void {
    const who = host?.taskId ?? 'the control plane';
    const isFenced = key === keys.progress || key === keys.checkpoints || key === keys.outcome;
    const inForce = this.inForce?.generation ?? 0;
    const generation = host === undefined ? inForce : this.seen.generationOf(host);
    if (isFenced && before !== undefined && (fence ?? generation) < inForce)
      this.break(`R1 ${who} writes ${key}, under generation ${fence ?? generation} of ${inForce}`);
    if (key === keys.leader) this.leaseTaken(who, before?.value as LeaderRow | undefined, after?.value as LeaderRow);
    if (key.startsWith(prefixes.member)) this.slotChanged(host, before?.value as MemberRow, after?.value as MemberRow);
    if (key === keys.gang) this.committed(who, before?.value as GangRow | undefined, after?.value as GangRow);
    const late = this.endedAtMs !== undefined && askedAtMs > this.endedAtMs && who !== this.endedBy;
    if (late && isResult(key)) this.break(`R7 ${who} writes ${key} after the end`);
    // What is added harms no checkpoint.
    if (key === keys.checkpoints || (key.startsWith(prefixes.part) && after === undefined)) this.checkCheckpoints(who);
    if (key.startsWith(prefixes.epoch)) this.epochEnded(after?.value as EpochRow);
    if (key === keys.progress) this.progressed(who, before?.value as ProgressRow, after?.value as ProgressRow);
    if (key === keys.outcome)
      this.ended(who, settled(before?.value as OutcomeRow), settled(after?.value as OutcomeRow));
  }

  /** Release finds a task that is still there. */
  released(host: Host): void {
    if (this.isWell(host)) this.break(`R7 ${host.taskId} is well and still there long after the end`);
  }

  private leads(host: Host): boolean {
    return this.seen.storage.get<LeaderRow>(keys.leader)?.value.taskId === host.taskId;
  }

  private trains(taskId: string): boolean {
    return this.newestGang?.members.some((member) => member.taskId === taskId) === true;
  }

  private isWell(host: Host): boolean {
    return host.alive && this.seen.nowMs() - host.troubledAtMs > convalescenceMs;
  }

  private committed(who: string, before: GangRow | undefined, after: GangRow): void {
    if (before !== undefined && after.generation <= before.generation)
      this.break(`R1 ${who} commits generation ${after.generation} after ${before.generation}`);
    if (!after.members.some((member) => member.taskId === after.leader && member.role === 'worker'))
      this.break(`LD4 generation ${after.generation} is without its leader`);
    const workers = after.members.filter((member) => member.role === 'worker').length;
    const { min, max } = this.seen.plan.cluster.worker;
    if (workers < min || workers > max) this.break(`LD3 generation ${after.generation} has ${workers} workers`);
    if (new Set(after.members.map((member) => member.slot)).size < after.members.length)
      this.break(`generation ${after.generation} has two members of one slot`);
    this.generations.set(after.generation, after);
    this.newestGang = after;
  }

  private leaseTaken(who: string, before: LeaderRow | undefined, after: LeaderRow): void {
    if (before === undefined || before.taskId === after.taskId) return;
    const holder = this.seen.host(before.taskId);
    if (holder !== undefined && this.isWell(holder))
      this.break(`P4 ${who} takes the lease of ${before.taskId}, which is well`);
  }

  private slotChanged(by: Host | undefined, before: MemberRow | undefined, after: MemberRow): void {
    const { taskId } = before ?? after;
    if (after.state !== 'gone' || by?.taskId === taskId) return;
    const owner = this.seen.host(taskId);
    if (this.trains(taskId) && owner !== undefined && this.isWell(owner))
      this.break(`LD5 ${by?.taskId} frees the slot of ${taskId}, which is well and trains`);
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
    this.endedBy = who;
    const { reference, endStep, plan } = this.seen;
    const expected = weightsDigest((reference[endStep] as Float32Array).slice(0, 4));
    if (after.kind !== 'trained') this.break(`R5 ${who} gives up: ${JSON.stringify(after.failure)}`);
    else if (after.lostSteps > 0 && !this.startedOver)
      this.break(`P3 ${after.lostSteps} steps count as lost, and nobody went back to a checkpoint`);
    else if (after.steps !== endStep) this.break(`R5 training ends after ${after.steps} steps instead of ${endStep}`);
    else if (after.weightsDigest !== expected) this.break('R5 the outcome has other weights');
    for (let epoch = 1; epoch <= endStep / plan.training.stepsPerEpoch; epoch += 1) {
      if (this.seen.storage.get(keys.epoch(epoch)) === undefined) this.break(`R4 epoch ${epoch} has no row at the end`);
    }
  }
}

/** What a result is made of. Parts of checkpoints are named by their content, and nobody lists them any more. */
function isResult(key: string): boolean {
  return key === keys.outcome || key === keys.checkpoints || key.startsWith(prefixes.epoch);
}
