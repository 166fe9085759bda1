/**
 * More memory for what ran out of it: the size that the next tasks of a role are launched with, from the tasks that were
 * killed by their limit. The plan says the sizes (RolePlan.growth); the config's own is the first.
 *
 * Invariants
 *  GR1 No task is launched again in a size that was too small in this attempt of the run.
 *  GR2 The ladder ends: what is too small in the last size ends the run.
 */
import { classifyStop } from './classify.ts';
import type { TaskSize } from './fargate.ts';
import { rolePlan } from './launching.ts';
import type { Role, RunPlan } from './plan.ts';
import type { TaskRow } from './run.ts';

/** The largest when all were too small. */
export function sizeFor(plan: RunPlan, role: Role, tasks: readonly TaskRow[]): TaskSize {
  const sizes = sizesOf(plan, role);
  const tooSmall = Math.max(0, ...starved(tasks, role).map((task) => memoryOf(plan, task)));
  return sizes.find(({ memoryMiB }) => memoryMiB > tooSmall) ?? (sizes.at(-1) as TaskSize);
}

/** A task for which there is no larger size. */
export function outgrown(plan: RunPlan, tasks: readonly TaskRow[]): TaskRow | undefined {
  return tasks.find(
    (task) => isStarved(task) && memoryOf(plan, task) >= (sizesOf(plan, task.role).at(-1)?.memoryMiB ?? 0),
  );
}

function sizesOf(plan: RunPlan, role: Role): readonly TaskSize[] {
  const { cpu, memoryMiB, growth } = rolePlan(plan, role);
  return [{ cpu, memoryMiB }, ...growth];
}

function memoryOf(plan: RunPlan, { size, role }: TaskRow): number {
  return (size ?? rolePlan(plan, role)).memoryMiB;
}

const isStarved = ({ stop }: TaskRow): boolean => stop !== undefined && classifyStop(stop) === 'out-of-memory';
const starved = (tasks: readonly TaskRow[], role: Role): TaskRow[] =>
  tasks.filter((task) => task.role === role && isStarved(task));
