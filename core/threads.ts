/**
 * How many threads compute in one worker, and why so many. They share the worker's shards (container/engine/threads), so
 * more threads than it ever has shards would stand idle.
 */
import type { ThreadsPlan } from './plan.ts';

/** As many vCPUs as the largest task of Fargate has. */
export const maxThreads = 16;

export interface ThreadsInput {
  /** What the config says. */
  readonly wanted: number | undefined;
  /** CPU units of the task. */
  readonly cpu: number;
  /** The most that one worker ever has: those of the whole batch, among `workers.min`. */
  readonly shards: number;
  /** All tasks share one machine. */
  readonly isLocal: boolean;
  readonly isTensorflow: boolean;
}

export function planThreads({ wanted, cpu, shards, isLocal, isTensorflow }: ThreadsInput): ThreadsPlan {
  const vcpus = cpu / 1024;
  if (wanted !== undefined) {
    const crowded = !isLocal && wanted > Math.max(1, vcpus);
    return { count: wanted, why: `as the config says${crowded ? `, on ${vcpus} vCPU` : ''}` };
  }
  if (isLocal) return { count: 1, why: 'the workers share this machine' };
  if (isTensorflow) return { count: 1, why: 'TensorFlow.js computes in one' };
  if (vcpus <= 1) return { count: 1, why: `a task has ${vcpus} vCPU` };
  if (shards < vcpus) return { count: shards, why: `a worker has at most ${shards} of the shards` };
  return { count: Math.min(vcpus, maxThreads), why: 'one for each vCPU' };
}
