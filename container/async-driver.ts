/**
 * Carries out what the asynchronous protocol (core/gang/async) asks for: sockets, engine, table, in the loop of the task
 * (loop.ts). What is about the membership is in membership.ts.
 *
 * Invariants
 *  AD1 A computation that is no longer wanted (another generation, leaving) is called off between two shards.
 */
import type { Cloud } from '../cloud/ports.ts';
import type { Failure } from '../core/failure.ts';
import type { AsyncEffect, AsyncEvent } from '../core/gang/async/effects.ts';
import type { AsyncMember } from '../core/gang/async/member.ts';
import type { WireMessage } from '../core/gang/async/messages.ts';
import type { RunPlan } from '../core/plan.ts';
import type { GangMember, TaskId } from '../core/run.ts';
import type { AsyncChief } from './async-chief.ts';
import type { Chaos } from './chaos.ts';
import type { Leadership } from './leadership.ts';
import type { Ending, Every, Loop } from './loop.ts';
import { type Membership, wireUp } from './membership.ts';
import type { Meter } from './meter.ts';
import { persist } from './persist.ts';
import type { Replica } from './replica.ts';
import type { Transport } from './wire/transport.ts';

export interface AsyncDriverParts {
  readonly cloud: Pick<Cloud, 'table' | 'objects' | 'clock' | 'ids' | 'log' | 'workflow'>;
  readonly plan: RunPlan;
  readonly self: GangMember;
  readonly member: AsyncMember;
  readonly transport: Transport;
  readonly leadership: Leadership;
  readonly chaos: Chaos;
  readonly meter: Meter;
  readonly every: Every;
  /** Workers only. */
  readonly bench?: { readonly replica: Replica; readonly chief: AsyncChief };
}

/** What only those say that take part in an item. */
const usefulTypes: ReadonlySet<string> = new Set(['push', 'pushed', 'replicate', 'replicated']);

type EffectOf<T extends AsyncEffect['type']> = Extract<AsyncEffect, { type: T }>;

export class AsyncDriver {
  private readonly parts: AsyncDriverParts;
  private readonly loop: Loop<AsyncEvent, AsyncEffect>;
  private readonly membership: Membership;

  constructor(parts: AsyncDriverParts) {
    this.parts = parts;
    const perform = (effect: AsyncEffect): void => this.perform(effect);
    const wired = wireUp<AsyncEvent, AsyncEffect>(parts, perform, (peer) => parts.bench?.chief.forget(peer));
    this.loop = wired.loop;
    this.membership = wired.membership;
  }

  /** Runs until this task is to exit; says why. */
  run(): Promise<Ending> {
    const { loop } = this;
    const { bench, meter } = this.parts;
    if (bench !== undefined) loop.beside(bench.replica.warmUp(meter), 'warming up');
    return loop.run(this.parts.member.start(), () => {
      loop.post({ type: 'tick' });
      loop.told(this.tickBeside(), 'renewing the lease');
    });
  }

  post(event: AsyncEvent): void {
    this.loop.post(event);
  }

  received(from: TaskId, message: WireMessage): void {
    if (message.type === 'beat') this.parts.bench?.chief.heard(from, message.report);
    this.loop.post({ type: 'message', from, message });
    const { chaos, self } = this.parts;
    // A parameter server has no items of its own: those that are pushed to it tell it where training is.
    if (message.type === 'push' && self.role === 'parameter-server' && chaos.armed) {
      this.loop.beside(chaos.before(message.item, false), 'chaos');
    }
  }

  fail(failure: Failure): void {
    this.loop.fail(failure);
  }

  private perform(effect: AsyncEffect): void {
    const { transport, meter } = this.parts;
    switch (effect.type) {
      case 'send':
        meter.wire(() => transport.send(effect.to, effect.message));
        if (usefulTypes.has(effect.message.type)) this.membership.useful();
        return;
      case 'compute-item':
        this.loop.beside(this.compute(effect), 'computing');
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
        this.loop.end({ why: effect.why, ...(effect.failure === undefined ? {} : { failure: effect.failure }) });
        return;
      default:
        this.lead(effect);
    }
  }

