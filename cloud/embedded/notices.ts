/** Notices for people and other systems: events of source `cuttlefish` on the bus of this process. */
import type { Notices } from '../ports.ts';
import type { Bus } from './events.ts';

export function createNotices(bus: Bus): Notices {
  return {
    publish: async (detailType, detail) => bus.publish({ source: 'cuttlefish', 'detail-type': detailType, detail }),
  };
}
