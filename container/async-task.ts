/** Puts one task of a run in asynchronous mode together; what both modes share is task.ts. */
import { AsyncMember, type AsyncMemberOptions } from '../core/gang/async/member.ts';
import { AsyncChief } from './async-chief.ts';
import { AsyncDriver, type AsyncDriverParts } from './async-driver.ts';
import { partitioningOf, updateOf } from './async-update.ts';
import { Leadership } from './leadership.ts';
import type { Replica } from './replica.ts';

export type Around = Omit<AsyncDriverParts, 'member' | 'leadership' | 'bench'>;

export function asyncDriver(
  around: Around,
  gang: Omit<AsyncMemberOptions, 'training' | 'update'>,
  replica: Replica | undefined,
): AsyncDriver {
  const { cloud, plan, self, meter } = around;
  const { stepsPerEpoch, totalSteps, maxStaleness } = plan.training;
  const cut = partitioningOf(plan);
  const { cadence, everySteps } = plan.checkpoint;
  const checkpointEvery = cadence.kind === 'steps' ? everySteps : 0;
  const training = { partitioning: cut, stepsPerEpoch, totalSteps, maxStaleness, checkpointEvery };
  const member = new AsyncMember({ ...gang, training, update: updateOf(plan, cut) });
  const leaseMs = (): number => member.membership.patience.leaseMs;
  const leadership: Leadership = new Leadership(cloud, plan, self, leaseMs, (event) => driver.post(event));
  const generation = (): number => member.generation;
  const bench =
    replica === undefined
      ? {}
      : {
          bench: { replica, chief: new AsyncChief({ cloud, plan, self, replica, leadership, meter, cut, generation }) },
        };
  const driver: AsyncDriver = new AsyncDriver({ ...around, member, leadership, ...bench });
  return driver;
}
