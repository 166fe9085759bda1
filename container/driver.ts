/**
 * Carries out what the gang protocol asks for: sockets, engine, table, in the loop of the task (loop.ts).
 *
 * The protocol (core/gang) decides; this file only does. What is about the membership is in membership.ts, what only the
 * leader does in chief.ts.
 *
 * Invariants
 *  DR1 `apply`, `load` and `lend` are done before the next event is handled: the protocol's step and the engine's state
 *      never differ.
 *  DR2 A computation that is no longer wanted (another generation, leaving) is called off between two shards.
 *  DR3 What training waits for is tried again when storage fails.
 */
import type { Cloud } from '../cloud/ports.ts';
import type { Failure } from '../core/failure.ts';
import { isAsync, type WireMessage } from '../core/gang/async/messages.ts';
import type { Effect, Event } from '../core/gang/effects.ts';
import type { Member } from '../core/gang/member.ts';
import type { Trainer } from '../core/gang/trainer.ts';
import type { RunPlan } from '../core/plan.ts';
import type { GangMember, TaskId } from '../core/run.ts';
import type { Chaos } from './chaos.ts';
import type { Chief } from './chief.ts';
import type { Leadership } from './leadership.ts';
import type { Ending, Every, Loop } from './loop.ts';
import { type Membership, wireUp } from './membership.ts';
import type { Meter } from './meter.ts';
import { persist } from './persist.ts';
import type { Replica } from './replica.ts';
import type { Transport } from './wire/transport.ts';

export interface DriverParts {
  readonly cloud: Pick<Cloud, 'table' | 'objects' | 'clock' | 'ids' | 'log' | 'workflow'>;
  readonly plan: RunPlan;
  readonly self: GangMember;
  readonly member: Member;
  readonly transport: Transport;
  readonly leadership: Leadership;
  readonly chaos: Chaos;
  readonly meter: Meter;
  readonly every: Every;
  /** Workers only. */
  readonly replica?: Replica;
  readonly chief?: Chief;
}

export class Driver {
  private readonly parts: DriverParts;
  private readonly loop: Loop<Event, Effect>;
  private readonly membership: Membership;

  constructor(parts: DriverParts) {
    this.parts = parts;
    const perform = (effect: Effect): void => this.perform(effect);
    const wired = wireUp<Event, Effect>(parts, perform, (peer) => parts.chief?.forget(peer));
    this.loop = wired.loop;
    this.membership = wired.membership;
  }

  /** Runs until this task is to exit; says why. */
  run(): Promise<Ending> {
    const { loop } = this;
    const { replica, meter } = this.parts;
    if (replica !== undefined) loop.beside(replica.warmUp(meter), 'warming up');
    return loop.run(this.parts.member.start(), () => {
      loop.post({ type: 'tick' });
      loop.told(this.tickBeside(), 'renewing the lease');
    });
  }

  post(event: Event): void {
    this.loop.post(event);
  }

  received(from: TaskId, message: WireMessage): void {
    // Nobody of this run says such things.
    if (isAsync(message)) return;
    if (message.type === 'beat') this.parts.chief?.heard(from, message.step, message.report);
    this.loop.post({ type: 'message', from, message });
    const { chaos, self } = this.parts;
    // A parameter server has no steps of its own: the step it is asked for tells it where training is.
    if (message.type === 'contribution' && self.role === 'parameter-server' && chaos.armed) {
      this.loop.beside(chaos.before(message.step, false), 'chaos');
    }
  }

  /** Where a total that comes from this task is to be received. */
  placeFor(...what: Parameters<Trainer['placeFor']>): Float32Array | undefined {
    return this.parts.member.trainer.placeFor(...what);
  }

  fail(failure: Failure): void {
    this.loop.fail(failure);
  }

  private perform(effect: Effect): void {
    const { transport, cloud, replica, meter } = this.parts;
    switch (effect.type) {
      case 'send':
        meter.wire(() => transport.send(effect.to, effect.message));
        if (effect.message.type === 'reduced') this.membership.useful();
        return;
      case 'compute':
        this.loop.beside(this.compute(effect), 'computing');
        return;
      case 'apply': {
        const loss = meter.compute(() => replica?.apply(effect.step, effect.reduced) ?? 0);
        meter.applied();
        cloud.log.write('debug', 'step.applied', { step: effect.step });
        this.membership.useful();
        if (!Number.isFinite(loss))
          this.loop.beside(this.diverged(effect.step, loss), 'reporting a loss that is not finite');
        return;
      }
      case 'lend':
        if (replica !== undefined) {
          const { sums, lastSums } = replica;
          const parameterLength = replica.engine.parameters.length;
          const payload = replica.snapshot();
          transport.send(effect.to, { type: 'snapshot', step: effect.step, sums, lastSums, parameterLength, payload });
        }
        return;
      case 'load':
        replica?.load(effect.payload, effect.parameterLength, effect.sums, effect.lastSums);
        return;
      case 'seek-leader':
      case 'commit-generation':
      case 'drop':
      case 'release':
      case 'record':
      case 'news':
        this.membership.perform(effect);
        return;
      case 'exit':
        this.loop.beside(this.leave(effect), 'leaving');
        return;
      case 'restore':
      case 'evaluate':
      case 'checkpoint':
      case 'finish':
        this.lead(effect);
    }
  }

