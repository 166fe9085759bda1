/** What every clock keeps, real or virtual. The caller's clock must let a sleep end by itself. */
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../cloud/ports.ts';

export function describeClock(name: string, make: () => Promise<Clock>): void {
  describe(`${name}: the clock port`, () => {
    it('sleeps at least as long as asked, by the monotonic clock', async () => {
      const clock = await make();
      const before = clock.monotonic();
      await clock.sleep(30);
      expect(clock.monotonic() - before).toBeGreaterThanOrEqual(30);
    });

    it('wakes sleepers in the order of their times', async () => {
      const clock = await make();
      const order: number[] = [];
      await Promise.all([40, 10, 25].map((ms) => clock.sleep(ms).then(() => order.push(ms))));
      expect(order).toEqual([10, 25, 40]);
    });

    it('ends a sleep that is aborted, with the reason', async () => {
      const clock = await make();
      const stop = new AbortController();
      const sleeping = clock.sleep(3_600_000, stop.signal);
      stop.abort(new Error('enough'));
      await expect(sleeping).rejects.toThrow('enough');
      await expect(clock.sleep(1, stop.signal)).rejects.toThrow('enough');
    });

    it('tells the time of this century', async () => {
      const clock = await make();
      expect(clock.now()).toBeGreaterThan(Date.UTC(2020, 0));
      expect(clock.now()).toBeLessThan(Date.UTC(2100, 0));
    });
  });
}
