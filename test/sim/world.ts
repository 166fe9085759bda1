/**
 * A run in virtual time: the real protocol and the real code that carries it out, on simulated processes, network and
 * storage, struck by faults. One process, no real time; the same seed and dials give the same trace.
 *
 * A run has two phases. In the first faults strike; in the second they end and heal, and everything must come to its end
 * (R6). The other rules are checked as it goes (rules.ts).
 */

import type { Gang, Message } from '../../core/gang/messages.ts';
import type { CadencePlan, RunPlan } from '../../core/plan.ts';
import { type GangRow, keys, type MemberRow, type OutcomeRow, prefixes, settled } from '../../core/run.ts';
import { shouldStop } from '../../core/stop.ts';
import { Agenda } from './agenda.ts';
import { Control } from './control.ts';
import { type Dials, drawDials, type FaultKind, type Mishap } from './dials.ts';
import { Faults } from './faults.ts';
import { Host, type Ward } from './host.ts';
import { Network } from './network.ts';
import { Rules } from './rules.ts';
import { lossOf, referenceHistory } from './stand-in.ts';
import { Storage, type Written } from './storage.ts';
import { SimTask, type TaskWorld } from './task.ts';

export interface SimOptions {
  readonly seed: number;
  readonly dials?: Dials;
  /** The process that would do this effect dies before it; effects are counted over all processes, from 1. */
  readonly crashAt?: number;
  /** Keep every line. */
  readonly trace?: boolean;
  readonly script?: (world: World) => void;
}

export interface SimOutcome {
  /** What was broken; undefined when nothing was. */
  readonly violation: string | undefined;
  readonly virtualMs: number;
  readonly events: number;
  readonly effects: number;
  readonly generations: number;
  readonly lastGang: readonly string[];
  readonly restores: number;
  readonly lostSteps: number;
  /** How often each fault struck and each event of the catalogue was recorded. */
  readonly counts: ReadonlyMap<string, number>;
  /** Instants of what a script waits for. */
  readonly trace: readonly string[];
}

/** As on the laptop, core/planning.ts. */
const timing = {
  heartbeatIntervalMs: 200,
  memberTimeoutMs: 750,
  leaseDurationMs: 500,
  progressIntervalMs: 250,
  watchHeartbeatSeconds: 20,
  watchTimeoutSeconds: 3600,
};

/** Lets everything go on that waits for a promise that is settled. Node does this between any two of its own events. */
const drain = (process as unknown as { _tickCallback: () => void })._tickCallback;

const getCheckpoints = `get ${keys.checkpoints}`;
const histories = new Map<number, Float32Array[]>();
const longest = 64;
const endLimitMs = 60_000;

export function simulate(options: SimOptions): Promise<SimOutcome> {
  return new World(options).run();
}

export class World implements Ward, TaskWorld {
  readonly agenda: Agenda;
  readonly storage: Storage;
  readonly network: Network;
  readonly plan: RunPlan;
  readonly dials: Dials;
  readonly rules: Rules;
  readonly shardMs: number;
  readonly hosts = new Map<string, Host>();
  readonly faults: Faults;
  private readonly tasks = new Map<Host, SimTask>();
  private readonly control: Control;
  private readonly options: SimOptions;
  private readonly counts = new Map<string, number>();
  private readonly trace: string[] = [];
  private effects = 0;
  private dirty = false;
  private launched = 0;
  refusals = 0;

