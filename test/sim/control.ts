/**
 * The control plane in a few lines: launches what is missing, stops what was dropped, and hears of everything late, twice,
 * or after something that happened later. The real one is tested in test/statemachine.
 */
import { keys, type MemberRow, type TaskRow, type WatchRow } from '../../core/run.ts';
import type { Agenda } from './agenda.ts';
import type { Dials, Mishap } from './dials.ts';
import type { Host } from './host.ts';
import type { Storage } from './storage.ts';

export interface Fleet {
  readonly agenda: Agenda;
  readonly storage: Storage;
  readonly dials: Dials;
  readonly hosts: Map<string, Host>;
  readonly over: () => boolean;
  mishap(what: Mishap): void;
  launch(role: Host['role']): Host;
  kill(host: Host): void;
  /** The run is over: stops what is still there. */
  release(): void;
}

const roundMs = 60;
/** Finish, then Release: by then everybody should have gone. */
const releaseMs = 10_000;
/** watchHeartbeatSeconds of the plan. */
const silentMs = 20_000;

export class Control {
  private readonly fleet: Fleet;
  /** As far as we know. */
  private readonly running = new Map<Host, Host['role']>();
  private readonly stopping = new Set<Host>();
  private heardAtMs = 0;
  /** All that are wanted have been there at once. */
  private complete = false;
  private launching = { worker: 0, 'parameter-server': 0 };

  constructor(fleet: Fleet) {
    this.fleet = fleet;
  }

  start(): void {
    const watch: WatchRow = { turn: 1, token: 'watch', seen: Number.MAX_SAFE_INTEGER };
    this.fleet.storage.put(undefined, keys.watch, watch, { absent: true });
    this.round();
  }

  /** Of the token of Watch: somebody leads. */
  heartbeat(): void {
    this.heardAtMs = this.fleet.agenda.nowMs;
  }

  /** A task has stopped: we hear of it later, perhaps twice. */
  stopped(host: Host): void {
    const { agenda, dials } = this.fleet;
    const hear = (): void => {
      this.running.delete(host);
      const row = this.fleet.storage.get<TaskRow>(keys.task(host.taskId));
      if (row !== undefined) this.keep(host, 'stopped');
    };
    this.fleet.mishap('event late');
    agenda.at(agenda.between(0.2, 2) * dials.observeMs, hear);
    if (!agenda.chance(0.2)) return;
    this.fleet.mishap('event repeated');
    agenda.at(agenda.pick(1_000), hear);
  }

  private round(): void {
    const { agenda, dials, over } = this.fleet;
    if (over()) {
      agenda.at(releaseMs, () => this.fleet.release());
      return;
    }
    this.complete ||= this.here('worker') >= dials.workers && this.here('parameter-server') >= dials.servers;
    const scarce = dials.scarce && this.complete;
    const wanted = {
      worker: scarce ? dials.workersMin : dials.workers,
      'parameter-server': scarce ? 0 : dials.servers,
    };
    for (const role of ['worker', 'parameter-server'] as const) {
      for (let i = this.here(role) + this.launching[role]; i < wanted[role]; i += 1) this.launch(role);
    }
    this.watch();
    agenda.at(roundMs, () => this.round());
  }

  /** A slot is free, and its last holder still runs: it is stopped when the next round would come. */
  freed({ state, taskId }: MemberRow): void {
    const { agenda, dials, hosts } = this.fleet;
    const host = hosts.get(taskId);
    if (state !== 'gone' || host === undefined || this.stopping.has(host)) return;
    this.stopping.add(host);
    agenda.at(agenda.pick(roundMs) + dials.graceMs, () => this.fleet.kill(host));
  }

  private here(role: Host['role']): number {
    let count = 0;
    for (const [host, its] of this.running) if (its === role && !this.stopping.has(host)) count += 1;
    return count;
  }

  /** Nobody leads for a whole heartbeat of Watch: none of them can be of use. */
  private watch(): void {
    if (this.fleet.agenda.nowMs - this.heardAtMs < silentMs) return;
    this.heartbeat();
    for (const host of [...this.running.keys()]) this.fleet.kill(host);
  }

  private launch(role: Host['role']): void {
    const { agenda, dials } = this.fleet;
    this.launching[role] += 1;
    agenda.at(agenda.between(0.5, 2) * dials.launchMs, () => {
      this.launching[role] -= 1;
      if (this.fleet.over()) return;
      if (agenda.chance(dials.launchFail)) return this.fleet.mishap('launch failed');
      this.started(this.fleet.launch(role), role);
      if (!agenda.chance(dials.launchTwice)) return;
      // The call was repeated, and counted as two.
      this.fleet.mishap('launch repeated');
      this.started(this.fleet.launch(role), role);
    });
  }

  private started(host: Host, role: Host['role']): void {
    this.running.set(host, role);
    this.keep(host, 'running');
  }

  private keep(host: Host, state: TaskRow['state']): void {
    const key = keys.task(host.taskId);
    const before = this.fleet.storage.get<TaskRow>(key);
    const row = { taskId: host.taskId, role: host.role, launch: 0, kind: 'local', launchedAtMs: 0, state } as TaskRow;
    this.fleet.storage.put(undefined, key, row, before === undefined ? { absent: true } : { version: before.version });
  }
}
