/**
 * What the threads of a task say to each other. All vectors lie in shared memory (room.ts): a message carries where they
 * are, not what is in them.
 */
import type { MessagePort } from 'node:worker_threads';
import type { Provider } from '../plan/kernels.ts';
import type { Batch, Evaluation, ShardNode } from '../port.ts';
import type { EngineSpec } from '../spec.ts';

/** What a thread is started with. */
export interface Start {
  readonly spec: EngineSpec;
  readonly provider: Provider;
  readonly answers: MessagePort;
  /** One number: how many answers there have been. It is rung after the answer is on its way. */
  readonly bell: Int32Array;
}

export type Job = {
  /** Those to compute with from now on; absent: as they are. */
  readonly parameters?: Float32Array;
} & (
  | { readonly kind: 'contributions'; readonly nodes: readonly ShardNode[] }
  | { readonly kind: 'evaluate'; readonly batch: Batch }
);

export type Answer =
  | { readonly kind: 'done' }
  | { readonly kind: 'evaluated'; readonly pieces: readonly Evaluation[] }
  | { readonly kind: 'failed'; readonly message: string; readonly stack?: string };
