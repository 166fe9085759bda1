/**
 * One simulated task: the real member, driver, leadership, chief and slots of container/, put together as
 * container/task.ts does it, on a simulated host.
 */
import type { Cloud } from '../../cloud/ports.ts';
import { Chief } from '../../container/chief.ts';
import { Driver, type DriverParts } from '../../container/driver.ts';
import { Leadership } from '../../container/leadership.ts';
import { Meter } from '../../container/meter.ts';
import type { Replica } from '../../container/replica.ts';
import { freeSlot, takeSlot } from '../../container/slot.ts';
import type { Transport } from '../../container/wire/transport.ts';
import { toFailure } from '../../core/failure.ts';
import { Member } from '../../core/gang/member.ts';
import type { Gang, Message } from '../../core/gang/messages.ts';
import type { RunPlan } from '../../core/plan.ts';
import type { GangMember } from '../../core/run.ts';
import type { Agenda } from './agenda.ts';
import type { Host } from './host.ts';
import type { Network } from './network.ts';
import { poisoningPool } from './poison.ts';
import { StandIn, vectorLengthFor, type Watcher } from './stand-in.ts';
import type { Storage } from './storage.ts';

export interface TaskWorld extends Watcher {
  readonly agenda: Agenda;
  readonly storage: Storage;
  readonly network: Network;
  readonly plan: RunPlan;
  readonly shardMs: number;
  /** Frames refused so far, by anybody. */
  readonly refusals: number;
  took(host: Host, message: Message, generation: number, refused: boolean): void;
  dropped(by: Host, peer: string): void;
  began(host: Host, gang: Gang): void;
  loaded(host: Host, step: number): void;
  watched(): void;
  released(by: Host, peer: string, holds: boolean): void;
  note(host: Host, event: string, detail: unknown): void;
  ended(host: Host, why: string): void;
}

/** container/task.ts: graceBeats, gatherBeats, firstStepMs. */
const graceBeats = 5;
const gatherBeats = 10;
const firstStepMs = 6_000;
/** So that a parameter server has several. */
const partitionLength = 4;

export class SimTask {
  readonly host: Host;
  member: Member | undefined;
  private driver: Driver | undefined;
  /** The member was asked about the last message, and still answers. */
  private handled = false;
  private readonly pool = poisoningPool();
  private readonly world: TaskWorld;

  constructor(host: Host, world: TaskWorld) {
    this.host = host;
    this.world = world;
  }

  private get port(): number {
    return Number(this.host.taskId.slice(1));
  }

  get leads(): boolean {
    return this.member?.leading !== undefined;
  }

  interrupt(): void {
    this.host.enter(() => this.driver?.post({ type: 'interrupt' }));
  }

  async run(): Promise<void> {
    const { host, world } = this;
    const { plan, network, agenda } = world;
    const cloud = this.cloud();
    const { port } = this;
    const max = host.role === 'worker' ? plan.cluster.worker.max : plan.cluster.parameterServer.max;
    const newcomer = { runId: plan.runId, role: host.role, taskId: host.taskId, host: 'sim', port };
    network.listen(host, {
      message: (from, message) => this.receive(from, message),
      heard: (peer) => this.driver?.post({ type: 'heard', peer }),
      lost: (peer, refused) => this.driver?.post({ type: 'link-lost', peer, refused }),
    });
    let self: GangMember | undefined;
    let ending = 'no slot';
    try {
      self = await takeSlot(cloud, newcomer, max, plan.cluster.startDeadlineMs);
      if (self !== undefined) ending = await this.train(cloud, self);
      if (self !== undefined) await freeSlot(cloud, plan.runId, self);
    } catch (error) {
      ending = `failed: ${JSON.stringify(toFailure(error))}`;
    }
    // The transport sends what is queued, then closes.
    agenda.at(1, () => host.enter(() => world.ended(host, ending)));
  }

  private receive(from: string, message: Message): void {
    const { host, member, world } = this;
    const generation = member?.gang?.generation ?? member?.generation ?? 0;
    const refusals = world.refusals;
    this.handled = false;
    // As the transport does: the payload is there as long as the message is handled, then for whoever holds it.
    const copy = 'payload' in message ? { ...message, payload: this.payloadOf(from, message) } : message;
    this.driver?.received(from, copy);
    if ('payload' in copy) this.pool.release(copy.payload);
    if (this.handled) world.took(host, message, generation, world.refusals > refusals);
  }

  private payloadOf(from: string, message: Extract<Message, { readonly payload: Float32Array }>): Float32Array {
    const { payload } = message;
    const place = message.type === 'reduced' ? this.driver?.placeFor(from, message, payload.length) : undefined;
    if (place === undefined) return payload.slice();
    this.pool.hold(place);
    place.set(payload);
    return place;
  }