  constructor(options: SimOptions) {
    const { seed, dials = drawDials(seed) } = options;
    this.options = options;
    this.dials = dials;
    this.shardMs = dials.shardMs;
    this.agenda = new Agenda(seed);
    const reference = historyOf(dials.shards);
    this.plan = planOf(dials, reference);
    const mishap = (what: Mishap): void => this.count(what);
    const written = (change: Written): void => {
      this.rules.written(change);
      if (change.key.startsWith(prefixes.member)) this.control.freed(change.after?.value as MemberRow);
      if (change.key === keys.gang) this.note(change.host, 'gang', change.after?.value);
    };
    this.storage = new Storage(this.agenda, dials, written, mishap);
    const sent = (from: Host, message: Message): void => this.rules.sent(from, message);
    const delivered = (from: Host, to: Host, message: Message): void => {
      if (options.trace) this.note(to, `<- ${from.taskId}`, { ...message, payload: undefined, report: undefined });
    };
    this.network = new Network(this.agenda, dials, sent, delivered, mishap);
    this.rules = new Rules({
      plan: this.plan,
      storage: this.storage,
      reference,
      endStep: endStepOf(this.plan, reference),
      nowMs: () => this.agenda.nowMs,
      host: (taskId) => this.hosts.get(taskId),
      generationOf: (host) => this.tasks.get(host)?.member?.generation ?? 0,
    });
    this.faults = new Faults({
      agenda: this.agenda,
      network: this.network,
      storage: this.storage,
      dials,
      tasks: () => this.living(),
      kill: (host, vanish) => this.kill(host, vanish),
      struck: (kind: FaultKind, what) => {
        this.count(`fault ${kind}`);
        this.note(undefined, `fault ${kind}`, what);
      },
    });
    this.control = new Control({
      agenda: this.agenda,
      storage: this.storage,
      dials,
      hosts: this.hosts,
      over: () => this.outcome !== undefined,
      mishap,
      launch: (role) => this.launch(role),
      kill: (host) => this.kill(host),
      release: () => {
        for (const { host } of this.living()) {
          this.rules.released(host);
          this.kill(host);
        }
      },
    });
  }

  get outcome(): OutcomeRow | undefined {
    return settled(this.storage.get<OutcomeRow>(keys.outcome)?.value);
  }

  living(): SimTask[] {
    return [...this.tasks.values()].filter((task) => task.host.alive);
  }

