/**
 * What a stopped or refused task means. ECS tells a stop code, a reason in prose and perhaps an exit code; this file turns
 * them into one word, and the word into a failure that a person can act on. The laptop tells the same things.
 *
 * Invariants
 *  C1  The class is a pure function of what was recorded, so it can be asked again at any time.
 *  C2  The stop code is looked at before the exit code: a task that never started has no container to have one.
 *  C3  What is not known is `crashed`, with its whole text: bounded retries, never an endless loop or a silent success.
 *  C4  Every class has one row in `stopTable`, from which docs/failures.md is made.
 */
import type { Advice, Failure } from './failure.ts';
import type { TaskRow } from './run.ts';

export type Stop = NonNullable<TaskRow['stop']>;

/** Why a task did not come to run, told by RunTask or by a stop code. */
export type StartClass = 'no-capacity' | 'no-address' | 'account-quota' | 'bad-deployment' | 'not-started';
export type StopClass =
  | StartClass
  | 'left'
  | 'ours'
  | 'silent'
  | 'interrupted'
  | 'crashed'
  | 'out-of-memory'
  | 'stopped'
  | 'permanent';

interface StopAdvice extends Advice {
  /** When it is so. */
  readonly when: string;
  /** Which budget pays. What is nobody's fault, or never ran, is bounded by the launches alone. */
  readonly spends: 'recoveries' | 'launches';
}

const again = 'replace it at once';

export const stopTable: { readonly [C in StopClass]: StopAdvice } = {
  left: {
    when: 'exit code 0: it finished, was drained, or another task has its place',
    fault: 'nobody',
    spends: 'launches',
    weDo: 'replace it while training goes on',
    youDo: 'nothing',
  },
  ours: {
    when: 'we stopped it: the run has ended, fewer workers are wanted, or it had left its gang',
    fault: 'nobody',
    spends: 'launches',
    weDo: 'nothing more',
    youDo: 'nothing',
  },
  silent: {
    when: 'we stopped it because nobody said anything for a whole heartbeat',
    fault: 'infrastructure',
    spends: 'recoveries',
    weDo: again,
    youDo: 'nothing once; when it repeats, see whether its CPU is starved or its network closed',
  },
  interrupted: {
    when: 'its capacity was taken away: Spot, scale-in, a host that failed or was retired, SIGTERM (143)',
    fault: 'capacity',
    spends: 'launches',
    weDo: again,
    youDo: 'nothing; on-demand capacity is interrupted less',
  },
  crashed: {
    when: 'it ended with an exit code, a signal or a stop code that says nothing better',
    fault: 'infrastructure',
    spends: 'recoveries',
    weDo: 'replace it, with growing pauses when it dies young',
    youDo: 'look at the end of its log: `cuttlefish logs <run>`, or its log group',
  },
  'out-of-memory': {
    when: 'killed by its memory limit (137 with OutOfMemory)',
    fault: 'user',
    spends: 'recoveries',
    weDo: 'start its replacement with twice the memory, twice; then end the run',
    youDo: 'set `cluster.worker.memoryMiB` (or `parameterServer`) to the size that worked, or use a smaller batch',
  },
  stopped: {
    when: 'a person or another system stopped it',
    fault: 'user',
    spends: 'recoveries',
    weDo: again,
    youDo: 'to end a run use `cancel`; to have fewer workers use `scale`',
  },
  'no-capacity': {
    when: 'there is no machine for it',
    fault: 'capacity',
    spends: 'launches',
    weDo: 'ask on the next rung (Spot, then on-demand), then again with growing pauses until the deadline',
    youDo: 'try later, allow `fallback: on-demand`, or use another Region or size',
  },
  'no-address': {
    when: 'its network interface or address could not be had',
    fault: 'deployment',
    spends: 'launches',
    weDo: 'ask again with growing pauses until the deadline',
    youDo: 'give the stack larger or more subnets, or instances with more network interfaces (awsvpcTrunking)',
  },
  'account-quota': {
    when: 'the account may not run that many tasks or vCPUs at once',
    fault: 'user',
    spends: 'launches',
    weDo: 'ask again with growing pauses until the deadline: other tasks may end',
    youDo: 'raise the quota of the account (Fargate vCPU: L-3032A538, Spot: L-36FBB829), or use fewer or smaller tasks',
  },
  'bad-deployment': {
    when: 'the image, role, secret, log group or cluster that the stack names cannot be used',
    fault: 'deployment',
    spends: 'recoveries',
    weDo: 'end the run: no other machine would do better',
    youDo: 'push the image, or correct what the reason names, deploy again, and `resume`',
  },
  'not-started': {
    when: 'it did not get as far as running: a pull that timed out, no start within the deadline',
    fault: 'infrastructure',
    spends: 'launches',
    weDo: 'ask again, on the next rung of the ladder',
    youDo: 'when it repeats, see whether the subnets reach ECR, S3 and CloudWatch Logs',
  },
  permanent: {
    when: 'exit code 64: it cannot use its config or data',
    fault: 'user',
    spends: 'recoveries',
    weDo: 'end the run: the same again would end the same way',
    youDo: 'correct the config or the data; the log of the task says what is wrong',
  },
};

