/**
 * All that the functions and the tasks may ask of the outside world. Two worlds implement it, cloud/aws and
 * cloud/embedded, and a simulated one in test/support; one contract suite per port (test/contract) runs against each.
 * The numbered clauses are the contract: each has a test.
 *
 * Keys, run ids and digests are plain strings; sizes are bytes; instants are milliseconds since the Unix epoch.
 */
import type { EventName } from '../core/events.ts';
import type { MetricValues } from '../core/metrics.ts';
import type { LaunchKind, Role } from '../core/plan.ts';
import type { Quotas } from '../core/quotas.ts';

export interface ObjectStore {
  /** O1 A reader sees a whole body or none, never half of one. O2 Read-after-write: a stored object is found at once. */
  get(key: string): Promise<{ readonly body: Uint8Array; readonly version: string } | undefined>;
  /** The exact version that an event named; undefined when it is gone. */
  getVersion(
    key: string,
    version: string,
  ): Promise<{ readonly body: Uint8Array; readonly version: string } | undefined>;
  /**
   * O3 Of many concurrent `absent` puts of one key exactly one is stored. `sha256` is the digest of the body, in hex, where
   * the caller has it: taking it of a large body once is enough.
   */
  put(
    key: string,
    body: Uint8Array | string,
    when: 'always' | { readonly absent: true },
    sha256?: string,
  ): Promise<{ readonly kind: 'stored'; readonly version: string } | { readonly kind: 'conflict' }>;
  /** O4 All keys under the prefix, sorted, complete after a put. */
  list(prefix: string): Promise<readonly string[]>;
  /** O5 Deleting what is not there is not an error. */
  delete(key: string): Promise<void>;
  /** Where a person finds it: a path or an s3:// URI. */
  locate(key: string): string;
}

export interface Row<T> {
  readonly key: string;
  readonly value: T;
  /** Grows by one with every write of the row. */
  readonly version: number;
  readonly fence: number;
}

/**
 * Condition of a write; there is no unconditional one.
 *  absent   the row does not exist
 *  version  the row exists with exactly this version
 *  fence    the row does not exist, or its fence is not greater than this; the row then carries this fence
 *  version and fence   both conditions: the row exists with exactly this version and its fence is not greater; the row
 *           then carries this fence. For what is read, changed and written back under a generation.
 */
export type When =
  | { readonly absent: true }
  | { readonly version: number }
  | { readonly fence: number }
  | { readonly version: number; readonly fence: number };
export type Stored<T> =
  | { readonly kind: 'stored'; readonly version: number }
  | { readonly kind: 'conflict'; readonly current: Row<T> | undefined };

/** Values are JSON with, at the top level only, Uint8Array fields. */
export interface Table {
  /** D1 Strongly consistent. */
  get<T>(partition: string, key: string): Promise<Row<T> | undefined>;
  /** D2 Of many concurrent writes with the same condition exactly one is stored. D3 A value over 400 KB is refused with a clear error. D4 A smaller fence never replaces a greater one. */
  put<T>(partition: string, key: string, value: T, when: When): Promise<Stored<T>>;
  /** D5 Conditional on the version; deleting what is not there is not an error. */
  delete(partition: string, key: string, version: number): Promise<'deleted' | 'conflict'>;
  /** D6 All rows whose key starts with the prefix, sorted by key, complete after a put. */
  query<T>(partition: string, prefix: string): Promise<readonly Row<T>[]>;
}

export interface LaunchRequest {
  readonly runId: string;
  readonly role: Role;
  /** 1 to 10, as RunTask allows. */
  readonly count: number;
  /** The same token with the same request never starts a second set of tasks. */
  readonly clientToken: string;
  readonly kind: LaunchKind;
  readonly cpu: number;
  readonly memoryMiB: number;
}

export interface LaunchOutcome {
  readonly started: readonly string[];
  /** Reasons, in ECS words (`RESOURCE:MEMORY`, `Capacity is unavailable at this time. ...`), one for each task not started. */
  readonly failures: readonly string[];
}

export interface ObservedTask {
  readonly taskId: string;
  readonly runId: string;
  readonly role: Role;
  readonly state: 'starting' | 'running' | 'stopping' | 'stopped';
  readonly stop?: { readonly code: string; readonly exitCode?: number; readonly reason: string };
}

