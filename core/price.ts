/**
 * What a run costs on AWS. The prices are list prices of us-east-1, written down on the date below and not looked up:
 * a plan says what to expect and stops what is far off, the bill is AWS's.
 */
import type { LaunchKind, PricePlan } from './plan.ts';

export const priceTable = {
  asOf: '2026-11-01',
  region: 'us-east-1',
  fargateVcpuHourUsd: 0.04048,
  fargateGbHourUsd: 0.004445,
  /** A general-purpose instance (2 vCPU, 8 GiB at 0.096 an hour), by the vCPU. */
  ec2VcpuHourUsd: 0.048,
  /** Spot is an estimate: its price moves. */
  spotShare: 0.3,
  transitionUsd: 0.025 / 1000,
} as const;

export interface TaskGroup {
  readonly count: number;
  readonly cpu: number;
  readonly memoryMiB: number;
}

/** One task for one hour. */
export function taskHourUsd(launch: LaunchKind, { cpu, memoryMiB }: Omit<TaskGroup, 'count'>): number {
  const vcpus = cpu / 1024;
  const gigabytes = memoryMiB / 1024;
  const fargate = vcpus * priceTable.fargateVcpuHourUsd + gigabytes * priceTable.fargateGbHourUsd;
  // On an instance the task pays for the larger share that it takes, CPU or memory.
  const ec2 = Math.max(vcpus, gigabytes / 4) * priceTable.ec2VcpuHourUsd;
  switch (launch) {
    case 'local':
      return 0;
    case 'fargate':
      return fargate;
    case 'fargate-spot':
      return fargate * priceTable.spotShare;
    case 'ec2':
      return ec2;
    case 'ec2-spot':
      return ec2 * priceTable.spotShare;
  }
}

export function hourUsd(launch: LaunchKind, groups: readonly TaskGroup[]): number {
  return groups.reduce((sum, group) => sum + group.count * taskHourUsd(launch, group), 0);
}

/** `usdPerHour` is that of the dearest rung, so that a run that fell back from Spot is not underestimated. */
export function priceOf(options: {
  readonly ladder: readonly LaunchKind[];
  readonly groups: readonly TaskGroup[];
  /** The same tasks in the largest size that want of memory may bring them to. */
  readonly grown: readonly TaskGroup[];
  readonly maxDurationMs: number;
  readonly maxCostUsd?: number | undefined;
  readonly transitions: number;
}): Omit<PricePlan, 'expected'> {
  const { ladder, groups, grown, maxDurationMs, maxCostUsd, transitions } = options;
  const usdPerHour = Math.max(...ladder.map((launch) => hourUsd(launch, groups)));
  const workflow = ladder.includes('local') ? 0 : transitions * priceTable.transitionUsd;
  const dearest = Math.max(...ladder.map((launch) => hourUsd(launch, grown)));
  const unlimited = (dearest * maxDurationMs) / 3_600_000 + workflow;
  // A run is stopped within a minute after its cap is reached (R8).
  const capped = maxCostUsd === undefined ? unlimited : Math.min(unlimited, maxCostUsd + dearest / 60 + workflow);
  return { asOf: priceTable.asOf, usdPerHour: round(usdPerHour), worstCaseUsd: round(capped), transitions };
}

function round(usd: number): number {
  return Math.round(usd * 1e6) / 1e6;
}