/** Exit codes of the training task. */
export const exitCodes = { done: 0, permanent: 64, unexpected: 70, temporary: 75 } as const;

/** Reasons of our own stops; the prefix is what tells them from a stop by hand. */
export const stopReasons = {
  ended: 'cuttlefish: the run has ended',
  dropped: 'cuttlefish: it has left its gang',
  silent: 'cuttlefish: silent, no sign of progress for a whole heartbeat',
  surplus: 'cuttlefish: surplus, fewer workers are wanted',
  late: 'cuttlefish: late, not running within the start deadline',
  orphaned: 'cuttlefish: orphaned, its run is over',
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
      // A laptop that shuts its tasks down in order, because its command ends; an instance that is drained away.
      return /host is closing|deregistration|scale-in|draining/i.test(reason) ? 'interrupted' : 'stopped';
    case 'TaskFailedToStart':
      return classifyStart(reason);
  }
  if (exitCode === exitCodes.done) return 'left';
  if (exitCode === exitCodes.permanent) return 'permanent';
  // 137 is SIGKILL, from the memory limit or from anyone else; only the reason tells which.
  if (/OutOfMemory|out of memory/i.test(reason)) return 'out-of-memory';
  // An instance that goes takes its tasks along under changing codes.
  if (exitCode === 143 || /\bHost (EC2|Fargate)\b.*(terminat|stopp|retir)/i.test(reason)) return 'interrupted';
  return 'crashed';
}

/** In this order: a pull that failed for want of memory is told as such, and a quota is not taken for want of machines. */
const startPatterns: readonly (readonly [RegExp, StartClass])[] = [
  [/OutOfMemory|no space left on device/i, 'not-started'],
  [/reached the limit on the number of|limit on (the number of )?vCPUs|LimitExceeded/i, 'account-quota'],
  [/RESOURCE:ENI|free (IP )?address|InsufficientFreeAddresses|network interface|AttachmentLimit/i, 'no-address'],
  [/capacity is unavailable|insufficient|RESOURCE:|no container instances|\bAGENT\b|\bATTRIBUTE\b/i, 'no-capacity'],
  [
    /timed? ?out|timeout|deadline exceeded|connection (refused|reset)|no such host|unexpected EOF|rate|throttl/i,
    'not-started',
  ],
  [
    /not found|does not exist|manifest unknown|denied|not authori[sz]ed|unauthori[sz]ed|not been configured/i,
    'bad-deployment',
  ],
  [/platform .*(match|mismatch)|exec format|no matching manifest|image Manifest does not contain/i, 'bad-deployment'],
  [
    /^(AccessDenied|Blocked|ClientException|ClusterNotFound|InvalidParameter|PlatformUnknown|PlatformTaskDefinition|UnsupportedFeature|UnrecognizedClient|ResourceNotFound)/,
    'bad-deployment',
  ],
];

/** What RunTask or ECS says of a task that did not come to run. */
export function classifyStart(reason: string): StartClass {
  return startPatterns.find(([pattern]) => pattern.test(reason))?.[1] ?? 'not-started';
}

/** Which budget a loss is paid from. */
export function spends(stop: Stop): 'recoveries' | 'launches' {
  return stopTable[classifyStop(stop)].spends;
}

/** The same again would end the same way. */
export function isHopeless(kind: StopClass): boolean {
  return kind === 'permanent' || kind === 'bad-deployment';
}

/** The failure of one stopped task; undefined when it ended well or at our wish. */
export function failureOfStop(stop: Stop, task: string): Failure | undefined {
  const kind = classifyStop(stop);
  switch (kind) {
    case 'left':
    case 'ours':
      return undefined;
    case 'no-capacity':
    case 'account-quota':
      return { kind: 'CapacityUnavailable', wanted: 1, granted: 0, reason: advised(stop.reason, kind) };
    case 'no-address':
    case 'bad-deployment':
    case 'not-started':
      return { kind: 'LaunchFailed', task, reason: advised(stop.reason, kind) };
    case 'interrupted':
      return { kind: 'TaskLost', task, reason: 'preempted', detail: inWords(stop) };
    case 'permanent':
      return { kind: 'TaskLost', task, reason: 'crashed', detail: advised(inWords(stop), kind) };
    case 'out-of-memory':
      return { kind: 'TaskLost', task, reason: kind, detail: advised(inWords(stop), kind) };
    case 'silent':
    case 'crashed':
    case 'stopped':
      return { kind: 'TaskLost', task, reason: kind, detail: inWords(stop) };
  }
}

/** The words of ECS, and what a person should do where they alone do not say it. */
export function advised(reason: string, kind: StopClass): string {
  return `${reason} (${stopTable[kind].youDo})`;
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
