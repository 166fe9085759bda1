/**
 * Carries out what the asynchronous protocol (core/gang/async) asks for: sockets, engine, table. One event at a time;
 * effects in order; what takes long goes on beside and comes back as an event.
 *
 * Invariants
 *  AD1 A computation that is no longer wanted (another generation, leaving) is called off between two shards.
 *  AD2 Whatever fails unexpectedly ends this task with a failure and an exit code; the others go on without it.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { type Failure, toFailure } from '../core/failure.ts';
import type { AsyncEffect, AsyncEvent } from '../core/gang/async/effects.ts';
import type { AsyncMember } from '../core/gang/async/member.ts';
import type { WireMessage } from '../core/gang/async/messages.ts';
import type { RunPlan } from '../core/plan.ts';
import type { GangMember, TaskId } from '../core/run.ts';
import type { AsyncChief } from './async-chief.ts';
import type { Chaos } from './chaos.ts';
import type { Ending } from './driver.ts';
import type { Leadership } from './leadership.ts';
import type { Meter } from './meter.ts';
import { persist } from './persist.ts';
import type { Replica } from './replica.ts';
import { noteUseful } from './slot.ts';
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
  /** Calls again and again until what it answers is called. */
  readonly every: (ms: number, work: () => void) => () => void;
  /** Workers only. */
  readonly bench?: { readonly replica: Replica; readonly chief: AsyncChief };
}

/** What only those say that take part in an item. */
const usefulTypes: ReadonlySet<string> = new Set(['push', 'pushed', 'replicate', 'replicated']);

/** Granularity of the protocol's deadlines. */
const tickMs = 50;

type EffectOf<T extends AsyncEffect['type']> = Extract<AsyncEffect, { type: T }>;

export class AsyncDriver {
  private readonly parts: AsyncDriverParts;
  private readonly queue: AsyncEvent[] = [];
  private draining = false;
  /** The outcome is written: nothing is decided any more (R7). */
  private over = false;
  private wasUseful = false;
  private ending: Ending | undefined;
  private readonly ended: Promise<Ending>;
  private resolveEnded: (ending: Ending) => void = () => undefined;

  constructor(parts: AsyncDriverParts) {
    this.parts = parts;
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
  }

  /** Runs until this task is to exit; says why. */
  async run(): Promise<Ending> {
    const stop = this.parts.every(tickMs, () => {
      this.post({ type: 'tick' });
      this.told(this.tickBeside(), 'renewing the lease');
    });
    this.carryOut(this.parts.member.start());
    const ending = await this.ended;
    stop();
    return ending;
  }

