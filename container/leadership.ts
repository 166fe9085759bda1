/**
 * The table side of leading: the lease, the gang row and its fences, the progress row, the Watch token's heartbeat, and
 * which slots are gone. The decisions are core/gang/; this file reads and writes rows and reports what came of it.
 *
 * Invariants
 *  LS1 The lease is taken under the version that was read, and only when it is free, its holder is known to be gone, or
 *      it did not move for its whole duration on our own clock: no two machines' clocks are compared.
 *  LS2 A generation is committed only by the holder of the lease, and the fences of `progress`, `checkpoints` and `outcome`
 *      are raised before it is used (T1). Every write of this is under the version that was read, so that it makes no
 *      difference how early that was: all is read at once, and it takes four rounds when nobody interferes.
 *  LS3 Losing the lease ends our leading: the next write that finds it out reports `lease-other`.
 *  LS4 A write whose answer was lost may have been done: what the row then says of us is taken for the answer.
 *  LS5 Once there is an outcome nobody leads any more (R7).
 */
import { record } from '../cloud/journal.ts';
import type { Cloud, Row } from '../cloud/ports.ts';
import { raise } from '../cloud/signal.ts';
import { CuttlefishError } from '../core/failure.ts';
import type { Event } from '../core/gang/effects.ts';
import { type Gang, membersOf } from '../core/gang/messages.ts';
import type { RunPlan } from '../core/plan.ts';
import {
  type CheckpointIndex,
  type GangMember,
  type GangRow,
  keys,
  type LeaderRow,
  type MemberRow,
  type OutcomeRow,
  type ProgressRow,
  type TaskId,
  type TaskRow,
  type WatchRow,
} from '../core/run.ts';

type World = Pick<Cloud, 'table' | 'clock' | 'ids' | 'log' | 'workflow'>;

/** A blank task leaves the lease to those that have a state for so many times its duration. */
const blankFactor = 1.5;
/** Rounds in which somebody else may change a row under us; the leader of the generation before can do so once. */
const maxRounds = 4;

export class Leadership {
  private readonly cloud: World;
  private readonly plan: RunPlan;
  private readonly self: GangMember;
  private readonly post: (event: Event) => void;
  /** How long our lease may go without being renewed, as things are now. */
  private readonly leaseMs: () => number;
  private held: { version: number; row: LeaderRow } | undefined;
  /** The lease as we saw it last, and since when it has not moved (monotonic). */
  private watched: { fence: number; beat: number; sinceMs: number } | undefined;
  private seeking = false;
  private beatAtMs = 0;
  private watchBeatAtMs = 0;

  constructor(cloud: World, plan: RunPlan, self: GangMember, leaseMs: () => number, post: (event: Event) => void) {
    this.leaseMs = leaseMs;
    this.cloud = cloud;
    this.plan = plan;
    this.self = self;
    this.post = post;
  }

  get leads(): boolean {
    return this.held !== undefined;
  }

  /** Who leads? Takes the lease when LS1 allows it; parameter servers only look. */
  async seek(gone: TaskId | undefined, blank: boolean): Promise<void> {
    if (this.seeking) return;
    this.seeking = true;
    try {
      await this.look(gone, blank);
    } finally {
      this.seeking = false;
    }
  }

  private async look(gone: TaskId | undefined, blank: boolean): Promise<void> {
    const { table, clock } = this.cloud;
    const { runId, timing } = this.plan;
    const row = await table.get<LeaderRow>(runId, keys.leader);
    if (row?.value.taskId === this.self.taskId) {
      if (this.held === undefined) await this.take(row.version, row.value);
      return;
    }
    const now = clock.monotonic();
    if (row !== undefined && (row.value.fence !== this.watched?.fence || row.value.beat !== this.watched.beat)) {
      this.watched = { fence: row.value.fence, beat: row.value.beat, sinceMs: now };
    }
    const durationMs = Math.max(timing.leaseDurationMs, row?.value.durationMs ?? 0) * (blank ? blankFactor : 1);
    const stale = this.watched !== undefined && now - this.watched.sinceMs > durationMs;
    const free =
      row === undefined || row.value.taskId === gone || stale || (blank && (await this.allStopped(row.value.taskId)));
    if (free && (await this.isOver())) {
      this.post({ type: 'training-over' });
      return;
    }
    if (!free || this.self.role !== 'worker') {
      if (row !== undefined) this.post({ type: 'lease-other', row: row.value });
      return;
    }
    const { taskId, slot, host, port } = this.self;
    const fence = (row?.value.fence ?? 0) + 1;
    const mine: LeaderRow = { taskId, slot, host, port, fence, beat: 0, durationMs: this.leaseMs() };
    const when = row === undefined ? ({ absent: true } as const) : { version: row.version };
    const stored = await table.put(runId, keys.leader, mine, when);
    if (stored.kind === 'stored') await this.take(stored.version, mine);
    else if (stored.current !== undefined) this.post({ type: 'lease-other', row: stored.current.value });
  }