  /** What only a leader is asked for, and only workers lead. */
  private lead(effect: Extract<Effect, { type: 'restore' | 'evaluate' | 'checkpoint' | 'finish' }>): void {
    const { chief, member, cloud } = this.parts;
    if (chief === undefined) return;
    switch (effect.type) {
      case 'restore':
        this.loop.beside(this.restore(chief), 'restoring a checkpoint');
        return;
      case 'evaluate': {
        const workers = member.gang?.workers.length ?? 1;
        this.loop.beside(
          persist(cloud.clock, () => chief.endEpoch(effect.epoch, effect.step, member.generation, workers)).then(
            (stop) => this.loop.post({ type: 'evaluated', step: effect.step, stop }),
          ),
          'ending an epoch',
        );
        return;
      }
      case 'checkpoint':
        chief.checkpoint(effect.step);
        return;
      case 'finish':
        this.loop.beside(this.finish(effect.step), 'finishing');
    }
  }

  /** Only if it is still wanted when it is there: meanwhile somebody else may lead, or have a better state (DR1). */
  private async restore(chief: Chief): Promise<void> {
    const { member, cloud } = this.parts;
    const wanted = member.leading?.state;
    const found = await persist(cloud.clock, () => chief.restore());
    if (wanted !== undefined && member.leading?.state === wanted)
      this.loop.post({ type: 'restored', step: found.load() });
  }

  private async compute({ generation, step, shards }: Extract<Effect, { type: 'compute' }>): Promise<void> {
    const { chaos, replica, member, plan, cloud, meter, leadership } = this.parts;
    if (replica === undefined) return;
    meter.stepBegins();
    const calledOff = (): boolean => this.loop.hasEnded || member.gang?.generation !== generation;
    if (chaos.armed) await chaos.before(step, leadership.leads);
    if (plan.training.paceMs > 0) await cloud.clock.sleep(plan.training.paceMs);
    if (calledOff()) return;
    const parts = await replica.contribution(step, shards, calledOff, meter);
    if (parts === undefined) return;
    this.loop.post({ type: 'computed', generation, step, parts });
    if (!calledOff()) replica.prepare(step + 1, shards);
  }

  private async diverged(step: number, loss: number): Promise<void> {
    const { replica, chief, leadership, cloud } = this.parts;
    if (!leadership.leads || chief === undefined) return;
    const layer = replica?.findNonFinite(step);
    const failure: Failure = {
      kind: 'NotConverging',
      step,
      loss: String(loss),
      ...(layer === undefined ? {} : { layer }),
    };
    await persist(cloud.clock, () => chief.giveUp(failure, step));
    this.dismissAll();
    this.loop.fail(failure);
  }

  /** Fenced: there is a leader after us, which will come to the same end. */
  private async finish(step: number): Promise<void> {
    const { chief, cloud } = this.parts;
    if (chief === undefined) return;
    const done = await persist(cloud.clock, () => chief.finish(step));
    if (done !== 'published') return;
    this.loop.close();
    this.dismissAll();
    await persist(cloud.clock, () => chief.tellEnd(step));
    this.loop.end({ why: 'dismissed' });
  }

  private dismissAll(): void {
    const { member, transport, self } = this.parts;
    for (const to of member.leading?.members() ?? []) {
      if (to.taskId !== self.taskId) transport.send(to, { type: 'dismiss', generation: member.generation });
    }
  }

  private async leave(effect: Extract<Effect, { type: 'exit' }>): Promise<void> {
    const { chief, member } = this.parts;
    if (effect.save) await chief?.saveNow(member.trainer.step);
    this.loop.end({ why: effect.why, ...(effect.failure === undefined ? {} : { failure: effect.failure }) });
  }

  private async tickBeside(): Promise<void> {
    const { leadership, chief, member } = this.parts;
    await leadership.tick();
    if (leadership.leads && member.leading !== undefined) await chief?.tick(member);
  }
}
