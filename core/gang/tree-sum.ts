/**
 * Adds vectors up in the fixed binary tree of core/shards.ts: a vector is put in at any tree node, and as soon as both
 * children of a node are there they become left + right. The order in which the nodes arrive changes nothing (S3).
 */
import { rootLevel, type TreeNode } from '../shards.ts';
import { plainPool, type VectorPool } from './vector-pool.ts';

export class TreeSum {
  private readonly root: number;
  private readonly pool: Pick<VectorPool, 'add' | 'release'>;
  private readonly waiting = new Map<string, Float32Array>();

  constructor(shards: number, pool: Pick<VectorPool, 'add' | 'release'> = plainPool) {
    this.root = rootLevel(shards);
    this.pool = pool;
  }

  /** Takes the vector over: it may be added into, or be released. Answers the total once the whole tree is in. */
  add(node: TreeNode, vector: Float32Array): Float32Array | undefined {
    let { level, index } = node;
    let sum = vector;
    for (;;) {
      if (level === this.root) return sum;
      const sibling = this.take(level, index % 2 === 0 ? index + 1 : index - 1);
      if (sibling === undefined) break;
      sum = index % 2 === 0 ? this.merge(sum, sibling) : this.merge(sibling, sum);
      index = Math.floor(index / 2);
      level += 1;
    }
    this.waiting.set(`${level}/${index}`, sum);
    return undefined;
  }

  /** The nodes that could not be merged further, from left to right. */
  rest(): { readonly node: TreeNode; readonly vector: Float32Array }[] {
    const nodes = [...this.waiting].map(([key, vector]) => {
      const [level, index] = key.split('/').map(Number) as [number, number];
      return { node: { level, index }, vector };
    });
    return nodes.sort((a, b) => a.node.index * 2 ** a.node.level - b.node.index * 2 ** b.node.level);
  }

  has(node: TreeNode): boolean {
    return this.waiting.has(`${node.level}/${node.index}`);
  }

  /** The left operand is the left child, always. */
  private merge(left: Float32Array, right: Float32Array): Float32Array {
    this.pool.add(left, right);
    this.pool.release(right);
    return left;
  }

  private take(level: number, index: number): Float32Array | undefined {
    const key = `${level}/${index}`;
    const found = this.waiting.get(key);
    this.waiting.delete(key);
    return found;
  }
}
