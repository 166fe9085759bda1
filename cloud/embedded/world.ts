/**
 * The embedded world: every port on one machine, in one state folder that several processes share. The host of a run,
 * its tasks and commands such as `status` all open it; only a host starts tasks, and puts the interpreter of the state
 * machine in the place of `workflow`, which elsewhere only answers task tokens.
 */

import type { LaunchKind } from '../../core/plan.ts';
import { noQuotas } from '../../core/quotas.ts';
import type { Cloud, Log } from '../ports.ts';
import { systemClock } from '../system-clock.ts';
import type { Capacity } from './capacity.ts';
import { createDatasets } from './datasets.ts';
import { type Bus, createBus } from './events.ts';
import { randomIds } from './ids.ts';
import { createInflatedFiles } from './inflated.ts';
import { createLock, type Lock } from './lock.ts';
import { createNotices } from './notices.ts';
import { createObjects } from './objects.ts';
import { createScaling } from './scaling.ts';
import { openStateFolder, type StateFolder } from './state-folder.ts';
import { createTable } from './table.ts';
import { createTasks, type EmbeddedTasks } from './tasks.ts';
import { createTokenWorkflow } from './tokens.ts';

export interface WorldOptions {
  readonly stateDir: string;
  readonly log: Log;
  /** The script that tasks run; without it every launch is refused. */
  readonly taskEntry?: string;
  readonly nodeArgs?: readonly string[];
  readonly capacity?: Capacity & { readonly instances?: Readonly<Partial<Record<LaunchKind, number>>> };
  /** What relative data paths are relative to; the working folder of the process when absent. */
  readonly baseFolder?: string;
  /** Added to the environment of every task. */
  readonly env?: Readonly<Record<string, string>>;
  readonly stopTimeoutMs?: number;
}

export interface EmbeddedWorld extends Cloud {
  readonly kind: 'embedded';
  readonly stateDir: string;
  readonly state: StateFolder;
  readonly bus: Bus;
  readonly runner: EmbeddedTasks;
  readonly lock: Lock;
}

export async function openWorld(options: WorldOptions): Promise<EmbeddedWorld> {
  const { log, capacity } = options;
  const state = openStateFolder(options.stateDir);
  const clock = systemClock;
  const ids = randomIds;
  const table = createTable({ folder: state.table, temp: state.tmp, ids });
  const bus = createBus({
    clock,
    ids,
    onDropped: (event, error) =>
      log.write('error', 'event.dropped', {
        type: event['detail-type'],
        detail: event.detail,
        reason: error instanceof Error ? error.message : String(error),
      }),
  });
  const runner = createTasks({
    state,
    bus,
    clock,
    ids,
    ...(options.taskEntry === undefined
      ? { taskEntry: '', capacity: { maxTasks: 0 } }
      : { taskEntry: options.taskEntry, ...(capacity === undefined ? {} : { capacity }) }),
    ...(options.nodeArgs === undefined ? {} : { nodeArgs: options.nodeArgs }),
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.stopTimeoutMs === undefined ? {} : { stopTimeoutMs: options.stopTimeoutMs }),
  });
  return {
    kind: 'embedded',
    quotas: noQuotas,
    stateDir: state.root,
    state,
    bus,
    runner,
    lock: createLock({ table, clock }),
    objects: createObjects({ folder: state.bucket, temp: state.tmp }),
    table,
    tasks: runner,
    scaling: createScaling({ table, ...(capacity?.instances === undefined ? {} : { instances: capacity.instances }) }),
    workflow: createTokenWorkflow(state.root, clock),
    datasets: createDatasets({
      bucketFolder: state.bucket,
      inflated: createInflatedFiles({ folder: state.inflated, temp: state.tmp }),
      ...(options.baseFolder === undefined ? {} : { baseFolder: options.baseFolder }),
    }),
    notices: createNotices(bus),
    // Whoever looks at a laptop looks at `status`.
    metrics: { put: () => undefined },
    clock,
    ids,
    log,
  };
}