  /** Tells the rules of every generation that this member goes into. */
  private watch(member: Member): void {
    const handle = member.handle.bind(member);
    let gang = member.gang;
    let leaves = false;
    member.handle = (event, clockMs) => {
      this.handled = !leaves;
      const effects = handle(event, clockMs);
      if (member.gang !== undefined && member.gang !== gang) this.world.began(this.host, member.gang);
      gang = member.gang;
      for (const effect of effects) {
        if (effect.type === 'load') this.world.loaded(this.host, effect.step);
        if (effect.type === 'release')
          this.world.released(this.host, effect.peer.taskId, member.leading?.state.kind === 'holding');
      }
      leaves ||= effects.some((effect) => effect.type === 'exit');
      return effects;
    };
  }

  private async train(cloud: Cloud, self: GangMember): Promise<string> {
    const { host, world } = this;
    const { plan } = world;
    const { training, timing, cluster } = plan;
    const meter = new Meter(cloud.clock, () => 0);
    const member = new Member({
      self,
      pool: this.pool,
      shape: {
        shards: training.shards,
        vectorLength: vectorLengthFor(training.shards),
        partitionLength,
        roundedLength: 0,
        stepsPerEpoch: training.stepsPerEpoch,
        totalSteps: training.totalSteps,
        checkpointEvery: plan.checkpoint.everySteps,
      },
      leader: {
        workersMin: cluster.worker.min,
        workersMax: cluster.worker.max,
        parameterServers: cluster.parameterServer.max,
        gatherMs: gatherBeats * timing.heartbeatIntervalMs,
      },
      heartbeatIntervalMs: timing.heartbeatIntervalMs,
      patience: {
        floorMs: timing.memberTimeoutMs,
        firstStepMs: Math.max(firstStepMs, timing.memberTimeoutMs),
        blinkMs: timing.heartbeatIntervalMs / 2,
      },
      graceMs: graceBeats * timing.heartbeatIntervalMs,
      joinMs: cluster.startDeadlineMs,
      report: () => meter.report(),
    });
    this.member = member;
    this.watch(member);
    const leaseMs = (): number => member.patience.leaseMs;
    const leadership = new Leadership(cloud, plan, self, leaseMs, (event) => this.driver?.post(event));
    const shape = { shards: training.shards, stepsPerEpoch: training.stepsPerEpoch, shardMs: world.shardMs };
    const replica = new StandIn(host, shape, world) as unknown as Replica;
    const generation = (): number => member.generation;
    const chief = new Chief({ cloud, plan, self, replica, leadership, meter, generation });
    const transport = {
      send: (to, message) => world.network.send(host, to, message as never),
      drop: (peer) => {
        world.dropped(host, peer);
        world.network.drop(host, peer);
      },
    } as Pick<Transport, 'send' | 'drop'> as Transport;
    const chaos = { armed: false, before: () => Promise.resolve() } as unknown as DriverParts['chaos'];
    this.driver = new Driver({
      cloud,
      plan,
      self,
      member,
      transport,
      leadership,
      chaos,
      meter,
      every: (ms, work) => host.every(ms, work),
      ...(self.role === 'worker' ? { replica, chief } : {}),
    });
    world.note(host, 'up', self.slot);
    const { why, failure } = await this.driver.run();
    return failure === undefined ? why : `failed: ${JSON.stringify(failure)}`;
  }

  private cloud(): Cloud {
    const { host, world } = this;
    const { agenda, storage } = world;
    let ids = 0;
    const cloud: Partial<Cloud> = {
      kind: 'embedded',
      table: storage.tableOf(host),
      objects: storage.objectsOf(host),
      clock: {
        // No two machines agree on the time.
        now: () => 1_700_000_000_000 + Math.floor(agenda.nowMs) + 60_000 * ((this.port * 7) % 21) - 600_000,
        monotonic: () => agenda.nowMs,
        sleep: (ms) => host.after(ms),
      },
      ids: {
        hex: () => {
          ids += 1;
          return `${host.taskId}-${ids}`;
        },
      },
      log: { write: (_, event, detail) => world.note(host, event, detail) },
      workflow: {
        start: () => Promise.reject(new Error('not simulated')),
        stop: () => Promise.reject(new Error('not simulated')),
        describe: () => Promise.reject(new Error('not simulated')),
        succeedTask: () => Promise.resolve('gone'),
        heartbeatTask: () => {
          if (host.alive) world.watched();
          return Promise.resolve('accepted');
        },
      },
    };
    return cloud as Cloud;
  }
}
