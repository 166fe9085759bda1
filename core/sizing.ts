/** The size of the tasks of one role: what the config asks for, or the smallest that holds what memory.ts counts. */
import type { Problem } from './config/positions.ts';
import { defaultCpu, isFargateSize, largestMemoryMiB, nearestSizes, smallestSize, type TaskSize } from './fargate.ts';
import { type MemoryInput, memoryParts, neededMiB } from './memory.ts';
import type { Role, RolePlan } from './plan.ts';

interface WantedSize {
  readonly cpu?: number | undefined;
  readonly memoryMiB?: number | undefined;
}

/** CPU units of a worker that computes in one thread. */
export function cpuOf(wanted: WantedSize, memory: MemoryInput): number {
  return sizeOf(wanted, neededMiB(memoryParts('worker', memory)))?.cpu ?? defaultCpu;
}

export function planRole(
  role: Role,
  counts: Pick<RolePlan, 'min' | 'max' | 'onLoss'>,
  wanted: WantedSize,
  memory: MemoryInput,
  grows: boolean,
  problems: Problem[],
): RolePlan | undefined {
  const memoryNeededMiB = neededMiB(memoryParts(role, memory));
  const block = ['cluster', role === 'worker' ? 'worker' : 'parameterServer'];
  const fits = smallestSize({ cpu: wanted.cpu ?? 0, memoryMiB: memoryNeededMiB });
  const what = `a ${role} needs about ${memoryNeededMiB} MiB for this network and data`;
  if (fits === undefined) {
    const accepted = `at most ${largestMemoryMiB} MiB: a smaller network, batch or data set`;
    problems.push({ path: block, message: what, accepted });
    return undefined;
  }
  const size = sizeOf(wanted, memoryNeededMiB);
  if (size === undefined || !isFargateSize(size)) {
    const accepted = nearestSizes({
      ...(wanted.cpu === undefined ? {} : { cpu: wanted.cpu }),
      ...(wanted.memoryMiB === undefined ? {} : { memoryMiB: wanted.memoryMiB }),
    });
    problems.push({ path: block, message: 'Fargate has no task of this size', accepted });
    return undefined;
  }
  if (size.memoryMiB < memoryNeededMiB) {
    const path = wanted.memoryMiB === undefined ? [...block, 'cpu'] : [...block, 'memoryMiB'];
    const accepted = `cpu ${fits.cpu} with memoryMiB ${fits.memoryMiB}, or more`;
    problems.push({ path, message: `${what}, and would have ${size.memoryMiB}`, accepted });
    return undefined;
  }
  return { role, ...counts, ...size, growth: grows ? growthOf(size) : [], memoryNeededMiB };
}

/** Twice the memory, then four times: what more would be needed is no estimate that was a little short. */
function growthOf({ cpu, memoryMiB }: TaskSize): TaskSize[] {
  return [2, 4].flatMap((factor) => smallestSize({ cpu, memoryMiB: factor * memoryMiB }) ?? []);
}

function sizeOf({ cpu, memoryMiB }: WantedSize, needed: number): TaskSize | undefined {
  if (cpu !== undefined && memoryMiB !== undefined) return { cpu, memoryMiB };
  if (memoryMiB !== undefined) {
    const size = smallestSize({ cpu: defaultCpu, memoryMiB });
    return size?.memoryMiB === memoryMiB ? size : smallestSize({ memoryMiB });
  }
  const size = smallestSize({ cpu: cpu ?? defaultCpu, memoryMiB: needed });
  // A CPU that was asked for is kept: its largest memory shows in the message what it lacks.
  return cpu === undefined || size?.cpu === cpu ? size : { cpu, memoryMiB: largestOf(cpu) };
}

function largestOf(cpu: number): number {
  let memoryMiB = 0;
  for (let size = smallestSize({ cpu }); size?.cpu === cpu; size = smallestSize({ cpu, memoryMiB: memoryMiB + 1 })) {
    memoryMiB = size.memoryMiB;
  }
  return memoryMiB;
}
