/** The clock of the machine where its timers are early, as Node's are by a millisecond or two. */
import { afterEach, expect, test, vi } from 'vitest';
import { systemClock } from '../../cloud/system-clock.ts';

afterEach(() => vi.unstubAllGlobals());

test('a timer that fires early wakes nobody early', async () => {
  const timer = setTimeout;
  vi.stubGlobal('setTimeout', (work: () => void, ms: number) => timer(work, ms / 2));
  const before = systemClock.monotonic();
  await systemClock.sleep(40);
  expect(systemClock.monotonic() - before).toBeGreaterThanOrEqual(40);
});
