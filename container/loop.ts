/**
 * The life of a task in either mode: events in, one at a time; what the protocol makes of each is carried out before the
 * next; until there is an ending. What takes long goes on beside and comes back as an event.
 *
 * Invariants
 *  LP1 An event is handled when everything that the one before asked for has been begun.
 *  LP2 After the ending, or after `close`, nothing is decided any more (R7).
 *  LP3 Whatever fails unexpectedly ends this task with a failure; the others go on without it.
 *  LP4 What is only told, or is due again soon, is not worth a task: its failure is logged.
 */
import type { Cloud } from '../cloud/ports.ts';
import { type Failure, toFailure } from '../core/failure.ts';

export interface Ending {
  readonly why: 'left' | 'fenced' | 'dismissed' | 'failed';
  readonly failure?: Failure;
}

/**
 * Calls back again and again until it is told to stop, each time after what has come in meanwhile was taken: who was busy
 * or stopped must listen before it judges who is silent. Given by the composition root.
 */
export type Every = (ms: number, work: () => void) => () => void;

export interface LoopParts<Event, Effect> {
  readonly cloud: Pick<Cloud, 'clock' | 'log'>;
  readonly every: Every;
  readonly handle: (event: Event, nowMs: number) => readonly Effect[];
  readonly perform: (effect: Effect) => void;
}

/** Granularity of the protocol's deadlines. */
const tickMs = 50;

export class Loop<Event, Effect> {
  private readonly parts: LoopParts<Event, Effect>;
  private readonly queue: Event[] = [];
  private draining = false;
  private closed = false;
  private ending: Ending | undefined;
  private readonly ended: Promise<Ending>;
  private resolveEnded: (ending: Ending) => void = () => undefined;

  constructor(parts: LoopParts<Event, Effect>) {
    this.parts = parts;
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
  }

  /** Begins with these effects and runs until this task is to exit; says why. */
  async run(first: readonly Effect[], tick: () => void): Promise<Ending> {
    const stop = this.parts.every(tickMs, tick);
    this.carryOut(first);
    const ending = await this.ended;
    stop();
    return ending;
  }

  post(event: Event): void {
    this.queue.push(event);
    if (this.draining) return;
    this.draining = true;
    try {
      for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
        if (this.hasEnded || this.closed) return;
        this.carryOut(this.parts.handle(next, this.parts.cloud.clock.monotonic()));
      }
    } catch (error) {
      this.fail(toFailure(error));
    } finally {
      this.draining = false;
    }
  }

  get hasEnded(): boolean {
    return this.ending !== undefined;
  }

  /** The outcome is written. */
  close(): void {
    this.closed = true;
  }

  fail(failure: Failure): void {
    this.end({ why: 'failed', failure });
  }

  end(ending: Ending): void {
    if (this.ending !== undefined) return;
    this.ending = ending;
    this.resolveEnded(ending);
  }

  /** LP4. */
  told(work: Promise<void>, what: string): void {
    work.catch((error: unknown) => {
      this.parts.cloud.log.write('warn', 'task.faltered', { what, failure: toFailure(error) });
    });
  }

  /** LP3. */
  beside(work: Promise<void>, what: string): void {
    work.catch((error: unknown) => {
      const failure = toFailure(error);
      const stack = error instanceof Error ? error.stack : undefined;
      this.parts.cloud.log.write('error', 'task.lost', { what, failure, stack });
      this.fail(failure);
    });
  }

  private carryOut(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (this.hasEnded) return;
      this.parts.perform(effect);
    }
  }
}
