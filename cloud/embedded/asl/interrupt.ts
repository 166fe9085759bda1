/**
 * Waiting that can be ended: every wait of the interpreter is for a promise or an instant, and ends early with
 * `Interrupted` when its signal does.
 *
 * Invariants
 *  I1  After an interruption nothing of what was waited for has any effect, and its rejection is nobody's surprise.
 *  I2  A wait may be of any length: timers are cut into pieces that Node's can hold.
 */
import { setMaxListeners } from 'node:events';
import type { Clock } from '../../ports.ts';

/**
 * closed   the host stops stepping; the execution goes on at the next open
 * stopped  somebody ended the execution
 * timeout  TimeoutSeconds of the machine
 * history  25,000 events
 * sibling  another branch of the same Map or Parallel has failed
 * over     what was waited for has been settled in another way
 */
export type Reason = 'closed' | 'stopped' | 'timeout' | 'history' | 'sibling' | 'over';

export class Interrupted extends Error {
  readonly reason: Reason;

  constructor(reason: Reason) {
    super(`interrupted: ${reason}`);
    this.reason = reason;
  }
}

/** Ends when any of the signals does. Many may wait for it at once: the lanes of a Map, the times of a task. */
export function anyOf(...signals: readonly AbortSignal[]): AbortSignal {
  const any = AbortSignal.any([...signals]);
  setMaxListeners(0, any);
  return any;
}

export function checkInterrupted(signal: AbortSignal): void {
  if (signal.aborted) throw new Interrupted(signal.reason as Reason);
}

export async function until<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => undefined);
  checkInterrupted(signal);
  let stop: (() => void) | undefined;
  const interrupted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(new Interrupted(signal.reason as Reason));
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([promise, interrupted]);
  } catch (thrown) {
    // A sleep that the same signal ends rejects as well, and may come first.
    checkInterrupted(signal);
    throw thrown;
  } finally {
    if (stop !== undefined) signal.removeEventListener('abort', stop);
  }
}

const longestSleepMs = 2 ** 30;

export async function pauseUntil(clock: Clock, wallMs: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    checkInterrupted(signal);
    const leftMs = wallMs - clock.now();
    if (leftMs <= 0) return;
    await until(clock.sleep(Math.min(leftMs, longestSleepMs), signal), signal);
  }
}

export async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  const end = clock.monotonic() + ms;
  for (;;) {
    checkInterrupted(signal);
    const leftMs = end - clock.monotonic();
    if (leftMs <= 0) return;
    await until(clock.sleep(Math.min(leftMs, longestSleepMs), signal), signal);
  }
}
