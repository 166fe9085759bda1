/**
 * One simulated process: what stops it, and in which order it catches up. Everything that reaches it passes `enter`.
 *
 * Invariants
 *  HO1 A process that is stopped (SIGSTOP), or busy computing, takes no events; the system keeps them in order. When it
 *      goes on it reads what has come, then its timer fires, once.
 *  HO2 A dead process takes nothing and does nothing: what it had asked for may still happen, without it.
 *  HO3 Everything that it does to the world passes `act`, so that it can die before any of it.
 */
import type { GangMember } from '../../core/run.ts';
import type { Agenda } from './agenda.ts';

/** What the world does with its processes. */
export interface Ward {
  readonly agenda: Agenda;
  /** A process does something: code of it that waits for promises may have to go on. */
  touched(): void;
  /** `false`: the process dies before it does this. */
  permit(host: Host, what: string): boolean;
}

export class Host {
  readonly taskId: string;
  readonly role: GangMember['role'];
  alive = true;
  /** It can be reached by nobody any more, and nobody is told. */
  vanished = false;
  /** Computing takes so many times as long. */
  pace = 1;
  /** When something last went wrong with it that the protocol may answer by giving it up. */
  troubledAtMs = Number.NEGATIVE_INFINITY;
  onTick: (() => void) | undefined;
  private readonly ward: Ward;
  private stoppedUntilMs = 0;
  private tickIsDue = false;
  private backlog: (() => void)[] = [];

  constructor(ward: Ward, taskId: string, role: GangMember['role']) {
    this.ward = ward;
    this.taskId = taskId;
    this.role = role;
  }

  get stopped(): boolean {
    return this.ward.agenda.nowMs < this.stoppedUntilMs;
  }

  enter(work: () => void): void {
    if (!this.alive) return;
    if (this.stopped || this.backlog.length > 0) this.backlog.push(work);
    else this.take(work);
  }

  private take(work: () => void): void {
    this.ward.touched();
    work();
  }

  act(what: string): boolean {
    return this.alive && this.ward.permit(this, what);
  }

  /** Neither hears nor says anything for so long. */
  stop(forMs: number): void {
    const untilMs = this.ward.agenda.nowMs + forMs;
    if (untilMs <= this.stoppedUntilMs) return;
    this.stoppedUntilMs = untilMs;
    this.ward.agenda.at(forMs, () => this.goOn());
  }

  trouble(forMs: number): void {
    this.troubledAtMs = Math.max(this.troubledAtMs, this.ward.agenda.nowMs + forMs);
  }

  /** Computes without looking up. */
  work(forMs: number): Promise<void> {
    const ms = this.pace * forMs;
    if (this.pace > 1) this.trouble(ms);
    this.stop(ms);
    return this.after(ms);
  }

  after(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.ward.agenda.at(ms, () => this.resume(resolve));
    });
  }

  /** Lets code of this process go on that waits for a promise. */
  resume(settle: () => void): void {
    this.enter(settle);
  }

  every(ms: number, work: () => void): () => void {
    this.onTick = work;
    const tick = (): void => {
      if (!this.alive || this.onTick === undefined) return;
      if (this.stopped) this.tickIsDue = true;
      else this.take(work);
      this.ward.agenda.at(ms, tick);
    };
    this.ward.agenda.at(ms, tick);
    return () => {
      this.onTick = undefined;
    };
  }

  private goOn(): void {
    if (!this.alive || this.stopped) return;
    for (let work = this.next(); work !== undefined; work = this.next()) this.take(work);
    if (!this.tickIsDue || this.stopped || !this.alive) return;
    this.tickIsDue = false;
    if (this.onTick !== undefined) this.take(this.onTick);
  }

  private next(): (() => void) | undefined {
    return this.stopped || !this.alive ? undefined : this.backlog.shift();
  }
}
