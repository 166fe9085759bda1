/** What a member is made with: who it is, what is trained, and how patient it is. */
import type { GangMember } from '../run.ts';
import type { LeaderOptions } from './leader-state.ts';
import type { BeatReport } from './messages.ts';
import type { PatienceOptions } from './patience.ts';
import type { TrainingShape } from './trainer.ts';
import type { VectorPool } from './vector-pool.ts';

export interface MemberOptions {
  readonly self: GangMember;
  readonly shape: TrainingShape;
  readonly leader: Omit<LeaderOptions, 'self'>;
  readonly heartbeatIntervalMs: number;
  readonly patience: PatienceOptions;
  /** How long a step may still take after SIGTERM. */
  readonly graceMs: number;
  /** How long a task may be known to no leader although there is one (FO5). */
  readonly joinMs?: number;
  /** Where the vectors of a step live. Those of a message are held by whoever delivers it, until it is handled. */
  readonly pool?: VectorPool;
  /** What the heartbeat says; asked for with every beat. */
  readonly report: () => BeatReport;
}
