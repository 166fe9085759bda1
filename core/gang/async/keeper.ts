/**
 * The copies that one member holds. As primary it answers pulls, applies what is pushed and passes it on; as backup it
 * applies what the primary passes on. Any member can hold any partition; who does is the leader's business.
 *
 * Invariants
 *  KP1 An item is applied to a copy once, however often it is pushed (AP1).
 *  KP2 A push is acknowledged as `applied` only when the backup has it too.
 *  KP3 An update computed on parameters more than `maxStaleness` versions old is refused as `stale`.
 *  KP4 A copy is stamped with the generation before that generation opens; so what is acknowledged in a generation is in
 *      two copies that carry it (PL2).
 *  KP5 Primary and backup make the same updates in the same order: the same version of a generation is the same bits.
 */
import type { GangMember, TaskId } from '../../run.ts';
import { type Gang, membersOf } from '../messages.ts';
import { Applied } from './applied.ts';
import type { AsyncEffect, Refusable } from './effects.ts';
import type { AsyncMessage, AsyncOf, Placing } from './messages.ts';
import { addTail, copyLengthOf, type EpochTally, type Mark, noTally, type Partitioning, rangeOf } from './partition.ts';

/** One optimizer step on a copy's values, in place; `payload` is that of a push, `version` the number of updates so far. */
export type Update = (partition: number, values: Float32Array, payload: Float32Array, version: number) => void;

export interface KeeperShape {
  readonly partitioning: Partitioning;
  readonly stepsPerEpoch: number;
  readonly maxStaleness: number;
}

interface Held {
  readonly values: Float32Array;
  readonly applied: Applied;
  sums: readonly EpochTally[];
  generation: number;
}

interface Unacknowledged {
  readonly version: number;
  readonly item: number;
  readonly to: GangMember[];
}

interface Role {
  readonly peer: GangMember;
  readonly isPrimary: boolean;
  readonly unacknowledged: Unacknowledged[];
}

/** Epochs whose sums are kept: they are read at the end of an epoch, which may come a little late. */
const keptEpochs = 8;

export class Keeper {
  private readonly me: GangMember;
  private readonly shape: KeeperShape;
  private readonly update: Update;
  private readonly held = new Map<number, Held>();
  private gang: Gang | undefined;
  private table: readonly Placing[] = [];
  private readonly roles = new Map<number, Role>();
  /** The newest generation that we know to have opened, and the newest that opened with us. */
  private knownOpened = 0;
  private opened = 0;

  constructor(me: GangMember, shape: KeeperShape, update: Update) {
    this.me = me;
    this.shape = shape;
    this.update = update;
  }

  get isPlaced(): boolean {
    return this.table.length > 0;
  }

  get isOpen(): boolean {
    return this.gang !== undefined && this.opened === this.gang.generation;
  }

  /** Where to pull each partition from and push it to. */
  primaries(): readonly GangMember[] {
    return this.table.map(({ holders: [primary] }) => this.member(primary));
  }

  begin(gang: Gang): AsyncMessage {
    this.pause();
    this.gang = gang;
    return { type: 'holdings', generation: gang.generation, opened: this.knownOpened, marks: this.marks() };
  }

  /** The generation is over. What was applied but not acknowledged stays: it is in the copy, once. */
  pause(): void {
    this.gang = undefined;
    this.table = [];
    this.roles.clear();
  }

  place({ table, generation, opened }: AsyncOf<'place'>): AsyncEffect[] {
    this.knownOpened = Math.max(this.knownOpened, opened);
    this.table = table;
    const effects: AsyncEffect[] = [];
    for (const { partition, holders, source, needs } of table) {
      const [primary, backup] = holders;
      const held = this.held.get(partition);
      if (source === this.me.taskId && held !== undefined) {
        for (const to of needs) {
          const message: AsyncMessage = {
            type: 'state',
            generation,
            mark: this.markOf(partition, held),
            payload: held.values.slice(),
          };
          effects.push({ type: 'send', to: this.member(to), message });
        }
      }
      if (!holders.includes(this.me.taskId)) continue;
      const isPrimary = primary === this.me.taskId;
      this.roles.set(partition, { peer: this.member(isPrimary ? backup : primary), isPrimary, unacknowledged: [] });
      if (!needs.includes(this.me.taskId)) effects.push(...this.stamp(partition));
    }
    return effects;
  }

  state({ mark, payload }: AsyncOf<'state'>): Refusable {
    const { partition } = mark;
    const placing = this.table.find((entry) => entry.partition === partition);
    if (placing?.needs.includes(this.me.taskId) !== true) return { refused: `partition ${partition} is not asked for` };
    if (payload.length !== copyLengthOf(this.shape.partitioning, partition)) {
      return { refused: `${payload.length} values for partition ${partition}` };
    }
    const { generation, applied, sums } = mark;
    this.held.set(partition, { values: payload, applied: new Applied(applied), sums, generation });
    return this.stamp(partition);
  }

  open(generation: number): void {
    this.opened = generation;
    this.knownOpened = Math.max(this.knownOpened, generation);
    for (const partition of [...this.held.keys()]) if (!this.roles.has(partition)) this.held.delete(partition);
  }

  pull(from: TaskId, { generation, item, partition }: AsyncOf<'pull'>): Refusable {
    const mine = this.primaryOf(partition);
    if (mine === undefined) return { refused: `we are not the primary of partition ${partition}` };
    const { values, applied } = mine.held;
    const { from: first, to } = rangeOf(this.shape.partitioning, partition);
    const payload = values.slice(0, to - first);
    const version = applied.count;
    return [
      {
        type: 'send',
        to: this.member(from),
        message: { type: 'parameters', generation, item, partition, version, payload },
      },
    ];
  }

