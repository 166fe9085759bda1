/**
 * Which items a copy of a partition has in it: every item below `below`, and those in `beyond`. Items are handed out
 * nearly in order, so `beyond` stays short.
 *
 * Invariants
 *  AP1 An item is in the set once, whatever is added how often; `count` is the number of items, and the version of the copy.
 */
export interface AppliedRecord {
  readonly below: number;
  readonly beyond: readonly number[];
}

export class Applied {
  private below: number;
  private readonly beyond: Set<number>;

  constructor({ below, beyond }: AppliedRecord = { below: 0, beyond: [] }) {
    this.below = below;
    this.beyond = new Set(beyond);
    this.settle();
  }

  get count(): number {
    return this.below + this.beyond.size;
  }

  /** The first item that is not in the set. */
  get firstMissing(): number {
    return this.below;
  }

  has(item: number): boolean {
    return item < this.below || this.beyond.has(item);
  }

  /** False when it was there already. */
  add(item: number): boolean {
    if (this.has(item)) return false;
    this.beyond.add(item);
    this.settle();
    return true;
  }

  record(): AppliedRecord {
    return { below: this.below, beyond: [...this.beyond].sort((a, b) => a - b) };
  }

  private settle(): void {
    while (this.beyond.delete(this.below)) this.below += 1;
  }
}

export function countOf({ below, beyond }: AppliedRecord): number {
  return below + beyond.length;
}

/** The items that are in all of them. */
export function inAll(records: readonly AppliedRecord[]): Applied {
  const sets = records.map((record) => new Applied(record));
  const below = Math.min(...sets.map((set) => set.firstMissing));
  const end = Math.max(...records.map((record) => Math.max(record.below, ...record.beyond.map((item) => item + 1))));
  const common = new Applied({ below, beyond: [] });
  for (let item = below; item < end; item += 1) if (sets.every((set) => set.has(item))) common.add(item);
  return common;
}
