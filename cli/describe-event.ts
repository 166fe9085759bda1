/**
 * An event row in words for the progress view and for `status`. Events that only matter to someone who debugs are left
 * out here (`undefined`); they are all in events.jsonl.
 */
import type { EventName } from '../core/events.ts';
import { describeFailure, type Failure } from '../core/failure.ts';
import type { EventRow } from '../core/run.ts';

type Describe = (event: EventRow) => string | undefined;

/** The events that people see. */
const words: { readonly [K in EventName]?: Describe } = {
  'run.rejected': (event) => because('refused', event),
  'run.decided': (event) =>
    text(event, 'action') === 'continue' ? undefined : because(`decided to ${text(event, 'action') ?? 'act'}`, event),
  'run.failed': (event) => because('the run failed', event),
  'run.cancelled': (event) => because('cancelled', event),
  'run.scaled': (event) => because('scaled', event),
  'run.resumed': (event) => because('resumed', event),
  'capacity.claimed': (event) => because('capacity claimed', event),
  'launch.short': (event) => because('not all tasks could be started', event),
  'task.lost': (event) => because(`${who(event)} was lost`, event),
  'task.orphaned': (event) => because(`stopped a task that belonged to nobody`, event),
  'member.joined': (event) => because(`${who(event)} joined`, event),
  'member.lost': (event) => because(`${who(event)} was lost`, event),
  'member.silent': (event) => because(`${who(event)} went silent`, event),
  'member.left': (event) => because(`${who(event)} left`, event),
  'member.fenced': (event) => because(`${who(event)} was fenced`, event),
  'member.refused': (event) => because(`${who(event)} was refused`, event),
  'member.caught-up': (event) => `${who(event)} caught up`,
  'lease.taken': (event) => `${who(event)} leads`,
  'lease.lost': (event) => because(`${who(event)} lost the lead`, event),
  'generation.formed': (event) => because(`generation ${event.generation ?? '?'}${step(event, ' from')}`, event),
  'training.started': (event) => `training started${step(event)}`,
  'training.restored': (event) => `restored the checkpoint${step(event, ' of')}`,
  'training.ended': (event) => because(`training ended${step(event)}`, event),
  'checkpoint.saved': (event) => `checkpoint${step(event)}${passedOver(event)}`,
  'checkpoint.failed': (event) => because('a checkpoint could not be saved', event),
  'checkpoint.damaged': (event) => because('a checkpoint is damaged', event),
  'chaos.injected': (event) => `chaos: ${text(event, 'action') ?? 'something'} ${event.by}${step(event)}`,
};

export function describeEvent(event: EventRow): string | undefined {
  const describe: Describe | undefined = Object.hasOwn(words, event.event)
    ? words[event.event as EventName]
    : undefined;
  return describe?.(event);
}

/** The slot it is about when the event names one, else who wrote it. */
function who(event: EventRow): string {
  return text(event, 'slot') ?? text(event, 'task') ?? text(event, 'member') ?? event.by;
}

function text(event: EventRow, field: string): string | undefined {
  const value = event[field];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function because(what: string, event: EventRow): string {
  const failure = event.failure as Failure | undefined;
  const why =
    event.why ??
    text(event, 'reason') ??
    text(event, 'message') ??
    (failure === undefined ? undefined : describeFailure(failure));
  // "worker/1 was lost: lost" says nothing more, "worker/1 was lost: worker/1 was lost (crashed): ..." says it twice.
  if (why === undefined || why === '' || what.endsWith(` ${why}`)) return what;
  return why.startsWith(what) ? why : `${what}: ${why}`;
}

/** The steps that had no checkpoint of their own, because the one before was still being written. */
function passedOver(event: EventRow): string {
  return typeof event.passedOver === 'number' ? `, ${event.passedOver} passed over before it` : '';
}

function step(event: EventRow, preposition = ' at'): string {
  return event.step === undefined ? '' : `${preposition} step ${event.step}`;
}
