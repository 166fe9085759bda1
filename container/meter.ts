/**
 * Where the time of a step goes: computing, on the wire, waiting for others; and how much of it counted. Read by the
 * heartbeat report and the progress row.
 */
import type { Cloud } from '../cloud/ports.ts';
import type { BeatReport } from '../core/gang/messages.ts';

/** Window over which the shares are reported. */
const windowMs = 2_000;

export class Meter {
  /** Time of steps that counted, from the moment their computation began (again) until they were applied. */
  usefulMs = 0;
  state: BeatReport['state'] = 'idle';
  /** Of the last computation. */
  lastMs = 0;
  private readonly clock: Pick<Cloud['clock'], 'monotonic'>;
  private readonly memoryMiB: () => number;
  private windowFrom: number;
  private computeMs = 0;
  private wireMs = 0;
  private stepFrom: number | undefined;
  private shares = { computeShare: 0, wireShare: 0, waitShare: 0 };

  constructor(clock: Pick<Cloud['clock'], 'monotonic'>, memoryMiB: () => number) {
    this.clock = clock;
    this.memoryMiB = memoryMiB;
    this.windowFrom = clock.monotonic();
  }

  compute<T>(work: () => T): T {
    const from = this.clock.monotonic();
    const result = work();
    this.lastMs = this.clock.monotonic() - from;
    this.computeMs += this.lastMs;
    return result;
  }

  wire(work: () => void): void {
    const from = this.clock.monotonic();
    work();
    this.wireMs += this.clock.monotonic() - from;
  }

  stepBegins(): void {
    this.state = 'training';
    this.stepFrom = this.clock.monotonic();
  }

  applied(): void {
    if (this.stepFrom === undefined) return;
    this.usefulMs += this.clock.monotonic() - this.stepFrom;
    this.stepFrom = undefined;
  }

  /** Work that counts but is no step: evaluating at the end of an epoch. */
  async useful<T>(work: Promise<T>): Promise<T> {
    const from = this.clock.monotonic();
    this.state = 'evaluating';
    const result = await work;
    this.usefulMs += this.clock.monotonic() - from;
    return result;
  }

  report(): BeatReport {
    const now = this.clock.monotonic();
    const elapsed = now - this.windowFrom;
    if (elapsed >= windowMs) {
      const computeShare = Math.min(1, this.computeMs / elapsed);
      const wireShare = Math.min(1 - computeShare, this.wireMs / elapsed);
      this.shares = { computeShare, wireShare, waitShare: Math.max(0, 1 - computeShare - wireShare) };
      this.computeMs = 0;
      this.wireMs = 0;
      this.windowFrom = now;
    }
    return { state: this.state, memoryMiB: this.memoryMiB(), ...this.shares };
  }
}
