/**
 * Carries out what the gang protocol asks for: sockets, engine, table. One event at a time; effects in order; what takes
 * long (computing, evaluating, storing) goes on beside and comes back as an event.
 *
 * The protocol (core/gang) decides; this file only does. What only the leader does is in chief.ts.
 *
 * Invariants
 *  DR1 `apply`, `load` and `lend` are done before the next event is handled: the protocol's step and the engine's state
 *      never differ.
 *  DR2 A computation that is no longer wanted (another generation, leaving) is called off between two shards.
 *  DR3 Whatever fails unexpectedly ends this task with a failure and an exit code; the others go on without it.
 *  DR4 What training waits for is tried again when storage fails; what is only told, or is due again soon, is not worth a
 *      task: its failure is logged.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { type Failure, toFailure } from '../core/failure.ts';
import { isAsync, type WireMessage } from '../core/gang/async/messages.ts';
import type { Effect, Event } from '../core/gang/effects.ts';
import type { Member } from '../core/gang/member.ts';
import type { Trainer } from '../core/gang/trainer.ts';
import type { RunPlan } from '../core/plan.ts';
import type { GangMember, TaskId } from '../core/run.ts';
import type { Chaos } from './chaos.ts';
import type { Chief } from './chief.ts';
import type { Leadership } from './leadership.ts';
import type { Meter } from './meter.ts';
import { persist } from './persist.ts';
import type { Replica } from './replica.ts';
import { noteUseful } from './slot.ts';
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
  /**
   * Calls back again and again until it is told to stop, each time after what has come in meanwhile was taken: who was
   * busy or stopped must listen before it judges who is silent. Given by the composition root.
   */
  readonly every: (ms: number, work: () => void) => () => void;
  /** Workers only. */
  readonly replica?: Replica;
  readonly chief?: Chief;
}

export interface Ending {
  readonly why: 'left' | 'fenced' | 'dismissed' | 'failed';
  readonly failure?: Failure;
}

/** Granularity of the protocol's deadlines. */
const tickMs = 50;

export class Driver {
  private readonly parts: DriverParts;
  private readonly queue: Event[] = [];
  private draining = false;
  /** The outcome is written: nothing is decided any more (R7). */
  private over = false;
  private wasUseful = false;
  private ending: Ending | undefined;
  private readonly ended: Promise<Ending>;
  private resolveEnded: (ending: Ending) => void = () => undefined;

  constructor(parts: DriverParts) {
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

  post(event: Event): void {
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
    // Nobody of this run says such things.
    if (isAsync(message)) return;
    if (message.type === 'beat') this.parts.chief?.heard(from, message.step, message.report);
    this.post({ type: 'message', from, message });
    const { chaos, self } = this.parts;
    // A parameter server has no steps of its own: the step it is asked for tells it where training is.
    if (message.type === 'contribution' && self.role === 'parameter-server' && chaos.armed) {
      this.beside(chaos.before(message.step, false), 'chaos');
    }
  }

  /** Where a total that comes from this task is to be received. */
  placeFor(...what: Parameters<Trainer['placeFor']>): Float32Array | undefined {
    return this.parts.member.trainer.placeFor(...what);
  }

  fail(failure: Failure): void {
    this.end({ why: 'failed', failure });
  }

  private end(ending: Ending): void {
    if (this.ending !== undefined) return;
    this.ending = ending;
    this.resolveEnded(ending);
  }

  private carryOut(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (this.ending !== undefined) return;
      this.perform(effect);
    }
  }

  private perform(effect: Effect): void {
    const { transport, leadership, cloud, plan, self, replica, chief, meter } = this.parts;
    switch (effect.type) {
      case 'send':
        meter.wire(() => transport.send(effect.to, effect.message));
        if (effect.message.type === 'reduced') this.useful();
        return;
      case 'compute':
        this.beside(this.compute(effect), 'computing');
        return;
      case 'apply': {
        const loss = meter.compute(() => replica?.apply(effect.step, effect.reduced) ?? 0);
        meter.applied();
        cloud.log.write('debug', 'step.applied', { step: effect.step });
        this.useful();
        if (!Number.isFinite(loss))
          this.beside(this.diverged(effect.step, loss), 'reporting a loss that is not finite');
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
        chief?.forget(effect.peer.taskId);
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
        this.beside(this.leave(effect), 'leaving');
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
        this.beside(this.restore(chief), 'restoring a checkpoint');
        return;
      case 'evaluate': {
        const workers = member.gang?.workers.length ?? 1;
        this.beside(
          persist(cloud.clock, () => chief.endEpoch(effect.epoch, effect.step, member.generation, workers)).then(
            (stop) => this.post({ type: 'evaluated', step: effect.step, stop }),
          ),
          'ending an epoch',
        );
        return;
      }
      case 'checkpoint':
        chief.checkpoint(effect.step);
        return;
      case 'finish':
        this.beside(this.finish(effect.step), 'finishing');
    }
  }

  /** Only if it is still wanted when it is there: meanwhile somebody else may lead, or have a better state (DR1). */
  private async restore(chief: Chief): Promise<void> {
    const { member, cloud } = this.parts;
    const wanted = member.leading?.state;
    const found = await persist(cloud.clock, () => chief.restore());
    if (wanted !== undefined && member.leading?.state === wanted) this.post({ type: 'restored', step: found.load() });
  }

  private async compute({ generation, step, shards }: Extract<Effect, { type: 'compute' }>): Promise<void> {
    const { chaos, replica, member, plan, cloud, meter, leadership } = this.parts;
    if (replica === undefined) return;
    meter.stepBegins();
    const calledOff = (): boolean => this.ending !== undefined || member.generation !== generation;
    if (chaos.armed) await chaos.before(step, leadership.leads);
    if (plan.training.paceMs > 0) await cloud.clock.sleep(plan.training.paceMs);
    if (calledOff()) return;
    const parts = await replica.contribution(step, shards, calledOff, meter);
    if (parts === undefined) return;
    this.post({ type: 'computed', generation, step, parts });
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
    this.fail(failure);
  }

  /** Fenced: there is a leader after us, which will come to the same end. */
  private async finish(step: number): Promise<void> {
    const { chief, cloud } = this.parts;
    if (chief === undefined) return;
    const done = await persist(cloud.clock, () => chief.finish(step));
    if (done !== 'published') return;
    this.over = true;
    this.dismissAll();
    await persist(cloud.clock, () => chief.tellEnd(step));
    this.end({ why: 'dismissed' });
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
    this.end({ why: effect.why, ...(effect.failure === undefined ? {} : { failure: effect.failure }) });
  }

  private async tickBeside(): Promise<void> {
    const { leadership, chief, member } = this.parts;
    await leadership.tick();
    if (leadership.leads && member.leading !== undefined) await chief?.tick(member);
  }

  /** Said once, of the first step that we took part in. */
  private useful(): void {
    if (this.wasUseful) return;
    this.wasUseful = true;
    const { cloud, plan, self } = this.parts;
    this.told(noteUseful(cloud, plan.runId, self.taskId), 'noting the first step');
  }

  /** DR4. */
  private told(work: Promise<void>, what: string): void {
    work.catch((error: unknown) => {
      this.parts.cloud.log.write('warn', 'task.faltered', { what, failure: toFailure(error) });
    });
  }

  private beside(work: Promise<void>, what: string): void {
    work.catch((error: unknown) => {
      const failure = toFailure(error);
      this.parts.cloud.log.write('error', 'task.lost', {
        what,
        failure,
        stack: error instanceof Error ? error.stack : undefined,
      });
      this.fail(failure);
    });
  }
}
