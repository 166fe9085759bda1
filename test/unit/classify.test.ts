import { describe, expect, test } from 'vitest';
import {
  classifyStart,
  classifyStop,
  failureOfStop,
  type Stop,
  type StopClass,
  spends,
  stopReasons,
} from '../../core/classify.ts';

const exited = 'Essential container in task exited';
const stop = (code: string, reason: string, exitCode?: number): Stop => ({
  code,
  reason,
  ...(exitCode === undefined ? {} : { exitCode }),
});

const table: readonly [what: string, stop: Stop, kind: StopClass, budget: 'recoveries' | 'launches'][] = [
  ['finished, drained or fenced', stop('EssentialContainerExited', exited, 0), 'left', 'launches'],
  ['its config or data is wrong', stop('EssentialContainerExited', exited, 64), 'permanent', 'recoveries'],
  ['temporary', stop('EssentialContainerExited', exited, 75), 'crashed', 'recoveries'],
  ['unexpected', stop('EssentialContainerExited', exited, 70), 'crashed', 'recoveries'],
  ['SIGKILL', stop('EssentialContainerExited', exited, 137), 'crashed', 'recoveries'],
  [
    'memory',
    stop('EssentialContainerExited', `${exited}; OutOfMemoryError: container killed`, 137),
    'out-of-memory',
    'recoveries',
  ],
  ['SIGTERM', stop('EssentialContainerExited', exited, 143), 'interrupted', 'launches'],
  ['segmentation fault', stop('EssentialContainerExited', exited, 139), 'crashed', 'recoveries'],
  ['Spot', stop('SpotInterruption', 'Your Spot Task was interrupted.', 143), 'interrupted', 'launches'],
  ['Spot, killed', stop('SpotInterruption', 'Your Spot Task was interrupted.', 137), 'interrupted', 'launches'],
  ['retirement', stop('TerminationNotice', 'retired'), 'interrupted', 'launches'],
  ['broken host', stop('InfrastructureHealth', 'host failed'), 'interrupted', 'launches'],
  ['no capacity', stop('TaskFailedToStart', 'Capacity is unavailable at this time.'), 'no-capacity', 'launches'],
  ['no memory on instances', stop('TaskFailedToStart', 'RESOURCE:MEMORY'), 'no-capacity', 'launches'],
  [
    'network interface',
    stop('TaskFailedToStart', 'Timeout waiting for network interface provisioning to complete.'),
    'no-address',
    'launches',
  ],
  ['pull timed out', stop('TaskFailedToStart', 'CannotPullContainerError: i/o timeout'), 'not-started', 'launches'],
  [
    'no such image',
    stop('TaskFailedToStart', 'CannotPullContainerError: image x not found'),
    'bad-deployment',
    'recoveries',
  ],
  ['stopped by hand', stop('UserInitiated', 'by hand in the console', 143), 'stopped', 'recoveries'],
  ['the laptop closes', stop('UserInitiated', 'The host is closing.', 0), 'interrupted', 'launches'],
  ['we: the run has ended', stop('UserInitiated', stopReasons.ended, 137), 'ours', 'launches'],
  ['we: it left its gang', stop('UserInitiated', stopReasons.dropped, 0), 'ours', 'launches'],
  ['we: it was silent', stop('UserInitiated', stopReasons.silent, 0), 'silent', 'recoveries'],
  ['we: it did not start', stop('UserInitiated', stopReasons.late), 'not-started', 'launches'],
  ['a code that is new', stop('SomethingNew', 'who knows'), 'crashed', 'recoveries'],
  ['a code that is new, with a good end', stop('SomethingNew', 'who knows', 0), 'left', 'launches'],
];

describe('classifyStop', () => {
  test.each(table)('%s', (_what, given, kind, budget) => {
    expect(classifyStop(given)).toBe(kind);
    expect(spends(given)).toBe(budget);
  });
});

describe('failureOfStop', () => {
  test('is undefined exactly for good ends and our own', () => {
    for (const [, given, kind] of table) {
      expect(failureOfStop(given, 'worker/1') === undefined, kind).toBe(kind === 'left' || kind === 'ours');
    }
  });

  test('names the task, the exit code, the signal and what to do', () => {
    expect(failureOfStop(stop('EssentialContainerExited', exited, 137), 'worker/1')).toEqual({
      kind: 'TaskLost',
      task: 'worker/1',
      reason: 'crashed',
      detail: `exit code 137 (SIGKILL), ${exited}`,
    });
    const starved = failureOfStop(stop('EssentialContainerExited', 'OutOfMemory', 137), 'worker/0');
    expect(starved).toMatchObject({
      reason: 'out-of-memory',
      detail: expect.stringContaining('cluster.worker.memoryMiB'),
    });
  });

  test('a task without an exit code tells its stop code', () => {
    expect(failureOfStop(stop('InfrastructureHealth', 'host failed'), 'worker/1')).toMatchObject({
      reason: 'preempted',
      detail: 'InfrastructureHealth, host failed',
    });
  });
});

test('a refusal of RunTask for want of rights is told from one for want of machines', () => {
  expect(classifyStart('AccessDeniedException: not allowed to RunTask')).toBe('bad-deployment');
  expect(classifyStart('Capacity is unavailable at this time.')).toBe('no-capacity');
  expect(classifyStart('RESOURCE:CPU')).toBe('no-capacity');
});
