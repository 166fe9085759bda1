/**
 * The logical work of a step: S shards of the batch, one fixed binary tree over them, and who owns which run of shards.
 * Nothing here depends on who computes what; that is what makes the weights the same bits for any world size (P2).
 *
 * Invariants
 *  S1  `shardRange` cuts a batch of any size into S contiguous, possibly empty ranges that cover it once.
 *  S2  `ownership` gives each rank one contiguous run; the runs cover 0..S-1 once, and differ by at most one shard.
 *  S3  The sum over the shards is `sum(l, 2i) + sum(l, 2i+1)` at every tree node (l+1, i), whoever adds it up.
 */

/** A node of the tree: level 0 are the shards; node (level, index) covers shards [index << level, (index+1) << level). */
export interface TreeNode {
  readonly level: number;
  readonly index: number;
}

/** Half-open range of shards or of samples. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** The samples of shard k in a batch of `size` samples, as offsets into the batch. Empty when the batch is short. */
export function shardRange(size: number, shards: number, shard: number): Range {
  return { from: Math.floor((shard * size) / shards), to: Math.floor(((shard + 1) * size) / shards) };
}

/** The shards that `rank` of `worldSize` workers computes. */
export function ownership(shards: number, worldSize: number, rank: number): Range {
  return shardRange(shards, worldSize, rank);
}

/** The fewest tree nodes that exactly cover the shards [from, to), from left to right. */
export function cover({ from, to }: Range): TreeNode[] {
  const nodes: TreeNode[] = [];
  let at = from;
  while (at < to) {
    let level = 0;
    while (at % 2 ** (level + 1) === 0 && at + 2 ** (level + 1) <= to) level += 1;
    nodes.push({ level, index: at / 2 ** level });
    at += 2 ** level;
  }
  return nodes;
}

/** Height of the tree over `shards` leaves; shards is a power of two. */
export function rootLevel(shards: number): number {
  return Math.log2(shards);
}
