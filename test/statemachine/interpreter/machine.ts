/** Runs small machines of a test: a fresh state folder, virtual time, countable ids, functions given as a record. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { JournalRecord } from '../../../cloud/embedded/asl/history.ts';
import { readJournal } from '../../../cloud/embedded/asl/journal.ts';
import { loadStateMachine } from '../../../cloud/embedded/asl/load.ts';
import {
  createWorkflowHost,
  type ExecutionResult,
  type WorkflowHost,
  type WorkflowHostOptions,
} from '../../../cloud/embedded/workflow.ts';
import type { Ids, Log } from '../../../cloud/ports.ts';
import { virtualClock } from './virtual-clock.ts';

export const silentLog: Log = { write: () => undefined };

/** Different on every call, the same in every test. */
export function countingIds(): Ids {
  let count = 0;
  return {
    hex: (bytes) =>
      (++count * 2_654_435_761)
        .toString(16)
        .padStart(bytes * 2, '0')
        .slice(-bytes * 2),
  };
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cuttlefish-machine-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export type Options = Partial<Omit<WorkflowHostOptions, 'definition'>> & { readonly input?: unknown };

/** A definition from the text of its states; the first is the start. */
export function machine(states: string, head = ''): string {
  const first = /^ {2}(\w+):/m.exec(states)?.[1] ?? 'none';
  return `QueryLanguage: JSONata\nStartAt: ${first}\n${head}\nStates:\n${states}`;
}

export function openHost(text: string, options: Options = {}): WorkflowHost & { readonly stateDir: string } {
  const { input: _input, ...rest } = options;
  const stateDir = options.stateDir ?? temporaryFolder();
  const host = createWorkflowHost({
    functions: {},
    clock: virtualClock(),
    ids: countingIds(),
    log: silentLog,
    ...rest,
    stateDir,
    definition: loadStateMachine(text, (placeholder) => placeholder),
  });
  return { ...host, stateDir };
}

export interface Ran extends ExecutionResult {
  readonly records: readonly JournalRecord[];
  /** Types of the counted events. */
  readonly types: readonly string[];
}

export async function runMachine(text: string, options: Options = {}): Promise<Ran> {
  const host = openHost(text, options);
  await host.start('test', options.input ?? {});
  const result = await host.wait('test');
  await host.close();
  return { ...result, ...historyOf(host.stateDir, 'test') };
}

export function journalPath(stateDir: string, name: string): string {
  return join(stateDir, 'executions', name, 'journal.jsonl');
}

export function historyOf(stateDir: string, name: string): Pick<Ran, 'records' | 'types'> {
  const { records } = readJournal(journalPath(stateDir, name));
  return { records, types: records.filter((record) => record.id !== undefined).map((record) => record.type) };
}

/** A function that takes virtual time. */
export function after<T>(clock: { sleep(ms: number): Promise<void> }, ms: number, value: T): () => Promise<T> {
  return async () => {
    await clock.sleep(ms);
    return value;
  };
}

export class NamedError extends Error {
  constructor(name: string, message = 'on purpose') {
    super(message);
    this.name = name;
  }
}
