/**
 * Adds vectors up in the fixed binary tree of core/shards.ts: a vector is put in at any tree node, and as soon as both
 * children of a node are there they become left + right, rounded as far as the vector is. The order in which the nodes arrive changes nothing (S3), nor
 * does it in which of the two vectors the sum is left: adding two numbers is commutative to the bit.
 */
import { rootLevel, type TreeNode } from '../shards.ts';
import { plainPool, type VectorPool } from './vector-pool.ts';

/** Whether a sum may be left in the vector: somebody else may still read it, or it may be where the total is wanted. */
export type Room = 'never' | 'if need be' | 'gladly';

interface Term {
  readonly vector: Float32Array;
  readonly room: Room;
}

const order: readonly Room[] = ['never', 'if need be', 'gladly'];

export class TreeSum {
  private readonly root: number;
  private readonly pool: Pick<VectorPool, 'add' | 'release'>;
  private readonly rounded: number;
  /** By the number of the node: 1 is the root, 2n and 2n + 1 are the children of n. */
  private readonly waiting = new Map<number, Term>();

  /** The first `rounded` values of a vector are rounded to bfloat16 at every node: those put in have been already. */
  constructor(shards: number, pool: Pick<VectorPool, 'add' | 'release'> = plainPool, rounded = 0) {
    this.root = rootLevel(shards);
    this.pool = pool;
    this.rounded = rounded;
  }

  /** Takes the vector over, to release it when it is added to another. Answers the total once the whole tree is in. */
  add(node: TreeNode, vector: Float32Array, room: Room = 'if need be'): Float32Array | undefined {
    let { level, index } = node;
    let sum: Term = { vector, room };
    for (;;) {
      if (level === this.root) return sum.vector;
      const sibling = this.take({ level, index: index % 2 === 0 ? index + 1 : index - 1 });
      if (sibling === undefined) break;
      sum = index % 2 === 0 ? this.merge(sum, sibling) : this.merge(sibling, sum);
      index = Math.floor(index / 2);
      level += 1;
    }
    this.waiting.set(this.numberOf({ level, index }), sum);
    return undefined;
  }

  /** The nodes that could not be merged further, from left to right. */
  rest(): { readonly node: TreeNode; readonly vector: Float32Array }[] {
    const nodes = [...this.waiting].map(([number, { vector }]) => {
      const depth = Math.floor(Math.log2(number));
      return { node: { level: this.root - depth, index: number - 2 ** depth }, vector };
    });
    return nodes.sort((a, b) => a.node.index * 2 ** a.node.level - b.node.index * 2 ** b.node.level);
  }

  has(node: TreeNode): boolean {
    return this.waiting.has(this.numberOf(node));
  }

  private merge(left: Term, right: Term): Term {
    const [into, from] = order.indexOf(right.room) > order.indexOf(left.room) ? [right, left] : [left, right];
    this.pool.add(into.vector, from.vector, this.rounded);
    this.pool.release(from.vector);
    return into;
  }

  private take(node: TreeNode): Term | undefined {
    const number = this.numberOf(node);
    const found = this.waiting.get(number);
    this.waiting.delete(number);
    return found;
  }

  private numberOf({ level, index }: TreeNode): number {
    return 2 ** (this.root - level) + index;
  }
}