  post(event: AsyncEvent): void {
    this.queue.push(event);
    if (this.draining) return;
    this.draining = true;
    try {
      for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
        if (this.ending !== undefined || this.over) return;
        this.carryOut(this.parts.member.handle(next, this.parts.cloud.clock.monotonic()));
      }
    } catch (error) {
      this.fail(toFailure(error));
    } finally {
      this.draining = false;
    }
  }

  received(from: TaskId, message: WireMessage): void {
    if (message.type === 'beat') this.parts.bench?.chief.heard(from, message.report);
    this.post({ type: 'message', from, message });
    const { chaos, self } = this.parts;
    // A parameter server has no items of its own: those that are pushed to it tell it where training is.
    if (message.type === 'push' && self.role === 'parameter-server' && chaos.armed) {
      this.beside(chaos.before(message.item, false), 'chaos');
    }
  }

  fail(failure: Failure): void {
    this.end({ why: 'failed', failure });
  }

  private end(ending: Ending): void {
    if (this.ending !== undefined) return;
    this.ending = ending;
    this.resolveEnded(ending);
  }

  private carryOut(effects: readonly AsyncEffect[]): void {
    for (const effect of effects) {
      if (this.ending !== undefined) return;
      this.perform(effect);
    }
  }

  private perform(effect: AsyncEffect): void {
    const { transport, leadership, cloud, plan, self, bench, meter } = this.parts;
    switch (effect.type) {
      case 'send':
        meter.wire(() => transport.send(effect.to, effect.message));
        if (usefulTypes.has(effect.message.type)) this.useful();
        return;
      case 'compute-item':
        this.beside(this.compute(effect), 'computing');
        return;
      case 'seek-leader':
        this.told(leadership.seek(effect.gone, effect.blank), 'looking for the leader');
        return;
      case 'commit-generation':
        this.beside(
          persist(cloud.clock, () => leadership.commit(effect.gang, effect.fromStep, effect.why)),
          'committing a generation',
        );
        return;
      case 'drop':
        transport.drop(effect.peer.taskId);
        bench?.chief.forget(effect.peer.taskId);
        return;
      case 'release':
        this.told(
          persist(cloud.clock, () => leadership.release(effect.peer, effect.why)),
          'freeing a slot',
        );
        return;
      case 'record':
        // Refusals are as many as somebody cares to send: they go to the log, not to the table.
        if (effect.event === 'frame.refused') cloud.log.write('debug', effect.event, effect.detail);
        else this.told(record(cloud, plan.runId, effect.event, { by: self.slot, ...effect.detail }), 'recording');
        return;
      case 'news':
        this.told(
          persist(cloud.clock, () => leadership.news(effect.why)),
          'raising a signal',
        );
        return;
      case 'exit':
        this.end({ why: effect.why, ...(effect.failure === undefined ? {} : { failure: effect.failure }) });
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
        this.beside(
          restored.then((copies) => this.post({ type: 'copies-restored', generation, copies })),
          'restoring a checkpoint',
        );
        return;
      }
      case 'opened':
        this.told(chief.opened(effect.done), 'opening a generation');
        return;
      case 'evaluate-epoch': {
        const { epoch, gang, copies } = effect;
        const evaluated = persist(cloud.clock, () => chief.endEpoch(epoch, gang, copies));
        this.beside(
          evaluated.then((stop) => this.post({ type: 'epoch-evaluated', epoch, stop })),
          'ending an epoch',
        );
        return;
      }
      case 'save-copies':
        chief.checkpoint(effect.copies);
        return;
      case 'finish-run':
        this.beside(this.finish(effect, chief), 'finishing');
        return;
      case 'diverged':
        this.beside(this.diverged(effect.item, chief), 'reporting a loss that is not finite');
    }
  }

  private async compute({ generation, item, parameters }: EffectOf<'compute-item'>): Promise<void> {
    const { chaos, bench, member, plan, cloud, meter, leadership } = this.parts;
    if (bench === undefined) return;
    const { replica, chief } = bench;
    meter.state = 'training';
    const calledOff = (): boolean => this.ending !== undefined || member.generation !== generation;
    if (chaos.armed) await chaos.before(item, leadership.leads);
    if (plan.training.paceMs > 0) await cloud.clock.sleep(plan.training.paceMs);
    const parts = await chief.turns.take(async () => {
      if (calledOff()) return undefined;
      replica.engine.parameters.set(parameters);
      replica.engine.parametersChanged();
      return replica.contribution(item, { from: 0, to: plan.training.shards }, calledOff, meter);
    });
    const contribution = parts?.[0]?.vector;
    if (contribution !== undefined) this.post({ type: 'item-computed', generation, item, contribution });
  }

  /** Fenced: there is a leader after us, which will come to the same end. */
  private async finish({ copies }: EffectOf<'finish-run'>, chief: AsyncChief): Promise<void> {
    const { clock } = this.parts.cloud;
    if ((await persist(clock, () => chief.finish(copies))) !== 'published') return;
    this.over = true;
    this.dismissAll();
    await persist(clock, () => chief.tellEnd(copies));
    this.end({ why: 'dismissed' });
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
    this.fail(failure);
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
    if (bench.chief.isCheckpointDue) this.post({ type: 'checkpoint-due' });
  }

  /** Said once, of the first item that we took part in. */
  private useful(): void {
    if (this.wasUseful) return;
    this.wasUseful = true;
    const { cloud, plan, self } = this.parts;
    this.told(noteUseful(cloud, plan.runId, self.taskId), 'noting the first step');
  }

  /** What is tried again anyway, or only tells: its failure ends nothing. */
  private told(work: Promise<void>, what: string): void {
    work.catch((error: unknown) => {
      this.parts.cloud.log.write('warn', 'task.faltered', { what, failure: toFailure(error) });
    });
  }

  private beside(work: Promise<void>, what: string): void {
    work.catch((error: unknown) => {
      const failure = toFailure(error);
      const stack = error instanceof Error ? error.stack : undefined;
      this.parts.cloud.log.write('error', 'task.lost', { what, failure, stack });
      this.fail(failure);
    });
  }
}
