/**
 * What the table remembers of a run: one interface per row, and the keys. Partition key is the run id; the rows that belong to
 * no run are in core/cluster-rows.ts, what a run leaves in the bucket in core/object-keys.ts.
 *
 * | sort key                | row              | written by                        | condition          |
 * |-------------------------|------------------|-----------------------------------|--------------------|
 * | run                     | RunRow           | the functions                     | version            |
 * | launch/<n>              | LaunchRow        | launch: intent before the call    | absent, version    |
 * | task/<taskId>           | TaskRow          | launch, task events               | absent, version    |
 * | member/<slot>           | MemberRow        | the task that took the slot       | absent, version    |
 * | leader                  | LeaderRow        | the member that takes the lease   | absent, version    |
 * | gang                    | GangRow          | the leader                        | version            |
 * | progress                | ProgressRow      | the leader                        | fence = generation |
 * | checkpoints             | CheckpointIndex  | the leader                        | fence = generation |
 * | part/<digest>/<i>       | PartRow          | the leader                        | absent (by digest) |
 * | epoch/<n, 6 digits>     | EpochRow         | the leader                        | absent             |
 * | outcome                 | OutcomeRow       | the leader, once training ended   | fence = generation |
 * | watch                   | WatchRow         | the watch function                | version            |
 * | signal                  | SignalRow        | whoever has news                  | version            |
 * | event/<ms>-<id>         | EventRow         | anyone                            | absent             |
 * | chaos/<i>               | ChaosRow         | the task that carries it out      | absent             |
 * | wire                    | WireRow          | plan                              | absent             |
 *
 * Invariants
 *  T1  A row with a fence is never replaced by one with a smaller fence (P5); before a generation begins its leader has
 *      raised the fence of `progress`, `checkpoints` and `outcome` to it.
 *  T2  LaunchRow is written before RunTask is called, so a crash in between is found and finished, not repeated.
 *  T3  A terminal phase is never left, except by `resume`, which starts a new attempt of the run.
 */
import type { Failure } from './failure.ts';
import type { TaskSize } from './fargate.ts';
import type { Mark } from './gang/async/partition.ts';
import type { LaunchKind, Role } from './plan.ts';

export type TaskId = string;
/** The stable name a person sees: `worker/1`, `parameter-server/0`. A replacement takes the slot of the lost task. */
export type Slot = string;

export const slotName = (role: Role, index: number): Slot => `${role}/${index}`;
export function parseSlot(slot: Slot): { role: Role; index: number } {
  const at = slot.lastIndexOf('/');
  return { role: slot.slice(0, at) as Role, index: Number(slot.slice(at + 1)) };
}

export const keys = {
  run: 'run',
  leader: 'leader',
  gang: 'gang',
  progress: 'progress',
  checkpoints: 'checkpoints',
  outcome: 'outcome',
  watch: 'watch',
  signal: 'signal',
  wire: 'wire',
  launch: (n: number) => `launch/${String(n).padStart(6, '0')}`,
  task: (id: TaskId) => `task/${id}`,
  member: (slot: Slot) => `member/${slot}`,
  epoch: (n: number) => `epoch/${String(n).padStart(6, '0')}`,
  part: (digest: string, i: number) => `part/${digest}/${String(i).padStart(4, '0')}`,
  event: (atMs: number, id: string) => `event/${String(atMs).padStart(15, '0')}-${id}`,
  chaos: (i: number) => `chaos/${i}`,
} as const;

/** Prefixes for queries. */
export const prefixes = {
  launch: 'launch/',
  task: 'task/',
  member: 'member/',
  epoch: 'epoch/',
  event: 'event/',
  part: 'part/',
} as const;

export type Phase =
  | 'submitted'
  | 'planned'
  | 'launching'
  | 'training'
  | 'recovering'
  | 'succeeded'
  | 'failed'
  | 'cancelled';
export const terminalPhases: readonly Phase[] = ['succeeded', 'failed', 'cancelled'];

