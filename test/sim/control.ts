/**
 * The control plane in a few lines: launches what is missing, stops what was dropped, and hears of everything late, twice,
 * or after something that happened later. The real one is tested in test/statemachine.
 */
import type { MemberRow, ProgressRow, TaskRow } from '../../core/run.ts';
import { keys, prefixes } from '../../core/run.ts';
import type { Agenda } from './agenda.ts';
import type { Dials } from './dials.ts';
import type { Host } from './host.ts';
import type { Storage } from './storage.ts';

export interface Fleet {
  readonly agenda: Agenda;
  readonly storage: Storage;
  readonly dials: Dials;
  readonly hosts: Map<string, Host>;
  readonly over: () => boolean;
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
  private beat = { value: -1, sinceMs: 0 };
  private launching = { worker: 0, 'parameter-server': 0 };

  constructor(fleet: Fleet) {
    this.fleet = fleet;
  }

  start(): void {
    this.round();
  }

  /** A task has stopped: we hear of it later, perhaps twice. */
  stopped(host: Host): void {
    const { agenda, dials } = this.fleet;
    const hear = (): void => {
      this.running.delete(host);
      const row = this.fleet.storage.get<TaskRow>(keys.task(host.taskId));
      if (row !== undefined) this.keep(host, 'stopped');
    };
    agenda.at(agenda.between(0.2, 2) * dials.observeMs, hear);
    if (agenda.chance(0.2)) agenda.at(agenda.pick(1_000), hear);
  }

  private round(): void {
    const { agenda, storage, dials, over } = this.fleet;
    if (over()) {
      agenda.at(releaseMs, () => this.fleet.release());
      return;
    }
    for (const role of ['worker', 'parameter-server'] as const) {
      const wanted = role === 'worker' ? dials.workers : dials.servers;
      const here = [...this.running].filter(([host, its]) => its === role && !this.stopping.has(host)).length;
      for (let i = here + this.launching[role]; i < wanted; i += 1) this.launch(role);
    }
    this.watchBeat();
    const dropped = storage.query<MemberRow>(prefixes.member).filter((row) => row.value.state === 'gone');
    for (const { value } of dropped) {
      const host = this.fleet.hosts.get(value.taskId);
      if (host === undefined || this.stopping.has(host) || !this.running.has(host)) continue;
      this.stopping.add(host);
      agenda.at(dials.graceMs, () => this.fleet.kill(host));
    }
    agenda.at(roundMs, () => this.round());
  }

  /** Nobody reports for a whole heartbeat of Watch: none of them can be of use. */
  private watchBeat(): void {
    const { agenda, storage } = this.fleet;
    const value = storage.get<ProgressRow>(keys.progress)?.value.beat ?? -1;
    if (value !== this.beat.value) this.beat = { value, sinceMs: agenda.nowMs };
    if (agenda.nowMs - this.beat.sinceMs < silentMs) return;
    this.beat = { value, sinceMs: agenda.nowMs };
    for (const host of [...this.running.keys()]) this.fleet.kill(host);
  }

  private launch(role: Host['role']): void {
    const { agenda, dials } = this.fleet;
    this.launching[role] += 1;
    agenda.at(agenda.between(0.5, 2) * dials.launchMs, () => {
      this.launching[role] -= 1;
      if (this.fleet.over() || agenda.chance(dials.launchFail)) return;
      this.started(this.fleet.launch(role), role);
      // The call was repeated, and counted as two.
      if (agenda.chance(dials.launchTwice)) this.started(this.fleet.launch(role), role);
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
