/** Virtual time: what is to happen, in order of time and then of asking. All randomness of a simulation is drawn here. */
import { keyed, type Stream } from '../../core/random.ts';

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class Agenda {
  nowMs = 0;
  private readonly stream: Stream;
  private readonly heap: Due[] = [];
  private order = 0;

  constructor(seed: number) {
    this.stream = keyed(seed, 1);
  }

  /** `inMs` from now. */
  at(inMs: number, run: () => void): void {
    this.order += 1;
    push(this.heap, { atMs: this.nowMs + inMs, order: this.order, run });
  }

  /** Does what is next, at its time; `false` when there is nothing any more. */
  next(): boolean {
    const due = pop(this.heap);
    if (due === undefined) return false;
    this.nowMs = due.atMs;
    due.run();
    return true;
  }

  /** In [0, below). */
  pick(below: number): number {
    return this.stream.next() * below;
  }

  between(from: number, to: number): number {
    return from + this.pick(to - from);
  }

  chance(probability: number): boolean {
    return this.stream.next() < probability;
  }

  one<T>(values: readonly T[]): T {
    return values[Math.floor(this.pick(values.length))] as T;
  }
}

const before = (a: Due, b: Due): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

/** A binary heap. */
function push(heap: Due[], item: Due): void {
  let i = heap.push(item) - 1;
  while (i > 0) {
    const parent = (i - 1) >> 1;
    if (!before(item, heap[parent] as Due)) break;
    heap[i] = heap[parent] as Due;
    i = parent;
  }
  heap[i] = item;
}

function pop(heap: Due[]): Due | undefined {
  const top = heap[0];
  const last = heap.pop();
  if (top === undefined || last === undefined || heap.length === 0) return top;
  let i = 0;
  for (;;) {
    let least = 2 * i + 1;
    if (least >= heap.length) break;
    if (least + 1 < heap.length && before(heap[least + 1] as Due, heap[least] as Due)) least += 1;
    if (!before(heap[least] as Due, last)) break;
    heap[i] = heap[least] as Due;
    i = least;
  }
  heap[i] = last;
  return top;
}