export interface RunRow {
  readonly schema: 1;
  readonly runId: string;
  readonly name: string;
  readonly phase: Phase;
  /** Counts `resume`s of an ended run; the execution name carries it. */
  readonly attempt: number;
  readonly submittedAtMs: number;
  readonly startedAtMs?: number;
  readonly endedAtMs?: number;
  /** Every task was seen stopped and every claim dropped after the end of this attempt. */
  readonly releasedAtMs?: number;
  readonly executionArn?: string;
  /** Where the config came from when it was an object, so that a refusal can be written beside it. */
  readonly configUri?: string;
  readonly cancelRequestedBy?: string;
  /** What `scale` asked for last; absent: what the plan says. Always within the plan's own bounds. */
  readonly workers?: WorkersWanted;
  readonly failure?: Failure;
  /** Spent so far, against RecoveryPlan: incidents (core/incidents.ts), and rounds of launches. */
  readonly recoveries: number;
  readonly launches: number;
  /** The last decision and its reason, so that a reason is logged once, when it changes. */
  readonly decision?: { readonly action: string; readonly why: string };
}

export interface WorkersWanted {
  readonly count: number;
  readonly by: string;
  readonly atMs: number;
}

export interface LaunchRow {
  readonly n: number;
  /** Batches of one visit of Launch share a round; the rung of the ladder follows from the rounds before. */
  readonly round: number;
  readonly role: Role;
  readonly count: number;
  readonly kind: LaunchKind;
  readonly size: TaskSize;
  readonly clientToken: string;
  readonly state: 'intended' | 'done';
  readonly atMs: number;
  readonly started: readonly TaskId[];
  readonly failures: readonly string[];
}

export type TaskState = 'starting' | 'running' | 'stopping' | 'stopped';

export interface TaskRow {
  readonly taskId: TaskId;
  readonly role: Role;
  readonly launch: number;
  readonly kind: LaunchKind;
  /** Absent until Launch has told it. */
  readonly size?: TaskSize;
  readonly state: TaskState;
  /** Set once the task has taken one. */
  readonly slot?: Slot;
  readonly launchedAtMs: number;
  readonly startedAtMs?: number;
  readonly stoppedAtMs?: number;
  readonly stop?: { readonly code: string; readonly exitCode?: number; readonly reason: string };
  /** It has taken part in a step; said by the task itself. */
  readonly useful?: boolean;
  /** The classified failure; absent when it ended well or was stopped by us. */
  readonly failure?: Failure;
  /** Its end is in the history of the run, and whoever waited for it was woken. */
  readonly told?: true;
}

/** A task that is up, and how to reach it. The slot is free again when the row says `gone`. */
export interface MemberRow {
  readonly slot: Slot;
  readonly role: Role;
  readonly taskId: TaskId;
  readonly host: string;
  readonly port: number;
  readonly state: 'up' | 'gone';
  readonly joinedAtMs: number;
}

/** Lease of the leader. `fence` grows with every holder; `beat` with every renewal, so a watcher needs no clock but its own. */
export interface LeaderRow {
  readonly taskId: TaskId;
  readonly slot: Slot;
  readonly host: string;
  readonly port: number;
  readonly fence: number;
  readonly beat: number;
  /** How long it may go without being renewed, when the holder needs longer than the plan's duration to look up. */
  readonly durationMs?: number;
}

export interface GangMember {
  readonly taskId: TaskId;
  readonly slot: Slot;
  readonly role: Role;
  readonly host: string;
  readonly port: number;
  /** What computes there; absent for parameter servers, which only add. */
  readonly engine?: string;
  /** Version of the slot's row when it was taken: of two tasks in one slot the greater has it. */
  readonly turn?: number;
}

/** The membership that is in force. Workers are in rank order, then the parameter servers in partition order. */
export interface GangRow {
  readonly generation: number;
  readonly leader: TaskId;
  readonly members: readonly GangMember[];
  /** First step of this generation. */
  readonly fromStep: number;
  readonly atMs: number;
  readonly why: string;
}

export interface TaskProgress {
  readonly slot: Slot;
  readonly taskId: TaskId;
  readonly state: 'training' | 'catching-up' | 'evaluating' | 'idle';
  readonly shards: number;
  readonly step: number;
  readonly memoryMiB: number;
  /** Shares of the step time: computing, sending and receiving, waiting for others. Sum <= 1. */
  readonly computeShare: number;
  readonly wireShare: number;
  readonly waitShare: number;
}

