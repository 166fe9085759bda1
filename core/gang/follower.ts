/**
 * Whom a member follows, and how it finds a leader when it has none. The lease itself is a row of the table: seeking asks
 * for it to be read or taken, the answers come back as events.
 *
 * Invariants
 *  FO1 Who has lost its leader and still has its state tries for the lease at once; who is blank waits until the lease
 *      runs out, so that survivors go first (P3).
 *  FO2 Hello is said again with every beat until the leader answers: it may not have been leading yet when it came.
 *  FO3 A leader that is quiet for half its time is looked after in the table, so that a lease that is not renewed has been
 *      seen long enough when the time is up.
 */
import type { GangMember, TaskId } from '../run.ts';
import type { Effect } from './effects.ts';
import type { Message } from './messages.ts';
import type { Patience } from './patience.ts';

export interface Standing {
  readonly hasState: boolean;
  readonly step: number;
  readonly generation: number;
}

export class Follower {
  leader: GangMember | undefined;
  private readonly self: GangMember;
  private readonly patience: Patience;
  private readonly beatMs: number;
  private readonly standing: () => Standing;
  private fence = 0;
  /** The leader has said something since we follow it. */
  private acknowledged = false;
  /** Its process is known to be dead, and somebody else is to take its lease. */
  private gone = false;
  private nextSeekMs = 0;

  constructor(self: GangMember, patience: Patience, beatMs: number, standing: () => Standing) {
    this.self = self;
    this.patience = patience;
    this.beatMs = beatMs;
    this.standing = standing;
  }

  seek(gone?: TaskId): Effect {
    this.nextSeekMs = this.patience.nowMs + this.beatMs;
    return { type: 'seek-leader', blank: !this.standing().hasState, ...(gone === undefined ? {} : { gone }) };
  }

  heard(from: TaskId): void {
    if (from === this.leader?.taskId) this.acknowledged = true;
  }

  follows(peer: TaskId): boolean {
    return peer === this.leader?.taskId;
  }

  /** Somebody has just taken the lease, and says so himself. */
  hearsOf(leader: GangMember, fence: number): Effect[] {
    return fence > this.fence ? this.follow(leader, fence) : [];
  }

  follow(leader: GangMember, fence: number): Effect[] {
    this.fence = Math.max(this.fence, fence);
    if (!this.follows(leader.taskId)) {
      this.leader = leader;
      this.acknowledged = false;
      this.gone = false;
      this.patience.heard(leader.taskId);
    }
    return this.acknowledged || this.gone ? [] : this.tell(this.hello());
  }

  /** We hold the lease ourselves. */
  lead(fence: number): void {
    this.fence = fence;
    this.leader = this.self;
    this.acknowledged = true;
    this.gone = false;
  }

  /** We held the lease, and somebody else has it now. */
  stepDown(): void {
    this.leader = undefined;
  }

  /** The connection to the leader broke. */
  leaderLost(peer: TaskId, refused: boolean): Effect[] {
    this.acknowledged = false;
    // Still there: it has dropped us and will say so.
    if (!refused) return this.tell(this.hello());
    this.gone = true;
    if (!this.standing().hasState) return [];
    this.leader = undefined;
    return [this.seek(peer)];
  }

  tick(): Effect[] {
    const { leader, patience } = this;
    const alone = leader === undefined || this.gone || patience.isQuiet(leader.taskId);
    return alone && patience.nowMs >= this.nextSeekMs ? [this.seek()] : [];
  }

  tell(message: Message): Effect[] {
    return this.leader === undefined ? [] : [{ type: 'send', to: this.leader, message }];
  }

  /** What the leader is to hear of us with every beat. */
  greet(beat: Message): Effect[] {
    return this.gone ? [] : this.tell(this.acknowledged ? beat : this.hello());
  }

  private hello(): Message {
    return { type: 'hello', member: this.self, ...this.standing() };
  }
}
