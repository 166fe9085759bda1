/** The levers of the memory world: what a test may hurt, move and look at. */
import type { LogLevel, ObservedTask } from '../../cloud/ports.ts';
import type { EventName } from '../../core/events.ts';

export type MemoryOperation =
  | 'objects.get'
  | 'objects.put'
  | 'objects.list'
  | 'objects.delete'
  | 'table.get'
  | 'table.put'
  | 'table.delete'
  | 'table.query'
  | 'tasks.launch'
  | 'tasks.stop'
  | 'tasks.list'
  | 'workflow.start'
  | 'workflow.stop'
  | 'workflow.succeedTask'
  | 'datasets.read';

export interface LogLine {
  readonly level: LogLevel;
  readonly event: EventName;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface MemoryControls {
  /** The next `times` calls of the operation (whose key starts with `keyPrefix`) throw, without effect. */
  failNext(operation: MemoryOperation, error: Error, options?: { times?: number; keyPrefix?: string }): void;
  /** After this many more changes of objects or table every further one throws: the process died there. */
  crashAfterWrites(count: number): void;
  recover(): void;
  /** Every change of objects and table that took effect, e.g. `table.put run-1 checkpoints`. */
  readonly writes: readonly string[];
  readonly logs: readonly LogLine[];
  readonly notices: readonly { readonly type: string; readonly detail: Readonly<Record<string, unknown>> }[];
  readonly metrics: readonly Readonly<Record<string, unknown>>[];
  /** Moves the virtual clock and wakes whoever slept long enough. */
  advance(ms: number): Promise<void>;
  /** Puts training data where `datasets` finds it: a path such as `data/train.csv`. */
  addFile(uri: string, body: Uint8Array | string): void;
  /** The raw stored value, for tests that damage it; `undefined` removes it. */
  overwriteRow(partition: string, key: string, value: unknown): void;
  overwriteObject(key: string, body: Uint8Array | undefined): void;
  /** Tasks that launch may still start. */
  capacity: number;
  changeTask(taskId: string, change: Partial<Pick<ObservedTask, 'state' | 'stop'>>): void;
  openToken(token: string): void;
  readonly answers: ReadonlyMap<string, unknown>;
  readonly executions: ReadonlyMap<string, { readonly input: unknown; readonly stopped?: string }>;
  readonly floors: Map<string, { floor: number; inService: number; max: number }>;
}
