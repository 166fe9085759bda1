/**
 * The table side of leading: the lease, the gang row and its fences, the progress row, the Watch token's heartbeat, and
 * which slots are gone. The decisions are core/gang/; this file reads and writes rows and reports what came of it.
 *
 * Invariants
 *  LS1 The lease is taken under the version that was read, and only when it is free, its holder is known to be gone, or
 *      it did not move for its whole duration on our own clock: no two machines' clocks are compared.
 *  LS2 A generation is committed only by the holder of the lease, and the fences of `progress` and `checkpoints` are
 *      raised before it is used (T1).
 *  LS3 Losing the lease ends our leading: the next write that finds it out reports `lease-other`.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud, Row } from '../cloud/ports.ts';
import { raise } from '../cloud/signal.ts';
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
  type ProgressRow,
  type TaskId,
  type WatchRow,
} from '../core/run.ts';

type World = Pick<Cloud, 'table' | 'clock' | 'ids' | 'log' | 'workflow'>;

export class Leadership {
  private readonly cloud: World;
  private readonly plan: RunPlan;
  private readonly self: GangMember;
  private readonly post: (event: Event) => void;
  private held: { version: number; row: LeaderRow } | undefined;
  /** The lease as we saw it last, and since when it has not moved (monotonic). */
  private watched: { fence: number; beat: number; sinceMs: number } | undefined;
  private seeking = false;
  private beatAtMs = 0;
  private watchBeatAtMs = 0;

  constructor(cloud: World, plan: RunPlan, self: GangMember, post: (event: Event) => void) {
    this.cloud = cloud;
    this.plan = plan;
    this.self = self;
    this.post = post;
  }

  get leads(): boolean {
    return this.held !== undefined;
  }

  /** Who leads? Takes the lease when LS1 allows it; parameter servers only look. */
  async seek(gone: TaskId | undefined): Promise<void> {
    if (this.seeking) return;
    this.seeking = true;
    try {
      await this.look(gone);
    } finally {
      this.seeking = false;
    }
  }

  private async look(gone: TaskId | undefined): Promise<void> {
    const { table, clock } = this.cloud;
    const { runId, timing } = this.plan;
    const row = await table.get<LeaderRow>(runId, keys.leader);
    if (row !== undefined && row.value.taskId === this.self.taskId) return;
    const now = clock.monotonic();
    if (row !== undefined && (row.value.fence !== this.watched?.fence || row.value.beat !== this.watched.beat)) {
      this.watched = { fence: row.value.fence, beat: row.value.beat, sinceMs: now };
    }
    const stale = this.watched !== undefined && now - this.watched.sinceMs > timing.leaseDurationMs;
    const free = row === undefined || row.value.taskId === gone || stale;
    if (!free || this.self.role !== 'worker') {
      if (row !== undefined) this.post({ type: 'lease-other', row: row.value });
      return;
    }
    const { taskId, slot, host, port } = this.self;
    const mine: LeaderRow = { taskId, slot, host, port, fence: (row?.value.fence ?? 0) + 1, beat: 0 };
    const when = row === undefined ? ({ absent: true } as const) : { version: row.version };
    const stored = await table.put(runId, keys.leader, mine, when);
    if (stored.kind === 'conflict') {
      if (stored.current !== undefined) this.post({ type: 'lease-other', row: stored.current.value });
      return;
    }
    this.held = { version: stored.version, row: mine };
    const gang = await table.get<GangRow>(runId, keys.gang);
    this.post({ type: 'lease-held', row: mine, gang: gang?.value });
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
    const row = { ...held.row, beat: held.row.beat + 1 };
    const stored = await this.cloud.table.put(this.plan.runId, keys.leader, row, { version: held.version });
    if (stored.kind === 'stored') this.held = { version: stored.version, row };
    else this.superseded(stored.current);
  }

  private superseded(current: Row<LeaderRow> | undefined): void {
    this.held = undefined;
    if (current !== undefined) this.post({ type: 'lease-other', row: current.value });
  }

  private async heartbeatWatch(): Promise<void> {
    const watch = await this.cloud.table.get<WatchRow>(this.plan.runId, keys.watch);
    if (watch !== undefined) await this.cloud.workflow.heartbeatTask(watch.value.token);
  }

  async commit(gang: Gang, fromStep: number, why: string): Promise<void> {
    const { table, clock } = this.cloud;
    const { runId } = this.plan;
    const { generation, leader } = gang;
    const lease = await table.get<LeaderRow>(runId, keys.leader);
    if (lease?.value.taskId !== this.self.taskId) {
      this.superseded(lease);
      return;
    }
    const before = await table.get<GangRow>(runId, keys.gang);
    if (before !== undefined && before.value.generation >= generation) {
      this.post({ type: 'generation-refused', current: before.value.generation });
      return;
    }
    const row: GangRow = { generation, leader, members: membersOf(gang), fromStep, atMs: clock.now(), why };
    const when = before === undefined ? ({ absent: true } as const) : { version: before.version };
    const stored = await table.put(runId, keys.gang, row, when);
    if (stored.kind === 'conflict') {
      this.post({ type: 'generation-refused', current: stored.current?.value.generation ?? generation });
      return;
    }
    const fenced = await this.raiseFences(generation);
    this.post(
      fenced ? { type: 'generation-committed', generation } : { type: 'generation-refused', current: generation },
    );
  }

  private async raiseFences(generation: number): Promise<boolean> {
    const { table } = this.cloud;
    const { runId } = this.plan;
    // A few rounds: the row may have to be made first, and the leader of the generation before may write at the same
    // moment; it can win once, then it is fenced.
    const raiseOne = async <T>(key: string, empty: T): Promise<boolean> => {
      for (let round = 0; round < 4; round += 1) {
        const row = await table.get<T>(runId, key);
        if (row === undefined) {
          await table.put(runId, key, empty, { absent: true });
          continue;
        }
        const stored = await table.put(runId, key, row.value, { version: row.version, fence: generation });
        if (stored.kind === 'stored') return true;
        if (stored.current !== undefined && stored.current.fence > generation) return false;
      }
      return false;
    };
    const empty: CheckpointIndex = { manifests: [], damaged: [] };
    return (await raiseOne(keys.checkpoints, empty)) && (await this.startProgress(generation));
  }

  /** The progress row exists from the first generation on, so that its fence does. */
  private async startProgress(generation: number): Promise<boolean> {
    const { table, clock } = this.cloud;
    const row = await table.get<ProgressRow>(this.plan.runId, keys.progress);
    const first: ProgressRow = {
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
    const next = row === undefined ? first : { ...row.value, generation, beat: row.value.beat + 1 };
    return (await table.put(this.plan.runId, keys.progress, next, { fence: generation })).kind === 'stored';
  }

  /** False when a later generation has written: we do not lead any more. */
  async writeProgress(row: ProgressRow): Promise<boolean> {
    const stored = await this.cloud.table.put(this.plan.runId, keys.progress, row, { fence: row.generation });
    return stored.kind === 'stored';
  }

  /** The slot of a lost member is free, and the control plane should look. */
  async release(member: GangMember): Promise<void> {
    const { table } = this.cloud;
    const { runId } = this.plan;
    const row = await table.get<MemberRow>(runId, keys.member(member.slot));
    if (row !== undefined && row.value.taskId === member.taskId && row.value.state === 'up') {
      await table.put(runId, keys.member(member.slot), { ...row.value, state: 'gone' }, { version: row.version });
    }
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
