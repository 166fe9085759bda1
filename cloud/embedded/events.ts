/**
 * Events inside one process, as EventBridge has them between services: whoever publishes does not know who listens.
 *
 * Invariants
 *  V1  Every listener gets every event, in the order of publishing, one at a time; publishing never waits or fails.
 *  V2  A listener that throws gets the event again after a pause, a few times; then it is reported and dropped.
 */
import type { Clock, Ids } from '../ports.ts';

export interface BusEvent {
  readonly id: string;
  readonly source: string;
  readonly 'detail-type': string;
  readonly time: string;
  readonly account: string;
  readonly region: string;
  readonly resources: readonly string[];
  readonly detail: Readonly<Record<string, unknown>>;
}

export type NewEvent = Pick<BusEvent, 'source' | 'detail-type' | 'detail'> & { readonly resources?: readonly string[] };
export type Listener = (event: BusEvent) => Promise<void> | void;

export interface Bus {
  publish(event: NewEvent): void;
  /** Answers how to stop listening; what is under way is still delivered. */
  subscribe(listener: Listener): () => void;
  /** Resolves when everything published so far has been delivered or dropped. */
  settled(): Promise<void>;
}

export interface BusOptions {
  readonly clock: Clock;
  readonly ids: Ids;
  /** An event that a listener refused to the last. */
  readonly onDropped: (event: BusEvent, error: unknown) => void;
}

/** The account and region that the embedded world's ARNs name. */
export const embeddedAccount = '000000000000';
export const embeddedRegion = 'local';
const pausesMs = [50, 200, 1000];

export function createBus({ clock, ids, onDropped }: BusOptions): Bus {
  const queues = new Map<Listener, Promise<void>>();

  async function deliver(listener: Listener, event: BusEvent): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        await listener(event);
        return;
      } catch (error) {
        const pause = pausesMs[attempt];
        if (pause === undefined) return onDropped(event, error);
        await clock.sleep(pause);
      }
    }
  }

  return {
    publish(event) {
      const whole: BusEvent = {
        id: ids.hex(16),
        time: new Date(clock.now()).toISOString(),
        account: embeddedAccount,
        region: embeddedRegion,
        resources: [],
        ...event,
      };
      for (const [listener, before] of queues) {
        queues.set(
          listener,
          before.then(() => deliver(listener, whole)),
        );
      }
    },

    subscribe(listener) {
      // A wrapper, so that one function may subscribe twice.
      const own: Listener = (event) => listener(event);
      queues.set(own, Promise.resolve());
      return () => {
        queues.delete(own);
      };
    },

    async settled() {
      await Promise.all(queues.values());
    },
  };
}
