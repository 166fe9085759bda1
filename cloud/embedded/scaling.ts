/**
 * Instances that the embedded world pretends to have: one row of counters a launch kind. An instance is there as soon as
 * it is asked for, unless `instances` makes them scarce.
 *
 * Invariants
 *  N1  Lowering the floor takes no instance out of service: on AWS that is the capacity provider's decision.
 */
import type { LaunchKind } from '../../core/plan.ts';
import type { Scaling, Table } from '../ports.ts';

export interface ScalingOptions {
  readonly table: Table;
  /** The most instances that can be in service, for each launch kind; 100 where nothing is said. */
  readonly instances?: Readonly<Partial<Record<LaunchKind, number>>>;
}

interface GroupRow {
  readonly floor: number;
  readonly inService: number;
}

const partition = 'embedded-instances';
const groupMax = 100;

export function createScaling({ table, instances = {} }: ScalingOptions): Scaling {
  const available = (kind: LaunchKind) => Math.min(instances[kind] ?? groupMax, groupMax);
  return {
    async setFloor(kind, wanted) {
      for (;;) {
        const row = await table.get<GroupRow>(partition, kind);
        const floor = Math.min(Math.max(0, wanted), groupMax);
        const inService = Math.max(row?.value.inService ?? 0, Math.min(floor, available(kind)));
        const group: GroupRow = { floor, inService };
        const done = await table.put(partition, kind, group, row ? { version: row.version } : { absent: true });
        if (done.kind === 'stored') return { inService, max: groupMax };
      }
    },

    async describe(kind) {
      const row = await table.get<GroupRow>(partition, kind);
      return { inService: row?.value.inService ?? 0, floor: row?.value.floor ?? 0, max: groupMax };
    },
  };
}
