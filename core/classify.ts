/**
 * What a stopped task means. ECS tells a stop code, a reason in prose and perhaps an exit code; this file turns them
 * into one word, and the word into a failure that a person can act on. The laptop tells the same things.
 *
 * Invariants
 *  C1  The class is a pure function of what was recorded of the stop, so it can be asked again at any time.
 *  C2  The stop code is looked at before the exit code: a task that never started has no container to have one.
 *  C3  What is not known is `crashed`, with its whole text: bounded retries, never an endless loop or a silent success.
 */
import type { Failure } from './failure.ts';
import type { TaskRow } from './run.ts';

export type Stop = NonNullable<TaskRow['stop']>;

export type StopClass =
  /** Exit code 0: finished, drained or fenced. */
  | 'left'
  /** We stopped it: the run ended, or the task had left its gang. */
  | 'ours'
  /** We stopped it because it said nothing any more. */
  | 'silent'
  /** Capacity was taken away: Spot, retirement, SIGTERM. */
  | 'interrupted'
  | 'crashed'
  | 'out-of-memory'
  /** A person or another system stopped it. */
  | 'stopped'
  /** No machine for it. */
  | 'no-capacity'
  /** It did not get as far as running. */
  | 'not-started'
  /** The same again would end the same way. */
  | 'permanent';

/** Exit codes of the training task. */
export const exitCodes = { done: 0, permanent: 64, unexpected: 70, temporary: 75 } as const;

/** Reasons of our own stops; the prefix is what tells them from a stop by hand. */
export const stopReasons = {
  ended: 'cuttlefish: the run has ended',
  dropped: 'cuttlefish: it has left its gang',
  silent: 'cuttlefish: silent, no sign of progress for a whole heartbeat',
  surplus: 'cuttlefish: surplus, fewer workers are wanted',
  late: 'cuttlefish: late, not running within the start deadline',
} as const;
export const isOurs = (reason: string): boolean => reason.startsWith('cuttlefish:');

export function classifyStop(stop: Stop): StopClass {
  const { code, exitCode, reason } = stop;
  if (isOurs(reason)) {
    if (reason.startsWith('cuttlefish: silent')) return 'silent';
    return reason.startsWith('cuttlefish: late') ? 'not-started' : 'ours';
  }
  switch (code) {
    case 'SpotInterruption':
    case 'TerminationNotice':
    case 'InfrastructureHealth':
      return 'interrupted';
    case 'UserInitiated':
      // A laptop that shuts its tasks down in order, because its command ends.
      return /host is closing/i.test(reason) ? 'interrupted' : 'stopped';
    case 'TaskFailedToStart':
      return classifyStart(reason);
  }
  if (exitCode === exitCodes.done) return 'left';
  if (exitCode === exitCodes.permanent) return 'permanent';
  // 137 is SIGKILL, from the memory limit or from anyone else; only the reason tells which.
  if (/OutOfMemory|out of memory/i.test(reason)) return 'out-of-memory';
  if (exitCode === 143) return 'interrupted';
  return 'crashed';
}

function classifyStart(reason: string): StopClass {
  if (/CannotPull/i.test(reason) && /not found|does not exist|manifest unknown|denied/i.test(reason))
    return 'permanent';
  if (/capacity|RESOURCE:|insufficient/i.test(reason)) return 'no-capacity';
  return 'not-started';
}

/** A reason of RunTask that no machine, however many, would cure: permissions, names, parameters. */
export function isPermanentRefusal(reason: string): boolean {
  return /^(AccessDenied|ClientException|ClusterNotFound|InvalidParameter|PlatformUnknown|UnsupportedFeature)/.test(
    reason,
  );
}

/** Which budget a loss is paid from. Interruptions are nobody's fault: only the launches bound them. */
export function spends(stop: Stop): 'recoveries' | 'launches' {
  switch (classifyStop(stop)) {
    case 'silent':
    case 'crashed':
    case 'out-of-memory':
    case 'stopped':
    case 'permanent':
      return 'recoveries';
    case 'left':
    case 'ours':
    case 'interrupted':
    case 'no-capacity':
    case 'not-started':
      return 'launches';
  }
}

/** The failure of one stopped task; undefined when it ended well or at our wish. */
export function failureOfStop(stop: Stop, task: string): Failure | undefined {
  const kind = classifyStop(stop);
  switch (kind) {
    case 'left':
    case 'ours':
      return undefined;
    case 'no-capacity':
      return { kind: 'CapacityUnavailable', wanted: 1, granted: 0, reason: stop.reason };
    case 'not-started':
      return { kind: 'LaunchFailed', task, reason: stop.reason };
    case 'interrupted':
      return { kind: 'TaskLost', task, reason: 'preempted', detail: inWords(stop) };
    case 'permanent':
      return stop.code === 'TaskFailedToStart'
        ? {
            kind: 'LaunchFailed',
            task,
            reason: `${stop.reason} (the image cannot be pulled: check its name and the rights of the execution role)`,
          }
        : {
            kind: 'TaskLost',
            task,
            reason: 'crashed',
            detail: `${inWords(stop)}: it cannot use its config or data, its log says why; starting it again would not help`,
          };
    case 'out-of-memory':
      return {
        kind: 'TaskLost',
        task,
        reason: 'out-of-memory',
        detail: `${inWords(stop)}: give its role more memory in cluster.resources, or use a smaller batch`,
      };
    case 'silent':
    case 'crashed':
    case 'stopped':
      return { kind: 'TaskLost', task, reason: kind, detail: inWords(stop) };
  }
}

const signals: Readonly<Record<number, string>> = {
  134: 'SIGABRT',
  137: 'SIGKILL',
  139: 'SIGSEGV',
  143: 'SIGTERM',
};

function inWords({ code, exitCode, reason }: Stop): string {
  if (exitCode === undefined) return `${code}, ${reason}`;
  const signal = signals[exitCode];
  return `exit code ${exitCode}${signal === undefined ? '' : ` (${signal})`}, ${reason}`;
}
