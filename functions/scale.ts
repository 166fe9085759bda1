/**
 * Claims instances for a run on EC2, and raises the group's floor to what all live claims need together.
 *
 * Invariants
 *  SC1 The floor is always the sum of the claims that exist, never an absolute of one run: two runs that change it at the
 *      same time line up on the version of the `floor` row, and the last one has seen both claims.
 *  SC2 Only the floor is set: desired capacity belongs to the capacity provider.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { updateRow } from '../cloud/update.ts';
import { type ClaimRow, clusterKeys, clusterPartition, clusterPrefixes, type FloorRow } from '../core/cluster-rows.ts';
import { CuttlefishError } from '../core/failure.ts';
import { instancesWanted, nextRung } from '../core/launching.ts';
import type { LaunchKind } from '../core/plan.ts';
import { wantedPlan } from '../core/wanted.ts';
import type { RunRef } from '../core/workflow.ts';
import { attemptRows, readPlan, readRun, values } from './rows.ts';

export interface ScaleOutput extends RunRef {
  readonly claimed: number;
  readonly inService: number;
}

export async function scale({ runId }: RunRef, cloud: Cloud): Promise<ScaleOutput> {
  const run = await readRun(cloud, runId);
  const plan = wantedPlan(await readPlan(cloud, runId), run);
  const { tasks, launches } = await attemptRows(cloud, run);
  const { kind } = nextRung(plan.cluster.ladder, launches, tasks);
  if (kind !== 'ec2' && kind !== 'ec2-spot') return { runId, claimed: 0, inService: 0 };

  const { worker, parameterServer } = plan.cluster;
  const instances = instancesWanted(plan);
  const claim: ClaimRow = { runId, kind, instances };
  await updateRow<ClaimRow>(cloud, clusterPartition, clusterKeys.claim(runId), () => claim);
  const group = await setFloor(kind, cloud);
  // A rung before this one was another group: it need not keep room for us any longer.
  for (const other of plan.cluster.ladder) if (other !== kind) await setFloor(other, cloud);
  const needed = worker.min + parameterServer.min;
  if (group.max < needed) {
    throw new CuttlefishError({
      kind: 'CapacityUnavailable',
      wanted: needed,
      granted: group.max,
      reason: `the Auto Scaling group for "${kind}" may have ${group.max} instances at most; raise its maximum or lower cluster.workers.min`,
    });
  }
  await record(cloud, runId, 'capacity.claimed', { by: 'scale', kind, instances, inService: group.inService });
  return { runId, claimed: instances, inService: group.inService };
}

const maxTries = 10;

/** SC1. */
export async function setFloor(
  kind: LaunchKind,
  cloud: Pick<Cloud, 'table' | 'scaling'>,
): Promise<{ readonly inService: number; readonly max: number }> {
  for (let tries = 0; tries < maxTries; tries += 1) {
    const floor = await cloud.table.get<FloorRow>(clusterPartition, clusterKeys.floor(kind));
    const claims = await values<ClaimRow>(cloud, clusterPartition, clusterPrefixes.claim);
    const instances = claims.filter((claim) => claim.kind === kind).reduce((sum, claim) => sum + claim.instances, 0);
    const group = await cloud.scaling.setFloor(kind, instances);
    const row: FloorRow = { instances };
    const when = floor === undefined ? ({ absent: true } as const) : { version: floor.version };
    const stored = await cloud.table.put(clusterPartition, clusterKeys.floor(kind), row, when);
    if (stored.kind === 'stored') return group;
  }
  throw new CuttlefishError({
    kind: 'StorageFailed',
    what: `the floor of "${kind}"`,
    reason: `${maxTries} other runs changed it at the same time`,
  });
}
