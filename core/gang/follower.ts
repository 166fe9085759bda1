/**
 * Whom a member follows, and how it finds a leader when it has none. The lease itself is a row of the table: seeking asks
 * for it to be read or taken, the answers come back as events.
 *
 * Invariants
 *  FO1 Who has lost its leader and still has its state tries for the lease at once; who is blank waits until the lease
 *      runs out, so that survivors go first (P3).
 *  FO2 Hello is said again with every beat until the leader welcomes us: it may not have been leading yet when it came.
 *  FO3 Only what one says as a leader counts: who has lost the lease may live on, and leads nobody.
 *  FO5 Who is not welcomed for `joinMs` by a leader that holds its lease cannot reach it: it goes, so that it is replaced.
 *  FO4 A leader that is quiet for half its time is looked after in the table, so that a lease that is not renewed has been
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

/** Of the time of a leader, how much of silence makes us look whether it still renews its lease (FO4). */
const quiet = 0.4;

export class Follower {
  leader: GangMember | undefined;
  private readonly self: GangMember;
  private readonly patience: Patience;
  private readonly beatMs: number;
  private readonly joinMs: number;
  private readonly standing: () => Standing;
  /** Since when there has been a leader that does not know us. */
  private strangerSinceMs = 0;
  private fence = 0;
  /** The leader knows us. */
  private welcome = false;
  private heardMs = 0;
  /** Its process is known to be dead, and somebody else is to take its lease. */
  private gone = false;
  private nextSeekMs = 0;

  constructor(
    self: GangMember,
    patience: Patience,
    times: { beatMs: number; joinMs: number },
    standing: () => Standing,
  ) {
    this.self = self;
    this.patience = patience;
    this.beatMs = times.beatMs;
    this.joinMs = times.joinMs;
    this.standing = standing;
  }

  seek(gone?: TaskId): Effect {
    this.nextSeekMs = this.patience.nowMs + this.beatMs / 2;
    return { type: 'seek-leader', blank: !this.standing().hasState, ...(gone === undefined ? {} : { gone }) };
  }

  heard(from: TaskId): void {
    if (this.follows(from)) this.heardMs = this.patience.nowMs;
  }

  get isSilent(): boolean {
    return this.silence > 1;
  }

  /** Of its time, how much it has been silent. */
  private get silence(): number {
    if (this.leader === undefined) return 0;
    return (this.patience.nowMs - this.heardMs) / this.patience.limitFor(this.leader.taskId);
  }

  welcomed(from: TaskId): void {
    if (this.follows(from)) this.welcome = true;
  }

  follows(peer: TaskId): boolean {
    return peer === this.leader?.taskId;
  }

  /** This member holds the lease: so says the table. */
  follow(leader: GangMember, fence: number): Effect[] {
    if (fence < this.fence) return [];
    if (fence > this.fence || !this.follows(leader.taskId)) {
      this.fence = fence;
      this.leader = leader;
      this.welcome = false;
      this.gone = false;
      this.heardMs = this.patience.nowMs;
    }
    return this.welcome || this.gone ? [] : this.tell(this.hello());
  }

  /** We hold the lease ourselves. */
  lead(fence: number): void {
    this.fence = fence;
    this.leader = this.self;
    this.welcome = true;
    this.gone = false;
  }

  /** We held the lease, and somebody else has it now. */
  stepDown(): void {
    this.leader = undefined;
  }

  /** The leader may not know us, or not as we are: it is told until it welcomes us (FO2). */
  introduce(): Effect[] {
    this.welcome = false;
    return this.tell(this.hello());
  }

  /** The connection to the leader broke. */
  leaderLost(peer: TaskId, refused: boolean): Effect[] {
    // Still there: it has dropped us and will say so.
    if (!refused) return this.introduce();
    this.welcome = false;
    this.gone = true;
    if (!this.standing().hasState) return [];
    this.leader = undefined;
    return [this.seek(peer)];
  }

  tick(): Effect[] {
    const { nowMs } = this.patience;
    const alone = this.leader === undefined || this.gone;
    if (alone || this.welcome) this.strangerSinceMs = nowMs;
    if (nowMs - this.strangerSinceMs > this.joinMs) return [this.giveUp()];
    return (alone || this.silence > quiet) && nowMs >= this.nextSeekMs ? [this.seek()] : [];
  }

  private giveUp(): Effect {
    const { slot } = this.self;
    const detail = `the leader, ${this.leader?.slot}, holds its lease and does not answer`;
    return {
      type: 'exit',
      why: 'failed',
      save: false,
      failure: { kind: 'TaskLost', task: slot, reason: 'silent', detail },
    };
  }

  tell(message: Message): Effect[] {
    return this.leader === undefined ? [] : [{ type: 'send', to: this.leader, message }];
  }

  /** Somebody takes us for the leader. */
  pointTo(to: GangMember): Effect[] {
    if (this.leader === undefined || this.leader.taskId === to.taskId) return [];
    return [{ type: 'send', to, message: { type: 'lead', member: this.leader, fence: this.fence } }];
  }

  /** What the leader is to hear of us with every beat. */
  greet(beat: Message): Effect[] {
    return this.gone ? [] : this.tell(this.welcome ? beat : this.hello());
  }

  private hello(): Message {
    return { type: 'hello', member: this.self, ...this.standing() };
  }
}