  push(from: TaskId, message: AsyncOf<'push'>): Refusable {
    const { generation, item, partition, base, payload } = message;
    const mine = this.primaryOf(partition);
    if (mine === undefined) return { refused: `we are not the primary of partition ${partition}` };
    const refused = this.misfit(message);
    if (refused !== undefined) return { refused };
    const { held, role } = mine;
    const to = this.member(from);
    const version = held.applied.count;
    if (held.applied.has(item)) {
      const waiting = role.unacknowledged.find((entry) => entry.item === item);
      waiting?.to.push(to);
      return waiting === undefined ? [answer(to, generation, item, partition, 'applied')] : [];
    }
    if (base > version || version - base > this.shape.maxStaleness) {
      return [answer(to, generation, item, partition, 'stale')];
    }
    this.apply(partition, held, item, payload);
    role.unacknowledged.push({ version: version + 1, item, to: [to] });
    return [
      {
        type: 'send',
        to: role.peer,
        message: { type: 'replicate', generation, item, partition, version: version + 1, payload },
      },
    ];
  }

  replicate(from: TaskId, message: AsyncOf<'replicate'>): Refusable {
    const { generation, item, partition, version, payload } = message;
    const held = this.held.get(partition);
    const role = this.roles.get(partition);
    if (held === undefined || role === undefined || role.isPrimary || role.peer.taskId !== from) {
      return { refused: `we are not the backup of partition ${partition} for the sender` };
    }
    const refused = this.misfit(message);
    if (refused !== undefined) return { refused };
    if (version !== held.applied.count + 1 || held.applied.has(item)) {
      return { refused: `version ${version} does not follow ${held.applied.count}` };
    }
    this.apply(partition, held, item, payload);
    return [{ type: 'send', to: role.peer, message: { type: 'replicated', generation, partition, version } }];
  }

  replicated(from: TaskId, { generation, partition, version }: AsyncOf<'replicated'>): Refusable {
    const mine = this.primaryOf(partition);
    if (mine === undefined || mine.role.peer.taskId !== from) return { refused: 'the sender is not our backup' };
    const effects: AsyncEffect[] = [];
    const { unacknowledged } = mine.role;
    while ((unacknowledged[0]?.version ?? Number.POSITIVE_INFINITY) <= version) {
      const { item, to } = unacknowledged.shift() as Unacknowledged;
      effects.push(...to.map((worker) => answer(worker, generation, item, partition, 'applied')));
    }
    return effects;
  }

  collect(from: TaskId, { generation, id, partition }: AsyncOf<'collect'>): Refusable {
    const mine = this.primaryOf(partition);
    if (mine === undefined) return { refused: `we are not the primary of partition ${partition}` };
    const mark = this.markOf(partition, mine.held);
    const payload = mine.held.values.slice();
    return [{ type: 'send', to: this.member(from), message: { type: 'collected', generation, id, mark, payload } }];
  }

  marks(): Mark[] {
    return [...this.held].map(([partition, held]) => this.markOf(partition, held));
  }

  /** KP4: from here on the copy counts for this generation. */
  private stamp(partition: number): AsyncEffect[] {
    const { gang } = this;
    const held = this.held.get(partition);
    if (gang === undefined || held === undefined) return [];
    held.generation = gang.generation;
    const message: AsyncMessage = { type: 'held', generation: gang.generation, partition };
    return [{ type: 'send', to: this.member(gang.leader), message }];
  }

  private apply(partition: number, held: Held, item: number, payload: Float32Array): void {
    this.update(partition, held.values, payload, held.applied.count);
    held.applied.add(item);
    const epoch = Math.floor(item / this.shape.stepsPerEpoch);
    const sums = held.sums.find((tally) => tally.epoch === epoch)?.sums ?? noTally;
    const tail = payload.subarray(payload.length - this.shape.partitioning.tailLength);
    const tally: EpochTally = { epoch, sums: addTail(sums, tail) };
    held.sums = [...held.sums.filter((other) => other.epoch !== epoch), tally]
      .sort((a, b) => a.epoch - b.epoch)
      .slice(-keptEpochs);
  }

  private misfit({ partition, payload, item }: AsyncOf<'push' | 'replicate'>): string | undefined {
    const { from, to } = rangeOf(this.shape.partitioning, partition);
    if (payload.length !== to - from + this.shape.partitioning.tailLength)
      return `${payload.length} values for partition ${partition}`;
    return Number.isSafeInteger(item) && item >= 0 ? undefined : `item ${item}`;
  }

  private primaryOf(partition: number): { held: Held; role: Role } | undefined {
    const held = this.held.get(partition);
    const role = this.roles.get(partition);
    return held === undefined || role?.isPrimary !== true ? undefined : { held, role };
  }

  private markOf(partition: number, { generation, applied, sums }: Held): Mark {
    return { partition, generation, applied: applied.record(), sums };
  }

  /** Senders are members of the gang: member.ts has looked. */
  private member(taskId: TaskId): GangMember {
    const gang = this.gang as Gang;
    return membersOf(gang).find((member) => member.taskId === taskId) as GangMember;
  }
}

function answer(
  to: GangMember,
  generation: number,
  item: number,
  partition: number,
  outcome: 'applied' | 'stale',
): AsyncEffect {
  return { type: 'send', to, message: { type: 'pushed', generation, item, partition, outcome } };
}