  /** In a turn of its own, so that what waits for promises can be let go on after every event (`drain`). */
  run(): Promise<SimOutcome> {
    return new Promise((resolve, reject) => {
      setImmediate(() => {
        try {
          resolve(this.live());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  private live(): SimOutcome {
    const { dials, agenda, rules } = this;
    this.control.start();
    this.faults.start();
    this.options.script?.(this);
    const alone = dials.shards * dials.shardMs * this.plan.training.totalSteps;
    const limitMs = dials.faultsUntilMs + 4 * alone + endLimitMs;
    let events = 0;
    while (rules.violation === undefined && !this.isOver()) {
      if (!agenda.next() || agenda.nowMs > limitMs) {
        rules.break(`R6 no end after ${Math.round(agenda.nowMs)} virtual ms: ${this.situation()}`);
        break;
      }
      events += 1;
      if (!this.dirty) continue;
      this.dirty = false;
      drain();
    }
    const gang = this.storage.get<GangRow>(keys.gang)?.value;
    const { counts, trace, effects } = this;
    return {
      violation: rules.violation,
      virtualMs: agenda.nowMs,
      events,
      effects,
      generations: gang?.generation ?? 0,
      lastGang: gang?.members.map((member) => member.slot) ?? [],
      restores: rules.restores,
      lostSteps: this.outcome?.lostSteps ?? 0,
      counts,
      trace,
    };
  }

  // Ward

  touched(): void {
    this.dirty = true;
  }

  permit(host: Host, what: string): boolean {
    this.effects += 1;
    if (what === getCheckpoints) this.rules.asksForCheckpoints(host);
    if (this.dials.ambush !== '') this.faults.passes(host, what);
    if (this.effects !== this.options.crashAt) return host.alive;
    this.note(host, 'crash', what);
    this.kill(host);
    return false;
  }

  // TaskWorld

  reached(host: Host, step: number, state: Float32Array): void {
    this.rules.reached(host, step, state);
  }

  flaw(host: Host, what: string): void {
    this.rules.break(`R4 ${host.taskId}: ${what}`);
  }

  note(host: Host | undefined, event: string, detail?: unknown): void {
    if (event.includes('.')) this.count(event);
    if (event === 'frame.refused') this.refusals += 1;
    if (event === 'training.restored' || event === 'training.started')
      this.rules.restored(host as Host, Number((detail as { step?: number }).step ?? 0));
    if (this.options.trace)
      this.trace.push(`${this.agenda.nowMs.toFixed(1)} ${host?.taskId ?? ''} ${event} ${JSON.stringify(detail) ?? ''}`);
  }

  took(host: Host, message: Message, generation: number, refused: boolean): void {
    if (host.alive) this.rules.took(host, message, generation, refused);
  }

  watched(): void {
    this.control.heartbeat();
  }

  loaded(host: Host, step: number): void {
    this.rules.loaded(host, step);
  }

  released(by: Host, peer: string, holds: boolean): void {
    if (by.alive) this.rules.releases(by, peer, holds);
  }

  began(host: Host, gang: Gang): void {
    this.rules.began(host, gang);
  }

  dropped(by: Host, peer: string): void {
    const host = this.hosts.get(peer);
    if (host?.alive === true) this.rules.dropped(by, host);
  }

  ended(host: Host, why: string): void {
    this.note(host, 'exit', why);
    this.rules.exits(host, why);
    this.count(`exit ${why.replace(/:.*/, '')}`);
    host.alive = false;
    this.network.died(host);
    this.control.stopped(host);
  }

  kill(host: Host, vanish = false): void {
    if (!host.alive) return;
    this.note(host, vanish ? 'vanished' : 'killed');
    host.alive = false;
    host.vanished = vanish;
    this.network.died(host);
    this.control.stopped(host);
  }

  launch(role: Host['role']): Host {
    this.launched += 1;
    const host = new Host(this, `t${this.launched}`, role);
    this.faults.starts(host);
    const task = new SimTask(host, this);
    this.hosts.set(host.taskId, host);
    this.tasks.set(host, task);
    this.dirty = true;
    void task.run();
    return host;
  }

  private isOver(): boolean {
    return this.outcome !== undefined && this.living().length === 0;
  }

  private count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  private situation(): string {
    return this.living()
      .map(({ host, member }) => {
        const leads = member?.leading === undefined ? '' : ` leads (${member.leading.state.kind})`;
        const at = member === undefined ? 'starting' : `${member.trainer.phase} ${member.trainer.step}`;
        return `${host.taskId} ${host.role} ${at} generation ${member?.generation}${leads}`;
      })
      .join('; ');
  }
}

function historyOf(shards: number): Float32Array[] {
  const known = histories.get(shards) ?? referenceHistory(shards, longest);
  histories.set(shards, known);
  return known;
}

/** The undisturbed run's. */
function endStepOf({ training }: RunPlan, reference: readonly Float32Array[]): number {
  const losses: { loss: number }[] = [];
  for (let epoch = 1; epoch <= training.epochs; epoch += 1) {
    losses.push({ loss: lossOf(reference[epoch * training.stepsPerEpoch] as Float32Array) });
    if (shouldStop(training.stopWhen, losses).stop) return epoch * training.stepsPerEpoch;
  }
  return training.totalSteps;
}

function cadenceOf(checkpointMs: number): CadencePlan {
  if (checkpointMs > 0) return { kind: 'time', everyMs: checkpointMs };
  if (checkpointMs === 0) return { kind: 'steps' };
  if (checkpointMs === -1) return { kind: 'auto', assumedMtbfMs: 5_000 };
  return { kind: 'share', most: 0.05, leastMs: 50, mostMs: 2_000 };
}

/** What the simulated code reads of a plan. */
function planOf(dials: Dials, reference: readonly Float32Array[]): RunPlan {
  const { workers, workersMin, servers, shards, stepsPerEpoch, epochs, stopAfter, checkpointEvery, checkpointMs } =
    dials;
  const cadence = cadenceOf(checkpointMs);
  const reaches = lossOf(reference[stopAfter * stepsPerEpoch] as Float32Array);
  const plan = {
    runId: 'sim',
    configDigest: 'sim',
    shape: { task: 'regression' },
    training: {
      epochs,
      shards,
      stepsPerEpoch,
      totalSteps: epochs * stepsPerEpoch,
      learningRate: 0.1,
      warmupSteps: 0,
      schedule: { kind: 'constant' },
      stopWhen: stopAfter > 0 ? [{ metric: 'loss', reaches, minDelta: 0 }] : [],
      paceMs: 0,
      batchSize: shards,
    },
    cluster: {
      worker: { min: workersMin, max: workers },
      parameterServer: { min: 0, max: servers },
      startDeadlineMs: 10_000,
    },
    timing,
    checkpoint: {
      everySteps: checkpointEvery === 0 || checkpointMs === 0 ? checkpointEvery : 1,
      cadence,
      keep: 2,
      store: 'table',
      bytes: 24,
    },
    history: { epochsPerTurn: 1 },
  };
  return plan as unknown as RunPlan;
}