  /** What only a leader is asked for, and only workers lead. */
  private lead(
    effect: EffectOf<'restore-copies' | 'opened' | 'evaluate-epoch' | 'save-copies' | 'finish-run' | 'diverged'>,
  ): void {
    const { bench, cloud } = this.parts;
    const chief = bench?.chief;
    if (chief === undefined) return;
    switch (effect.type) {
      case 'restore-copies': {
        const { generation, partitions } = effect;
        const restored = persist(cloud.clock, () => chief.restore(partitions));
        this.loop.beside(
          restored.then((copies) => this.loop.post({ type: 'copies-restored', generation, copies })),
          'restoring a checkpoint',
        );
        return;
      }
      case 'opened':
        this.loop.told(chief.opened(effect.done), 'opening a generation');
        return;
      case 'evaluate-epoch': {
        const { epoch, gang, copies } = effect;
        const evaluated = persist(cloud.clock, () => chief.endEpoch(epoch, gang, copies));
        this.loop.beside(
          evaluated.then((stop) => this.loop.post({ type: 'epoch-evaluated', epoch, stop })),
          'ending an epoch',
        );
        return;
      }
      case 'save-copies':
        chief.checkpoint(effect.copies);
        return;
      case 'finish-run':
        this.loop.beside(this.finish(effect, chief), 'finishing');
        return;
      case 'diverged':
        this.loop.beside(this.diverged(effect.item, chief), 'reporting a loss that is not finite');
    }
  }

  private async compute({ generation, item, parameters }: EffectOf<'compute-item'>): Promise<void> {
    const { chaos, bench, member, plan, cloud, meter, leadership } = this.parts;
    if (bench === undefined) return;
    const { replica, chief } = bench;
    meter.state = 'training';
    const calledOff = (): boolean => this.loop.hasEnded || member.generation !== generation;
    if (chaos.armed) await chaos.before(item, leadership.leads);
    if (plan.training.paceMs > 0) await cloud.clock.sleep(plan.training.paceMs);
    const parts = await chief.turns.take(async () => {
      if (calledOff()) return undefined;
      replica.engine.parameters.set(parameters);
      replica.engine.parametersChanged();
      return replica.contribution(item, { from: 0, to: plan.training.shards }, calledOff, meter);
    });
    const contribution = parts?.[0]?.vector;
    if (contribution !== undefined) this.loop.post({ type: 'item-computed', generation, item, contribution });
  }

  /** Fenced: there is a leader after us, which will come to the same end. */
  private async finish({ copies }: EffectOf<'finish-run'>, chief: AsyncChief): Promise<void> {
    const { clock } = this.parts.cloud;
    if ((await persist(clock, () => chief.finish(copies))) !== 'published') return;
    this.loop.close();
    this.dismissAll();
    await persist(clock, () => chief.tellEnd(copies));
    this.loop.end({ why: 'dismissed' });
  }

  private async diverged(step: number, chief: AsyncChief): Promise<void> {
    const { bench, cloud } = this.parts;
    const layer = await chief.turns.take(async () => bench?.replica.findNonFinite(step));
    const failure: Failure = {
      kind: 'NotConverging',
      step,
      loss: 'NaN',
      ...(layer === undefined ? {} : { layer }),
    };
    await persist(cloud.clock, () => chief.giveUp(failure));
    this.dismissAll();
    this.loop.fail(failure);
  }

  private dismissAll(): void {
    const { member, transport, self } = this.parts;
    for (const to of member.membership.leading?.members() ?? []) {
      if (to.taskId !== self.taskId) transport.send(to, { type: 'dismiss', generation: member.generation });
    }
  }

  private async tickBeside(): Promise<void> {
    const { leadership, bench, member } = this.parts;
    await leadership.tick();
    if (!leadership.leads || member.membership.leading === undefined || bench === undefined) return;
    await bench.chief.tick(member);
    if (bench.chief.isCheckpointDue) this.loop.post({ type: 'checkpoint-due' });
  }
}
