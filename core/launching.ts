/**
 * What is missing of a run, on which rung of the ladder to ask for it, and how long to wait before asking. Pure: the
 * launch function and core/decide.ts must agree on it, so both ask here.
 *
 * Invariants
 *  A1  Tasks that run or start count as there; what is stopping does not, so its replacement need not wait for it.
 *  A2  A round is short when RunTask refused part of it or when one of its tasks never came to run. Each short round in a
 *      row goes one rung down the ladder; a full round goes back to the first rung.
 *  A3  The pause grows with short rounds on the last rung, and with tasks that end at once, and is bounded.
 *  A4  Under `shrink` every task that went lowers what is wanted by one, down to the minimum; what never came to run, or
 *      was stopped because fewer were wanted, does not.
 */
import { classifyStop, type StopClass, stopReasons } from './classify.ts';
import { incidentsOf } from './incidents.ts';
import { type LaunchKind, type Role, type RolePlan, type RunPlan, roles } from './plan.ts';
import { type LaunchRow, parseSlot, type TaskRow } from './run.ts';

export const batchLimit = 10;
/** A task that ends sooner than this after it ran, and took part in no step, has come for nothing. */
const quickMs = 15_000;
const quickPauseLimitSeconds = 30;
const noFaultOfIts: ReadonlySet<StopClass> = new Set(['ours', 'interrupted']);
const shortClasses: ReadonlySet<StopClass> = new Set(['no-capacity', 'no-address', 'account-quota', 'not-started']);

export function isLive(task: TaskRow): boolean {
  return task.state === 'starting' || task.state === 'running';
}

export function liveOf(tasks: readonly TaskRow[], role: Role): number {
  return tasks.filter((task) => task.role === role && isLive(task)).length;
}

export function rolePlan(plan: RunPlan, role: Role): RolePlan {
  return role === 'worker' ? plan.cluster.worker : plan.cluster.parameterServer;
}

/** On EC2 every task has an instance to itself. */
export function instancesWanted({ cluster }: RunPlan): number {
  return cluster.worker.max + cluster.parameterServer.max;
}

export type Missing = { readonly [R in Role]: number };

/** How many of each role to start now. `plan` is what is wanted now, since `sinceMs` (core/wanted.ts). */
export function missingTasks(plan: RunPlan, tasks: readonly TaskRow[], sinceMs: number): Missing {
  const missing = (role: Role): number => {
    const { min, max, onLoss } = rolePlan(plan, role);
    const target = onLoss === 'shrink' ? Math.max(min, max - goneOf(tasks, role, sinceMs)) : max;
    return Math.max(0, target - liveOf(tasks, role));
  };
  return { worker: missing('worker'), 'parameter-server': missing('parameter-server') };
}

/** A4. */
function goneOf(tasks: readonly TaskRow[], role: Role, sinceMs: number): number {
  return tasks.filter(
    (task) =>
      task.role === role &&
      !isLive(task) &&
      task.startedAtMs !== undefined &&
      (task.stoppedAtMs ?? Number.MAX_SAFE_INTEGER) >= sinceMs &&
      task.stop?.reason !== stopReasons.surplus,
  ).length;
}

/** Workers beyond what is wanted: those that have not come up yet first, then the highest slots. */
export function surplusWorkers(plan: RunPlan, tasks: readonly TaskRow[]): readonly TaskRow[] {
  const live = tasks.filter((task) => task.role === 'worker' && isLive(task));
  const rank = ({ slot }: TaskRow): number => (slot === undefined ? Number.MAX_SAFE_INTEGER : parseSlot(slot).index);
  return live
    .sort((a, b) => rank(b) - rank(a) || b.launchedAtMs - a.launchedAtMs)
    .slice(0, Math.max(0, live.length - plan.cluster.worker.max));
}

export function total(missing: Missing): number {
  return roles.reduce((sum, role) => sum + missing[role], 0);
}

/** How many live tasks short of its minimum the run is, over all roles. */
export function belowMin(plan: RunPlan, tasks: readonly TaskRow[]): number {
  return roles.reduce((sum, role) => sum + Math.max(0, rolePlan(plan, role).min - liveOf(tasks, role)), 0);
}

export function batches(count: number): number[] {
  const sizes: number[] = [];
  for (let left = count; left > 0; left -= batchLimit) sizes.push(Math.min(left, batchLimit));
  return sizes;
}

export interface Rung {
  readonly kind: LaunchKind;
  /** No cheaper or dearer kind is left to try after this one. */
  readonly last: boolean;
  /** Short rounds in a row, and how many of them were on the last rung already. */
  readonly short: number;
  readonly shortOnLast: number;
}

/** Where the next round stands on the ladder, from the rounds of this attempt of the run. */
export function nextRung(
  ladder: readonly LaunchKind[],
  launches: readonly LaunchRow[],
  tasks: readonly TaskRow[],
): Rung {
  const rounds = [...new Set(launches.map((launch) => launch.round))].sort((a, b) => b - a);
  let short = 0;
  for (const round of rounds) {
    if (!isShort(round, launches, tasks)) break;
    short += 1;
  }
  const lastIndex = Math.max(0, ladder.length - 1);
  const index = Math.min(short, lastIndex);
  return {
    kind: ladder[index] ?? 'local',
    last: index === lastIndex,
    short,
    shortOnLast: Math.max(0, short - lastIndex),
  };
}

function isShort(round: number, launches: readonly LaunchRow[], tasks: readonly TaskRow[]): boolean {
  const batch = launches.filter((launch) => launch.round === round);
  if (batch.some((launch) => launch.failures.length > 0)) return true;
  const numbers = new Set(batch.map((launch) => launch.n));
  return tasks.some((task) => {
    if (!numbers.has(task.launch) || task.stop === undefined) return false;
    return shortClasses.has(classifyStop(task.stop));
  });
}

/** How long after a short round on the last rung the tasks that the run needs are asked for again. */
export function capacityPauseMs({ kind, shortOnLast }: Rung): number {
  const [base, limit] = kind === 'local' ? [1, 15] : kind.startsWith('ec2') ? [15, 120] : [5, 120];
  return shortOnLast === 0 ? 0 : 1000 * Math.min(limit, base * 2 ** (shortOnLast - 1));
}

/** The same for tasks that it would like to have. */
export function growPauseMs({ shortOnLast }: Rung): number {
  return Math.min(600_000, 30_000 * 2 ** Math.min(shortOnLast - 1, 5));
}

/**
 * The first incident of tasks that end at once is answered at once; each further one in a row doubles the pause. A task
 * whose machine was taken away says nothing about how the next one will do.
 */
export function quickPauseSeconds(tasks: readonly TaskRow[], timing: RunPlan['timing']): number {
  const ended = tasks.filter(
    ({ state, stop }) => state === 'stopped' && stop !== undefined && !noFaultOfIts.has(classifyStop(stop)),
  );
  const livedMs = (task: TaskRow): number => (task.stoppedAtMs ?? 0) - (task.startedAtMs ?? task.launchedAtMs);
  let quick = 0;
  for (const incident of incidentsOf(ended, timing, 0).reverse()) {
    if (incident.tasks.some((task) => task.useful === true || livedMs(task) >= quickMs)) break;
    quick += 1;
  }
  return quick <= 1 ? 0 : Math.min(quickPauseLimitSeconds, 2 ** (quick - 2));
}
