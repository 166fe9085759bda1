/**
 * Virtual time for the memory world. With `autoSleep` the earliest sleeper moves the clock as soon as nothing else is
 * left to do in a turn of the event loop; without it only `advance` does.
 */
import type { Clock } from '../../cloud/ports.ts';

export interface VirtualClock {
  readonly port: Clock;
  advance(ms: number): Promise<void>;
}

interface Sleeper {
  readonly atMs: number;
  readonly wake: () => void;
}

export function virtualClock(startMs: number, autoSleep: boolean): VirtualClock {
  let nowMs = startMs;
  const sleepers: Sleeper[] = [];
  const wakeDue = (): void => {
    sleepers.sort((a, b) => a.atMs - b.atMs);
    while (sleepers[0] !== undefined && sleepers[0].atMs <= nowMs) sleepers.shift()?.wake();
  };
  return {
    port: {
      now: () => nowMs,
      monotonic: () => nowMs - startMs,
      sleep: (ms: number, signal?: AbortSignal) =>
        new Promise<void>((resolve, reject) => {
          if (signal?.aborted) return reject(signal.reason);
          const sleeper = { atMs: nowMs + ms, wake: resolve };
          sleepers.push(sleeper);
          signal?.addEventListener('abort', () => {
            const at = sleepers.indexOf(sleeper);
            if (at >= 0) sleepers.splice(at, 1);
            reject(signal.reason);
          });
          // The earliest sleeper moves the clock once nothing else is left to do in this turn of the event loop.
          if (autoSleep) {
            setImmediate(() => {
              if (!sleepers.includes(sleeper)) return;
              nowMs = Math.max(nowMs, Math.min(...sleepers.map((s) => s.atMs)));
              wakeDue();
              if (sleepers.includes(sleeper)) nowMs = Math.max(nowMs, sleeper.atMs);
              wakeDue();
            });
          }
        }),
    },
    async advance(ms: number): Promise<void> {
      nowMs += ms;
      wakeDue();
      await new Promise<void>((resolve) => setImmediate(resolve));
    },
  };
}
