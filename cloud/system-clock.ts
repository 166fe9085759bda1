/** The clock of the machine, the same in every world that has a real one. */
import type { Clock } from './ports.ts';

/** A timer of Node takes at most 2^31 - 1 ms and fires at once for more. */
const longestTimerMs = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    const until = performance.now() + ms;
    // Node's timers count from when its loop last looked at the clock, so they may fire a millisecond or two early.
    for (let left = ms; ; left = until - performance.now()) {
      await pause(Math.min(Math.max(left, 0), longestTimerMs), signal);
      if (performance.now() >= until) return;
    }
  },
};

/** An aborted sleep rejects with the reason of the signal, as timers/promises does. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
