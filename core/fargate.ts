/**
 * The task sizes that Fargate has. Cuttlefish uses them on EC2 too, so that a config moves between the two unchanged.
 * CPU in units (1024 = one vCPU), memory in MiB.
 */

export interface TaskSize {
  readonly cpu: number;
  readonly memoryMiB: number;
}

const steps = (from: number, to: number, by: number): number[] =>
  Array.from({ length: (to - from) / by + 1 }, (_, i) => (from + i * by) * 1024);

export const fargateSizes: ReadonlyMap<number, readonly number[]> = new Map([
  [256, [512, 1024, 2048]],
  [512, steps(1, 4, 1)],
  [1024, steps(2, 8, 1)],
  [2048, steps(4, 16, 1)],
  [4096, steps(8, 30, 1)],
  [8192, steps(16, 60, 4)],
  [16384, steps(32, 120, 8)],
]);

const allSizes: readonly TaskSize[] = [...fargateSizes].flatMap(([cpu, memories]) =>
  memories.map((memoryMiB) => ({ cpu, memoryMiB })),
);

export const defaultCpu = 1024;
export const largestMemoryMiB = 120 * 1024;

export function isFargateSize({ cpu, memoryMiB }: TaskSize): boolean {
  return fargateSizes.get(cpu)?.includes(memoryMiB) ?? false;
}

/** The smallest size with at least this CPU and memory; undefined when even the largest is too small. */
export function smallestSize(atLeast: Partial<TaskSize>): TaskSize | undefined {
  return allSizes.find(({ cpu, memoryMiB }) => cpu >= (atLeast.cpu ?? 0) && memoryMiB >= (atLeast.memoryMiB ?? 0));
}

/** The sizes that come nearest to one that does not exist, in words: by CPU first, as it decides the memory. */
export function nearestSizes({ cpu, memoryMiB }: Partial<TaskSize>): string {
  const cpus = [...fargateSizes.keys()];
  const wantedCpu = cpu ?? smallestSize({ memoryMiB: memoryMiB ?? 0 })?.cpu ?? 16384;
  const nearestCpu = nearest(cpus, wantedCpu);
  const candidates = fargateSizes.get(nearestCpu) ?? [];
  if (memoryMiB === undefined) return `cpu ${nearestCpu} (there are ${cpus.join(', ')})`;
  const sameCpu = `cpu ${nearestCpu} with memoryMiB ${nearest(candidates, memoryMiB)}`;
  const larger = smallestSize({ cpu: nearestCpu, memoryMiB });
  const other = larger === undefined ? '' : `cpu ${larger.cpu} with memoryMiB ${larger.memoryMiB}`;
  return other === '' || other === sameCpu ? sameCpu : `${sameCpu}, or ${other}`;
}

function nearest(values: readonly number[], wanted: number): number {
  return values.reduce((best, value) => (Math.abs(value - wanted) < Math.abs(best - wanted) ? value : best));
}
