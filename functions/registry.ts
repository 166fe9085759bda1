/**
 * All functions by the name of their file, for worlds that call them in one process. On AWS each is a Lambda of its own
 * (functions/handlers.ts), behind the same boundary.
 */
import { atBoundary, type CloudFunction } from './boundary.ts';
import { control } from './control.ts';
import { decide } from './decide.ts';
import { fail } from './fail.ts';
import { finish } from './finish.ts';
import { launch } from './launch.ts';
import { onExecutionEvent } from './on-execution-event.ts';
import { onTaskEvent } from './on-task-event.ts';
import { plan } from './plan.ts';
import { release } from './release.ts';
import { scale } from './scale.ts';
import { start } from './start.ts';
import { sweep } from './sweep.ts';
import { validate } from './validate.ts';
import { watch } from './watch.ts';

export const functionNames = [
  'validate',
  'plan',
  'scale',
  'launch',
  'watch',
  'decide',
  'finish',
  'fail',
  'release',
  'start',
  'on-task-event',
  'on-execution-event',
  'sweep',
  'control',
] as const;
export type FunctionName = (typeof functionNames)[number];

/** The state machine passes what core/workflow.ts says; events are checked by the functions that read them. */
const bare = <I, O>(run: (input: I, cloud: Parameters<CloudFunction>[1]) => Promise<O>): CloudFunction => {
  return (input, cloud) => atBoundary((given, world) => run(given as I, world), input, cloud);
};

export const functions: Readonly<Record<FunctionName, CloudFunction>> = {
  validate: bare(validate),
  plan: bare(plan),
  scale: bare(scale),
  launch: bare(launch),
  watch: bare(watch),
  decide: bare(decide),
  finish: bare(finish),
  fail: bare(fail),
  release: bare(release),
  start: bare(start),
  'on-task-event': bare(onTaskEvent),
  'on-execution-event': bare(onExecutionEvent),
  sweep: bare(sweep),
  control: bare(control),
};
