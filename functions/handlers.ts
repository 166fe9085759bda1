/**
 * The functions on AWS: the only place here that chooses a world. One export per Lambda; each bundle carries only what
 * its own function imports, because the calls below are marked as free of effects.
 */
import { createAwsCloud } from '../cloud/aws/world.ts';
import type { Cloud } from '../cloud/ports.ts';
import { atBoundary } from './boundary.ts';
import { control as controlFunction } from './control.ts';
import { decide as decideFunction } from './decide.ts';
import { fail as failFunction } from './fail.ts';
import { finish as finishFunction } from './finish.ts';
import { launch as launchFunction } from './launch.ts';
import { onExecutionEvent as onExecutionEventFunction } from './on-execution-event.ts';
import { onTaskEvent as onTaskEventFunction } from './on-task-event.ts';
import { plan as planFunction } from './plan.ts';
import { release as releaseFunction } from './release.ts';
import { scale as scaleFunction } from './scale.ts';
import { start as startFunction } from './start.ts';
import { sweep as sweepFunction } from './sweep.ts';
import { validate as validateFunction } from './validate.ts';
import { watch as watchFunction } from './watch.ts';

// Made at the first event, not at load: a wrong environment then fails that call, with its message.
let world: Cloud | undefined;

function handler<I, O>(run: (input: I, cloud: Cloud) => Promise<O>): (event: unknown) => Promise<unknown> {
  return (event) => {
    world ??= createAwsCloud(process.env);
    return atBoundary((input, cloud) => run(input as I, cloud), event, world);
  };
}

export const validate = /* @__PURE__ */ handler(validateFunction);
export const plan = /* @__PURE__ */ handler(planFunction);
export const scale = /* @__PURE__ */ handler(scaleFunction);
export const launch = /* @__PURE__ */ handler(launchFunction);
export const watch = /* @__PURE__ */ handler(watchFunction);
export const decide = /* @__PURE__ */ handler(decideFunction);
export const finish = /* @__PURE__ */ handler(finishFunction);
export const fail = /* @__PURE__ */ handler(failFunction);
export const release = /* @__PURE__ */ handler(releaseFunction);
export const start = /* @__PURE__ */ handler(startFunction);
export const onTaskEvent = /* @__PURE__ */ handler(onTaskEventFunction);
export const onExecutionEvent = /* @__PURE__ */ handler(onExecutionEventFunction);
export const sweep = /* @__PURE__ */ handler(sweepFunction);
export const control = /* @__PURE__ */ handler(controlFunction);
