/**
 * Virtual time: when nothing but sleepers is left, the earliest one wakes and it is that time. What runs must not do
 * asynchronous input or output besides, or time runs away under it.
 */
import type { Clock } from '../../../cloud/ports.ts';

interface Sleeper {
  readonly atMs: number;
  readonly order: number;
  wake(): void;
}

export function virtualClock(startMs = Date.UTC(2026, 0, 1)): Clock {
  let nowMs = startMs;
  let order = 0;
  let pumping = false;
  const sleepers = new Set<Sleeper>();

  function pump(): void {
    if (pumping) return;
    pumping = true;
    // Two turns of the event loop, so that everything that can go on without time has done so.
    setImmediate(() =>
      setImmediate(() => {
        pumping = false;
        const [first] = [...sleepers].sort((a, b) => a.atMs - b.atMs || a.order - b.order);
        if (first === undefined) return;
        sleepers.delete(first);
        nowMs = Math.max(nowMs, first.atMs);
        first.wake();
        if (sleepers.size > 0) pump();
      }),
    );
  }

  return {
    now: () => nowMs,
    monotonic: () => nowMs - startMs,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        order += 1;
        const stop = () => {
          sleepers.delete(sleeper);
          reject(signal?.reason);
        };
        const wake = () => {
          signal?.removeEventListener('abort', stop);
          resolve();
        };
        const sleeper = { atMs: nowMs + ms, order, wake };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', stop, { once: true });
        pump();
      }),
  };
}
