/**
 * How long somebody may say nothing before he is taken for lost. One for each task; the leader and the member in it share
 * it. The protocol's only clock: every deadline in this folder is in its milliseconds.
 *
 * Invariants
 *  PT1 Time counts only while we are awake ourselves. Between two looks at the clock at most `blinkMs` pass, or as long as
 *      we are known to work without looking up: whoever was stopped has not listened, and blames nobody for it.
 *  PT2 The limit is `factor` times the longest that either of us has lately gone without looking up, and never below the
 *      floor. A task that computes a shard hears and says nothing meanwhile, so slow shards make everybody more patient.
 *  PT3 Of one that has not computed a step yet nothing is known: it has at least `firstStepMs`.
 */
import type { TaskId } from '../run.ts';

export interface PatienceOptions {
  /** Nobody is given up in less. */
  readonly floorMs: number;
  readonly firstStepMs: number;
  /** A gap between two looks that says nothing: a few ticks of the driver. */
  readonly blinkMs: number;
}

/** Two shards (theirs and ours) may lie between what was said and its being heard, and the next may be slower. */
const factor = 3;
/** What was seen is forgotten after one to two windows; a window holds a good number of shards, however slow. */
const windowMs = 10_000;
const shardsInWindow = 10;

interface Heard {
  atMs: number;
  slowestMs: number | undefined;
}

export class Patience {
  /** Milliseconds awake. */
  nowMs = 0;
  private readonly options: PatienceOptions;
  private readonly peers = new Map<TaskId, Heard>();
  private lookedAtMs: number | undefined;
  private longest = { now: 0, before: 0, sinceMs: 0 };
  private proven = false;

  constructor(options: PatienceOptions) {
    this.options = options;
  }

  /** With every event, before anything is decided. `clockMs` is monotonic. */
  look(clockMs: number): void {
    const gapMs = this.lookedAtMs === undefined ? 0 : clockMs - this.lookedAtMs;
    this.lookedAtMs = clockMs;
    this.nowMs += Math.min(gapMs, Math.max(this.options.blinkMs, this.longestMs));
    const { longest } = this;
    if (clockMs - longest.sinceMs > Math.max(windowMs, shardsInWindow * this.longestMs)) {
      this.longest = { now: gapMs, before: longest.now, sinceMs: clockMs };
    } else if (gapMs > longest.now) longest.now = gapMs;
  }

  /** We have done a step: what we say about ourselves from now on is true of the next one. */
  prove(): void {
    this.proven = true;
  }

  /** The longest that we have lately gone without looking up; undefined while that says nothing (PT3). */
  get slowestMs(): number | undefined {
    return this.proven ? this.longestMs : undefined;
  }

  heard(peer: TaskId, slowestMs?: number): void {
    const known = this.peers.get(peer);
    if (known === undefined) this.peers.set(peer, { atMs: this.nowMs, slowestMs });
    else {
      known.atMs = this.nowMs;
      if (slowestMs !== undefined) known.slowestMs = slowestMs;
    }
  }

  /** How long it may be silent. */
  limitFor(peer: TaskId): number {
    return this.limit(this.peers.get(peer)?.slowestMs);
  }

  limitForAll(peers: ReadonlySet<TaskId>): number {
    return Math.max(...[...peers].map((peer) => this.limitFor(peer)));
  }

  isSilent(peer: TaskId): boolean {
    return this.silenceOf(peer) > this.limitFor(peer);
  }

  /** Nobody gives it up for this yet; but somebody who complains about it may well be right. */
  isQuiet(peer: TaskId): boolean {
    return this.silenceOf(peer) > this.options.floorMs / 2;
  }

  /** How long somebody like us may be silent. */
  get ownLimitMs(): number {
    return this.limit(this.slowestMs);
  }

  /** How long a lease of ours may go without being renewed; the floor of leases is the plan's. */
  get leaseMs(): number {
    return this.proven ? factor * this.longestMs : this.options.firstStepMs;
  }

  private silenceOf(peer: TaskId): number {
    const known = this.peers.get(peer);
    // Whom we hear of for the first time has its whole time before it.
    if (known === undefined) this.heard(peer);
    return known === undefined ? 0 : this.nowMs - known.atMs;
  }

  private limit(theirs: number | undefined): number {
    const { floorMs, firstStepMs } = this.options;
    const slowest = Math.max(this.longestMs, theirs ?? 0);
    return Math.max(theirs === undefined ? Math.max(floorMs, firstStepMs) : floorMs, factor * slowest);
  }

  private get longestMs(): number {
    return Math.max(this.longest.now, this.longest.before);
  }
}
