/**
 * The work ledger of the leader: which items are done, which are out, and which comes next. An item is one step's batch;
 * items are handed out in order, and one whose worker is lost, overtaken or late is handed out again. It is kept in
 * memory only: a new leader makes it anew from what the partitions have.
 *
 * Invariants
 *  LG1 An item is done when every partition has it; it is never handed out after that.
 *  LG2 Of the attempts that can still be accepted at most maxStaleness + 1 are out: with more, some of equally fast
 *      workers would be refused. A worker that finds so many out waits.
 *  LG3 An attempt no longer counts as out when more than maxStaleness items were done since it began (the partitions will
 *      refuse it), or when it takes `lateFactor` times longer than others do: so a slow worker holds nobody up.
 */
import type { TaskId } from '../../run.ts';
import type { Applied } from './applied.ts';

interface Attempt {
  readonly item: number;
  readonly doneAtStart: number;
  readonly startedMs: number;
  /** The item has been put back for another worker. */
  givenUp: boolean;
}

const lateFactor = 4;
const lateSlackMs = 100;
/** Weight of the newest duration in the smoothed one. */
const smoothing = 0.2;

export class Ledger {
  private readonly total: number;
  private readonly maxStaleness: number;
  private readonly applied: Applied;
  private readonly attempts = new Map<TaskId, Attempt>();
  /** To be handed out again, before anything new. */
  private again: number[] = [];
  private fresh: number;
  private usualMs: number | undefined;

  constructor(total: number, maxStaleness: number, applied: Applied, usualMs?: number) {
    this.total = total;
    this.maxStaleness = maxStaleness;
    this.applied = applied;
    this.fresh = applied.firstMissing;
    this.usualMs = usualMs;
  }

  get done(): number {
    return this.applied.count;
  }

  has(item: number): boolean {
    return this.applied.has(item);
  }

  /** Every item below is done. */
  get firstMissing(): number {
    return this.applied.firstMissing;
  }

  /** How long an item takes from handing out to done, smoothed. */
  get usual(): number | undefined {
    return this.usualMs;
  }

  /** The next item for this worker; undefined when it has to wait. */
  next(worker: TaskId, nowMs: number): number | undefined {
    const before = this.attempts.get(worker);
    this.attempts.delete(worker);
    if (before !== undefined && !before.givenUp) this.putBack(before.item);
    this.giveUp(nowMs);
    const out = [...this.attempts.values()].filter((attempt) => !attempt.givenUp);
    if (out.length > this.maxStaleness) return undefined;
    const item = this.pick();
    if (item === undefined) return undefined;
    this.attempts.set(worker, { item, doneAtStart: this.done, startedMs: nowMs, givenUp: false });
    return item;
  }

  settle(worker: TaskId, item: number, isApplied: boolean, nowMs: number): void {
    const attempt = this.attempts.get(worker);
    if (attempt?.item === item) {
      this.attempts.delete(worker);
      if (isApplied) {
        const tookMs = nowMs - attempt.startedMs;
        this.usualMs = this.usualMs === undefined ? tookMs : smoothing * tookMs + (1 - smoothing) * this.usualMs;
      } else if (!attempt.givenUp) this.putBack(item);
    }
    if (isApplied) this.applied.add(item);
  }

  /** LG3. */
  private giveUp(nowMs: number): void {
    const patienceMs = this.usualMs === undefined ? Number.POSITIVE_INFINITY : lateFactor * this.usualMs + lateSlackMs;
    for (const attempt of this.attempts.values()) {
      const isOvertaken = this.done - attempt.doneAtStart > this.maxStaleness;
      if (attempt.givenUp || (!isOvertaken && nowMs - attempt.startedMs <= patienceMs)) continue;
      attempt.givenUp = true;
      this.putBack(attempt.item);
    }
  }

  private putBack(item: number): void {
    const isOut = [...this.attempts.values()].some((attempt) => attempt.item === item && !attempt.givenUp);
    if (this.applied.has(item) || this.again.includes(item) || isOut) return;
    this.again = [...this.again, item].sort((a, b) => a - b);
  }

  private pick(): number | undefined {
    for (let item = this.again.shift(); item !== undefined; item = this.again.shift()) {
      if (!this.applied.has(item)) return item;
    }
    while (this.fresh < this.total && this.applied.has(this.fresh)) this.fresh += 1;
    if (this.fresh >= this.total) return undefined;
    this.fresh += 1;
    return this.fresh - 1;
  }
}