export interface ProgressRow {
  readonly generation: number;
  /** Grows with every write: a value that does not move for a whole Watch turn means that nobody leads. */
  readonly beat: number;
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  readonly accuracy?: number;
  readonly samplesPerSecond: number;
  readonly atMs: number;
  readonly firstStepAtMs?: number;
  /** Time spent computing steps that count, for goodput. */
  readonly usefulMs: number;
  readonly lostSteps: number;
  readonly worldSize: number;
  readonly tasks: readonly TaskProgress[];
}

export interface EpochRow {
  readonly epoch: number;
  readonly step: number;
  readonly samples: number;
  readonly trainLoss: number;
  readonly trainAccuracy?: number;
  readonly loss: number;
  readonly accuracy?: number;
  readonly learningRate: number;
  readonly durationMs: number;
  readonly samplesPerSecond: number;
  readonly worldSize: number;
  readonly generation: number;
  readonly atMs: number;
  /** The roll call of the samples whose gradients are in the weights, and whether it is that of each sample once. */
  readonly rollCall?: string;
  readonly dataExactlyOnce?: boolean;
}

export interface CheckpointPart {
  readonly name: 'parameters' | 'optimizer';
  readonly digest: string;
  readonly bytes: number;
  /** Rows it is cut into when it lives in the table; 0 when it is an object. */
  readonly chunks: number;
}

/** The manifest: a checkpoint exists exactly when it is listed in CheckpointIndex. */
export interface CheckpointManifest {
  readonly step: number;
  readonly epoch: number;
  readonly generation: number;
  readonly atMs: number;
  readonly store: 'table' | 'objects';
  readonly engine: string;
  readonly configDigest: string;
  readonly parts: readonly CheckpointPart[];
  /** Sums over the epoch so far, so that a resumed epoch reports the same: samples, loss sum, correct, roll call. */
  readonly epochSums: readonly [samples: number, loss: number, correct: number, ...roll: number[]];
  /** Best value so far and epochs since, one pair for each stopWhen rule. */
  readonly stopState: readonly (readonly [number, number])[];
  readonly optimizerStep: number;
  /** In asynchronous mode: what each partition has in it. */
  readonly partitions?: readonly Mark[];
}

export interface CheckpointIndex {
  /** Newest first; at most checkpoint.keep. */
  readonly manifests: readonly CheckpointManifest[];
  /** Digests of parts that were found damaged; no manifest names them any more. */
  readonly damaged: readonly string[];
  /** Digests of parts that may be stored without a manifest: being written, or not deleted yet. */
  readonly unnamed?: readonly string[];
}

export interface PartRow {
  readonly bytes: Uint8Array;
}

/**
 * Written once by the leader when training is over: what Finish needs and cannot compute. Until then the row is `pending`,
 * so that a generation that has been replaced cannot write it (T1); read it with `settled`.
 */
export interface OutcomeRow {
  readonly kind: 'pending' | 'trained' | 'failed';
  readonly failure?: Failure;
  readonly epochs: number;
  readonly steps: number;
  readonly stopped: 'epochs' | 'stopWhen' | 'failed';
  readonly metrics: { readonly accuracy?: number; readonly loss: number };
  readonly weightsDigest: string;
  readonly engine: string;
  readonly generations: number;
  readonly lostSteps: number;
  readonly usefulMs: number;
  readonly modelKeys: readonly string[];
}

export type SettledOutcome = OutcomeRow & { readonly kind: 'trained' | 'failed' };
export function settled(outcome: OutcomeRow | undefined): SettledOutcome | undefined {
  return outcome === undefined || outcome.kind === 'pending' ? undefined : (outcome as SettledOutcome);
}

export interface WatchRow {
  readonly turn: number;
  readonly token: string;
  /** The newest signal that the turn before had seen. */
  readonly seen: number;
}

export interface SignalRow {
  readonly seq: number;
  readonly last: string;
}

/** One line of events.jsonl. */
export interface EventRow {
  readonly atMs: number;
  readonly event: string;
  readonly why?: string;
  readonly by: string;
  readonly generation?: number;
  readonly step?: number;
  readonly [detail: string]: unknown;
}

/** This entry of `chaos` has struck. */
export interface ChaosRow {
  readonly taskId: TaskId;
  readonly atMs: number;
}

export interface WireRow {
  /** 32 random bytes, hex. */
  readonly secret: string;
}
