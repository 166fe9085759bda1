/**
 * Which thread computes which shards of a call. Pure.
 *
 * Invariants
 *  T1  Each shard is in exactly one piece; a piece is a node of the fixed tree, or of a part of it, whoever computes it.
 *  T2  The last thread has as many shards as any other, so it has work whenever there is some.
 */
import { cover, ownership, type TreeNode } from '../../../core/shards.ts';

export interface Piece {
  /** Of the nodes that were asked for. */
  readonly node: number;
  /** Within that node, as if it were the whole tree. */
  readonly at: TreeNode;
}

/** For each thread its pieces of nodes that have so many shards. */
export function divide(nodes: readonly number[], threads: number): Piece[][] {
  const shards = nodes.reduce((sum, size) => sum + size, 0);
  return Array.from({ length: threads }, (_, rank) => {
    const { from, to } = ownership(shards, threads, rank);
    let begin = 0;
    return nodes.flatMap((size, node) => {
      const range = { from: Math.max(0, from - begin), to: Math.min(size, to - begin) };
      begin += size;
      return cover(range).map((at): Piece => ({ node, at }));
    });
  });
}