  private async take(version: number, row: LeaderRow): Promise<void> {
    const { table } = this.cloud;
    const { runId } = this.plan;
    const gang = await table.get<GangRow>(runId, keys.gang);
    const checkpoints = await table.get<CheckpointIndex>(runId, keys.checkpoints);
    const savedStep = checkpoints?.value.manifests[0]?.step ?? 0;
    // Only now: until the protocol knows of it we hold nothing, and look again.
    this.held = { version, row };
    this.post({ type: 'lease-held', row, gang: gang?.value, savedStep });
  }

  /**
   * The control plane has seen the end of the holder and of every worker of the gang: no one who has a state is left to
   * wait for. One look at the holder is all that it costs while it lives.
   */
  private async allStopped(holder: TaskId): Promise<boolean> {
    const { table } = this.cloud;
    const { runId } = this.plan;
    const stopped = async (taskId: TaskId): Promise<boolean> =>
      (await table.get<TaskRow>(runId, keys.task(taskId)))?.value.state === 'stopped';
    if (!(await stopped(holder))) return false;
    const gang = await table.get<GangRow>(runId, keys.gang);
    const workers = gang?.value.members.filter((member) => member.role === 'worker') ?? [];
    for (const { taskId } of workers) if (!(await stopped(taskId))) return false;
    return true;
  }

  private async isOver(): Promise<boolean> {
    const outcome = await this.cloud.table.get<OutcomeRow>(this.plan.runId, keys.outcome);
    return outcome !== undefined && outcome.value.kind !== 'pending';
  }

  /** Renew the lease and the Watch token when they are due. */
  async tick(): Promise<void> {
    const now = this.cloud.clock.monotonic();
    if (this.held === undefined) return;
    const { timing } = this.plan;
    if (now >= this.beatAtMs) {
      this.beatAtMs = now + timing.leaseDurationMs / 3;
      await this.renew();
    }
    if (now >= this.watchBeatAtMs && this.held !== undefined) {
      this.watchBeatAtMs = now + (timing.watchHeartbeatSeconds * 1000) / 4;
      await this.heartbeatWatch();
    }
  }

  private async renew(): Promise<void> {
    const { held } = this;
    if (held === undefined) return;
    const row = { ...held.row, beat: held.row.beat + 1, durationMs: this.leaseMs() };
    const stored = await this.cloud.table.put(this.plan.runId, keys.leader, row, { version: held.version });
    if (stored.kind === 'conflict') this.compare(stored.current);
    else if (this.held !== undefined && stored.version > this.held.version)
      this.held = { version: stored.version, row };
  }

  /** Is the lease still ours? */
  private compare(current: Row<LeaderRow> | undefined): boolean {
    if (current?.value.taskId === this.self.taskId) {
      const { version, value } = current;
      if (this.held !== undefined && version > this.held.version) this.held = { version, row: value };
      return true;
    }
    this.held = undefined;
    if (current !== undefined) this.post({ type: 'lease-other', row: current.value });
    return false;
  }

  private async heartbeatWatch(): Promise<void> {
    const watch = await this.cloud.table.get<WatchRow>(this.plan.runId, keys.watch);
    if (watch !== undefined) await this.cloud.workflow.heartbeatTask(watch.value.token);
  }

  async commit(gang: Gang, fromStep: number, why: string): Promise<void> {
    const { table, clock } = this.cloud;
    const { runId } = this.plan;
    const { generation, leader } = gang;
    const row: GangRow = { generation, leader, members: membersOf(gang), fromStep, atMs: clock.now(), why };
    for (let round = 0; round < maxRounds; round += 1) {
      const [holder, before, outcome, checkpoints, progress] = await Promise.all([
        table.get<LeaderRow>(runId, keys.leader),
        table.get<GangRow>(runId, keys.gang),
        table.get<OutcomeRow>(runId, keys.outcome),
        table.get<CheckpointIndex>(runId, keys.checkpoints),
        table.get<ProgressRow>(runId, keys.progress),
      ]);
      if (!this.compare(holder)) return;
      const done = before?.value.generation === generation && before.value.leader === leader;
      if (!done && before !== undefined && before.value.generation >= generation) {
        this.post({ type: 'generation-refused', current: before.value.generation });
        return;
      }
      const when = before === undefined ? ({ absent: true } as const) : { version: before.version };
      if (!done && (await table.put(runId, keys.gang, row, when)).kind === 'conflict') continue;
      await this.enforce(generation, { outcome, checkpoints, progress });
      return;
    }
    throw contended(`the gang of "${runId}"`);
  }

