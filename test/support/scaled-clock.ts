/** A clock that runs `speed` times as fast as the wall clock, for tests of things that wait in earnest. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../cloud/ports.ts';

export function scaledClock(speed: number, startMs = 1_700_000_000_000): Clock {
  const origin = performance.now();
  const elapsed = (): number => (performance.now() - origin) * speed;
  return {
    now: () => Math.floor(startMs + elapsed()),
    monotonic: elapsed,
    sleep: async (ms, signal) => {
      await delay(ms / speed, undefined, signal === undefined ? {} : { signal });
    },
  };
}
