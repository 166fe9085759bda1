/**
 * The catalogue of log events: every line that the functions and the tasks write to their log or to events.jsonl has one
 * of these names. The word before the dot is who it is about; a test of a rare path asserts that its event occurred.
 */
export const eventNames = [
  // run
  'run.submitted',
  'run.duplicate',
  'run.validated',
  'run.rejected',
  'run.planned',
  'run.decided',
  'run.finished',
  'run.failed',
  'run.cancelled',
  'run.resumed',
  'run.scaled',
  'run.released',
  // executions of the state machine, told by the embedded world
  'workflow.resumed',
  'workflow.retried',
  'workflow.caught',
  'workflow.ended',
  'workflow.broken',
  // capacity and tasks, seen from the control plane
  'capacity.claimed',
  'capacity.released',
  'launch.intended',
  'launch.done',
  'launch.short',
  'task.stopped',
  'task.lost',
  'task.faltered',
  'task.orphaned',
  'event.dropped',
  'notice.lost',
  // members, seen from the data plane
  'member.up',
  'member.joined',
  'member.lost',
  'member.silent',
  'member.left',
  'member.fenced',
  'member.refused',
  'member.caught-up',
  'lease.taken',
  'lease.lost',
  'generation.formed',
  'frame.refused',
  // training
  'training.started',
  'training.restored',
  'step.applied',
  'epoch.ended',
  'training.ended',
  'checkpoint.saved',
  'checkpoint.failed',
  'checkpoint.damaged',
  'checkpoint.deleted',
  'chaos.injected',
] as const;

export type EventName = (typeof eventNames)[number];