  /** The row is written; from here on nothing of an older generation is accepted. */
  private async enforce(generation: number, { outcome, checkpoints, progress }: Fenced): Promise<void> {
    const { clock } = this.cloud;
    const noCheckpoints: CheckpointIndex = { manifests: [], damaged: [] };
    const noProgress: ProgressRow = {
      generation,
      beat: 0,
      step: 0,
      epoch: 0,
      loss: 0,
      samplesPerSecond: 0,
      atMs: clock.now(),
      usefulMs: 0,
      lostSteps: 0,
      worldSize: 0,
      tasks: [],
    };
    const isSettled = (row: OutcomeRow): boolean => row.kind !== 'pending';
    // The outcome first: once there is one, nothing more is written.
    let found = await this.raiseFence(generation, keys.outcome, outcome, pendingOutcome, isSettled);
    if (found === undefined) {
      const others = await Promise.all([
        this.raiseFence(generation, keys.checkpoints, checkpoints, noCheckpoints),
        this.raiseFence(generation, keys.progress, progress, noProgress),
      ]);
      found = others.find((one) => one !== undefined);
    }
    if (found === undefined) this.post({ type: 'generation-committed', generation });
    else if (found.kind === 'final') this.post({ type: 'training-over' });
    else this.post({ type: 'generation-refused', current: found.fence });
  }

  /** What stood in the way; undefined when the row, which was `seen` so, has the fence now. */
  private async raiseFence<T>(
    generation: number,
    key: string,
    seen: Row<T> | undefined,
    empty: T,
    isFinal: (value: T) => boolean = () => false,
  ): Promise<Obstacle | undefined> {
    const { table } = this.cloud;
    const { runId } = this.plan;
    let row = seen;
    for (let round = 0; round < maxRounds; round += 1) {
      if (row === undefined) await table.put(runId, key, empty, { absent: true });
      else {
        if (isFinal(row.value)) return { kind: 'final' };
        if (row.fence > generation) return { kind: 'fenced', fence: row.fence };
        const when = { version: row.version, fence: generation };
        if ((await table.put(runId, key, row.value, when)).kind === 'stored') return undefined;
      }
      row = await table.get<T>(runId, key);
    }
    throw contended(`row "${key}" of "${runId}"`);
  }

  /** Under the generation that we are prepared for, which may be ahead of the one in the row. A newer one has its own. */
  async writeProgress(row: ProgressRow, generation: number): Promise<void> {
    await this.cloud.table.put(this.plan.runId, keys.progress, row, { fence: generation });
  }

  /** The slot of a lost member is free, and the control plane should look; only for who leads to say. */
  async release(member: GangMember, why: string): Promise<void> {
    const { table } = this.cloud;
    const { runId } = this.plan;
    if (!this.compare(await table.get<LeaderRow>(runId, keys.leader))) return;
    const row = await table.get<MemberRow>(runId, keys.member(member.slot));
    if (row !== undefined && row.value.taskId === member.taskId && row.value.state === 'up') {
      await table.put(runId, keys.member(member.slot), { ...row.value, state: 'gone' }, { version: row.version });
    }
    await this.news(`${member.slot} ${why}`);
  }

  async news(why: string): Promise<void> {
    await raise(this.cloud, this.plan.runId, why);
  }

  async record(
    ...[event, detail]: Parameters<typeof record> extends [unknown, unknown, ...infer R] ? R : never
  ): Promise<void> {
    await record(this.cloud, this.plan.runId, event, { by: this.self.slot, ...detail });
  }
}

/** The rows that only the newest generation may write, as they were found. */
interface Fenced {
  readonly outcome: Row<OutcomeRow> | undefined;
  readonly checkpoints: Row<CheckpointIndex> | undefined;
  readonly progress: Row<ProgressRow> | undefined;
}

/** There is an outcome, or a newer generation. */
type Obstacle = { readonly kind: 'final' } | { readonly kind: 'fenced'; readonly fence: number };

/** What keeps the place of the outcome until there is one: it carries the fence. */
const pendingOutcome: OutcomeRow = {
  kind: 'pending',
  epochs: 0,
  steps: 0,
  stopped: 'failed',
  metrics: { loss: Number.MAX_VALUE },
  weightsDigest: '',
  engine: '',
  generations: 0,
  lostSteps: 0,
  usefulMs: 0,
  modelKeys: [],
};

function contended(what: string): CuttlefishError {
  const reason = `it was changed by somebody else ${maxRounds} times in a row`;
  return new CuttlefishError({ kind: 'StorageFailed', what, reason });
}
