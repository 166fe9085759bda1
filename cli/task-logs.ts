/**
 * The logs of a run's tasks and of the functions that drove it, merged by time. Reading goes on where it stopped, so that
 * following a run costs only what is new.
 *
 * Invariants
 *  K1  A line is told once, whole, and with the name of its task.
 *  K2  A line that is not one of our JSON lines (a crash of Node, say) is kept as text at the time of the line before it.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import type { EmbeddedWorld } from '../cloud/embedded/world.ts';
import { type MemberRow, prefixes, type TaskRow } from '../core/run.ts';
import { controlLogPath } from './look.ts';

export interface LogLine {
  readonly at: string;
  readonly task: string;
  readonly level?: string;
  readonly event?: string;
  readonly text?: string;
  readonly [detail: string]: unknown;
}

interface Source {
  readonly path: string;
  task: string;
  offset: number;
  rest: Buffer;
  lastAt: string;
}

export interface LogReader {
  /** What has been added since the last call, in the order of time. */
  read(): Promise<readonly LogLine[]>;
  /** Names of the tasks that were found so far. */
  tasks(): readonly string[];
}

export function createLogReader(world: EmbeddedWorld, runId: string): LogReader {
  const control: Source = source(controlLogPath(world.stateDir), 'control');
  const sources = new Map<string, Source>();

  return {
    async read() {
      const names = await taskNames(world, runId);
      for (const { taskId, role } of await world.tasks.list(runId)) {
        const task = names.get(taskId) ?? `${role}/${taskId.slice(0, 8)}`;
        const known = sources.get(taskId);
        if (known) known.task = task;
        else sources.set(taskId, source(world.runner.logPath(taskId), task));
      }
      const lines = [...sources.values()].flatMap((from) => readNew(from).map((line) => parseLine(line, from)));
      const own = readNew(control)
        .map((line) => parseLine(line, control))
        .filter((line) => line.runId === runId || line.execution === runId);
      // Stable: lines of one file keep their order.
      return [...own, ...lines].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
    },
    tasks: () => [...[...sources.values()].map((from) => from.task), control.task],
  };
}

/** The slot a task has or had; a task that never took one is named by its role and id. */
async function taskNames(world: EmbeddedWorld, runId: string): Promise<ReadonlyMap<string, string>> {
  const [tasks, members] = await Promise.all([
    world.table.query<TaskRow>(runId, prefixes.task),
    world.table.query<MemberRow>(runId, prefixes.member),
  ]);
  const names = new Map(members.map(({ value }) => [value.taskId, value.slot]));
  for (const { value } of tasks) if (value.slot !== undefined) names.set(value.taskId, value.slot);
  return names;
}

function source(path: string, task: string): Source {
  return { path, task, offset: 0, rest: Buffer.alloc(0), lastAt: '' };
}

const chunkBytes = 1024 * 1024;

function readNew(from: Source): string[] {
  let file: number;
  try {
    file = openSync(from.path, 'r');
  } catch {
    return [];
  }
  try {
    const chunk = Buffer.alloc(chunkBytes);
    const parts = [from.rest];
    for (let read = readSync(file, chunk, 0, chunkBytes, from.offset); read > 0; ) {
      parts.push(Buffer.from(chunk.subarray(0, read)));
      from.offset += read;
      read = readSync(file, chunk, 0, chunkBytes, from.offset);
    }
    const all = Buffer.concat(parts);
    const end = all.lastIndexOf(10) + 1;
    from.rest = all.subarray(end);
    return all
      .toString('utf8', 0, end)
      .split('\n')
      .filter((line) => line.trim() !== '');
  } finally {
    closeSync(file);
  }
}

/** K2. */
export function parseLine(line: string, from: { readonly task: string; lastAt: string }): LogLine {
  if (line.startsWith('{')) {
    try {
      const value = JSON.parse(line) as Record<string, unknown>;
      if (typeof value.at === 'string') {
        from.lastAt = value.at;
        // The slot in the line is what the task was called when it wrote it.
        const task = typeof value.slot === 'string' && from.task !== 'control' ? value.slot : from.task;
        return { ...value, at: value.at, task };
      }
    } catch {
      // Not one of ours.
    }
  }
  return { at: from.lastAt, task: from.task, text: line };
}

/** `17:24:44.123  worker/0   info   epoch.ended  step=100 loss=0.4` */
export function formatLine(line: LogLine): string {
  const { at, task, level, event, text, ...detail } = line;
  const time = at.length >= 23 ? at.slice(11, 23) : at.padEnd(12);
  if (text !== undefined) return `${time}  ${task.padEnd(18)}  ${text}`;
  const fields = Object.entries(detail)
    .filter(([name]) => !['runId', 'taskId', 'slot', 'role'].includes(name))
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return [time, task.padEnd(18), (level ?? '').padEnd(5), event ?? '', fields.join(' ')].join('  ').trimEnd();
}
