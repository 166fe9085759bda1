/** What strikes a simulated run, at instants that are drawn, until the liveness phase: then nothing new happens any more. */
import type { Agenda } from './agenda.ts';
import type { Dials, FaultKind } from './dials.ts';
import type { Host } from './host.ts';
import { handshakeMs, type Network } from './network.ts';
import type { Storage } from './storage.ts';
import type { SimTask } from './task.ts';

export interface Target {
  readonly agenda: Agenda;
  readonly network: Network;
  readonly storage: Storage;
  readonly dials: Dials;
  readonly tasks: () => readonly SimTask[];
  kill(host: Host, vanish?: boolean): void;
  struck(kind: FaultKind, what: string): void;
}

/** What can strike one process at a moment of its own. */
const ambushes = [
  'kill',
  'vanish',
  'pause',
  'stall',
  'interrupt',
  'isolate',
  'cut-storage',
  'slow-storage',
] as const satisfies readonly FaultKind[];
const ambushChance = 0.15;

export class Faults {
  private readonly target: Target;
  private readonly ambushes: readonly FaultKind[];
  private asleepUntilMs = Number.NEGATIVE_INFINITY;

  constructor(target: Target) {
    this.target = target;
    const drawn = ambushes.filter((kind) => target.dials.faults.includes(kind));
    this.ambushes = drawn.length > 0 ? drawn : ambushes;
  }

  start(): void {
    const { faultEveryMs, faultsUntilMs } = this.target.dials;
    if (faultEveryMs <= 0) return;
    const next = (): void => {
      if (this.target.agenda.nowMs >= faultsUntilMs) return;
      this.strike(this.target.agenda.one(this.target.dials.faults));
      this.target.agenda.at(this.target.agenda.pick(2 * faultEveryMs), next);
    };
    this.target.agenda.at(this.target.agenda.pick(2 * faultEveryMs), next);
  }

  /** Who starts on a machine that sleeps begins when it wakes. */
  starts(host: Host): void {
    const { nowMs } = this.target.agenda;
    if (nowMs < this.asleepUntilMs) host.stop(this.asleepUntilMs - nowMs);
  }

  /** This process is about to do something that a fault may have waited for. */
  passes(host: Host, what: string): void {
    const { agenda, dials } = this.target;
    if (!what.startsWith(dials.ambush) || agenda.nowMs >= dials.faultsUntilMs || !agenda.chance(ambushChance)) return;
    const victim = this.target.tasks().find((task) => task.host === host);
    if (victim !== undefined) this.strike(agenda.one(this.ambushes), victim);
  }

  strike(kind: FaultKind, aimedAt?: SimTask): void {
    const { agenda, network, storage } = this.target;
    const tasks = this.target.tasks();
    if (tasks.length === 0) return;
    const victim = aimedAt ?? (kind.endsWith('-leader') ? tasks.find((task) => task.leads) : agenda.one(tasks));
    if (victim === undefined) return;
    const { host } = victim;
    const others = tasks.map((task) => task.host).filter((other) => other !== host);
    this.target.struck(kind, host.taskId);
    switch (kind) {
      case 'kill':
      case 'kill-leader':
        this.target.kill(host);
        return;
      case 'kill-two':
        this.target.kill(host);
        if (others.length > 0) this.target.kill(agenda.one(others));
        return;
      case 'kill-all':
        for (const task of tasks) this.target.kill(task.host);
        return;
      case 'vanish':
        this.target.kill(host, true);
        return;
      case 'pause':
      case 'pause-leader':
        this.pause(host, this.duration(3_000, victim));
        return;
      // A machine that sleeps: nobody has missed anything, so nobody is to be given up for it.
      case 'suspend': {
        // A handshake that is under way may take its time before the next.
        if (agenda.nowMs < this.asleepUntilMs + handshakeMs) return;
        const ms = agenda.between(100, 3_000);
        this.asleepUntilMs = agenda.nowMs + ms;
        for (const task of tasks) task.host.stop(ms);
        return;
      }
      case 'stall':
        this.pause(host, agenda.between(50, 900));
        return;
      case 'throttle': {
        const ms = agenda.between(100, 3_000);
        host.pace = agenda.between(3, 40);
        agenda.at(ms, () => {
          host.pace = 1;
        });
        return;
      }
      case 'interrupt':
        host.trouble(0);
        victim.interrupt();
        return;
      case 'break-link': {
        const links = network.connected();
        if (links.length === 0) return;
        const [a, b] = agenda.one(links);
        for (const task of tasks) if ([a, b].includes(task.host.taskId)) task.host.trouble(0);
        network.cut(a, b);
        return;
      }
      case 'isolate':
      case 'isolate-leader':
        for (const other of others) this.part(host, other, this.duration(4_000), true);
        return;
      case 'part-two':
        if (others.length > 0) this.part(host, agenda.one(others), this.duration(4_000), true);
        return;
      case 'deafen':
        if (others.length > 0) this.part(host, agenda.one(others), this.duration(4_000), false);
        return;
      case 'cut-storage': {
        const ms = this.duration(3_000, victim);
        host.trouble(ms);
        storage.cutOff.add(host);
        agenda.at(ms, () => storage.cutOff.delete(host));
        return;
      }
      case 'slow-storage': {
        const ms = agenda.between(100, 3_000);
        host.trouble(ms);
        storage.slow.add(host);
        agenda.at(ms, () => storage.slow.delete(host));
      }
    }
  }

  /** For good only whom somebody knows and will miss: nobody waits for a newcomer that never says anything. */
  private duration(mostMs: number, victim?: SimTask): number {
    const { agenda, dials } = this.target;
    const missed = victim === undefined || (victim.member?.generation ?? 0) > 0;
    const forGood = dials.forGood > 0 && agenda.chance(dials.forGood);
    return forGood && missed ? 1e9 : agenda.between(100, mostMs);
  }

  private pause(host: Host, ms: number): void {
    host.trouble(ms);
    host.stop(ms);
  }

  private part(a: Host, b: Host, ms: number, bothWays: boolean): void {
    a.trouble(ms);
    b.trouble(ms);
    this.target.network.block(a, b, ms);
    if (bothWays) this.target.network.block(b, a, ms);
  }
}