export interface TaskRunner {
  /** K1 Idempotent by clientToken. K2 Partial success is told in `failures`, not thrown. K3 Throws only what a retry may cure. */
  launch(request: LaunchRequest): Promise<LaunchOutcome>;
  /** K4 SIGTERM, then SIGKILL after the stop timeout. Stopping what has stopped, or is not there, is not an error. */
  stop(taskId: string, reason: string): Promise<void>;
  /** K5 All tasks of the run that the world still knows; only ours, whatever else runs there. */
  list(runId: string): Promise<readonly ObservedTask[]>;
  /** K6 All tasks of ours that have not stopped, of whatever run; only ours, whatever else runs there. */
  listLive(): Promise<readonly ObservedTask[]>;
}

/** Instances for launch kinds ec2 and ec2-spot: the floor of the Auto Scaling group follows what live claims need. */
export interface Scaling {
  /** N1 Sets the group's minimum; answers how many instances are in service now. Never lowers desired capacity. */
  setFloor(kind: LaunchKind, instances: number): Promise<{ readonly inService: number; readonly max: number }>;
  describe(kind: LaunchKind): Promise<{ readonly inService: number; readonly floor: number; readonly max: number }>;
}

export interface ExecutionState {
  readonly status: string;
  readonly error?: string;
  readonly cause?: string;
}

export interface Workflow {
  /** W1 The same name starts once: `exists` for any later call. */
  start(name: string, input: unknown): Promise<{ readonly kind: 'started' | 'exists'; readonly executionArn: string }>;
  stop(executionArn: string, cause: string): Promise<void>;
  /** W3 Undefined when it is not known. */
  describe(executionArn: string): Promise<ExecutionState | undefined>;
  /** W2 `gone` when the token is unknown, answered or timed out; callers take that as "superseded". */
  succeedTask(token: string, output: unknown): Promise<'accepted' | 'gone'>;
  heartbeatTask(token: string): Promise<'accepted' | 'gone'>;
}

/** Read-only access to training data. On AWS `s3://` of an allowed bucket; embedded also a folder. */
export interface Datasets {
  /** The whole file, or undefined when there is none. `range` reads bytes [from, to), cut at the end of the file (possibly to nothing). Throws DataInvalid for a URI that is not allowed. */
  read(uri: string, range?: { readonly from: number; readonly to: number }): Promise<Uint8Array | undefined>;
  /** Names of the files directly under a folder or prefix; undefined when there is no such folder. */
  list(uri: string): Promise<readonly string[] | undefined>;
  /** Where inflated files are kept for the next task; absent where every task has a machine of its own. */
  readonly inflated?: InflatedFiles;
}

/** Losing any of it costs time only: neither of the two ever fails. */
export interface InflatedFiles {
  /** What is kept under the name; what is not sound is removed instead. */
  get(name: string, isSound: (content: Uint8Array) => boolean): Promise<Uint8Array | undefined>;
  put(name: string, content: Uint8Array): Promise<void>;
}

export interface Clock {
  /** Wall clock, for records only. */
  now(): number;
  /** Monotonic milliseconds, for durations and deadlines. */
  monotonic(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Ids {
  /** `bytes` random bytes as lower-case hex. */
  hex(bytes: number): string;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export interface Log {
  /** One structured line. `event` is a name from core/events.ts. */
  write(level: LogLevel, event: EventName, detail?: Readonly<Record<string, unknown>>): void;
}

/** Notices for people and other systems: EventBridge `cuttlefish.run.*`. Best effort. */
export interface Notices {
  publish(detailType: string, detail: Readonly<Record<string, unknown>>): Promise<void>;
}

/** Numbers for dashboards and alarms, by the names of core/metric-names.ts. `about` can be searched for, not summed by. */
export interface Metrics {
  put(values: MetricValues, about: Readonly<Record<string, unknown>>): void;
}

export interface Cloud {
  /** Which launch kinds and data URIs make sense here: the laptop has no Fargate, AWS has no folders. */
  readonly kind: 'embedded' | 'aws';
  readonly quotas: Quotas;
  readonly objects: ObjectStore;
  readonly table: Table;
  readonly tasks: TaskRunner;
  readonly scaling: Scaling;
  readonly workflow: Workflow;
  readonly datasets: Datasets;
  readonly notices: Notices;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
}
