/**
 * Rows of the table that belong to the whole cluster, not to one run: which runs are open (for the sweep), what each claims of
 * the Auto Scaling groups, and the last floor set (its version makes concurrent changes of the floor line up).
 *
 * | sort key      | row      | written by              | condition |
 * |---------------|----------|-------------------------|-----------|
 * | open/<runId>  | OpenRow  | validate; gone: release | version   |
 * | claim/<runId> | ClaimRow | scale; gone: release    | version   |
 * | floor/<kind>  | FloorRow | scale, release          | version   |
 */
import type { LaunchKind } from './plan.ts';

export const clusterPartition = 'cluster';
export const clusterKeys = {
  open: (runId: string) => `open/${runId}`,
  claim: (runId: string) => `claim/${runId}`,
  floor: (kind: LaunchKind) => `floor/${kind}`,
} as const;
export const clusterPrefixes = { open: 'open/', claim: 'claim/' } as const;

export interface OpenRow {
  readonly runId: string;
  readonly sinceMs: number;
}

export interface ClaimRow {
  readonly runId: string;
  readonly kind: LaunchKind;
  readonly instances: number;
}

export interface FloorRow {
  readonly instances: number;
}
