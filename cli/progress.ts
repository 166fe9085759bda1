/**
 * Shows a run while it goes on: reads its rows from the table a few times a second and writes what cli/view.ts makes of
 * them to standard error - a block redrawn in place on a terminal, plain lines elsewhere.
 *
 * Invariants
 *  G1  Watching never changes a run: a failed read is tried again at the next turn, and nothing is written but text.
 *  G2  `stop` draws the last state once more, so that the last epoch is always seen.
 */
import type { Cloud } from '../cloud/ports.ts';
import {
  type EpochRow,
  type EventRow,
  keys,
  type MemberRow,
  type ProgressRow,
  prefixes,
  type RunRow,
  type TaskRow,
} from '../core/run.ts';
import { findPlan } from '../functions/rows.ts';
import { plainLines, type RunView, renderBlock } from './view.ts';

export interface ProgressView {
  stop(): Promise<void>;
}

export interface Screen {
  readonly isTTY: boolean;
  readonly columns: number;
  readonly rows: number;
  write(text: string): void;
}

export async function observe(
  cloud: Pick<Cloud, 'table' | 'objects' | 'clock'>,
  runId: string,
  before: RunView | undefined,
): Promise<RunView> {
  const { table } = cloud;
  const [run, progress, epochs, events, tasks, members] = await Promise.all([
    table.get<RunRow>(runId, keys.run),
    table.get<ProgressRow>(runId, keys.progress),
    table.query<EpochRow>(runId, prefixes.epoch),
    table.query<EventRow>(runId, prefixes.event),
    table.query<TaskRow>(runId, prefixes.task),
    table.query<MemberRow>(runId, prefixes.member),
  ]);
  const plan = before?.plan ?? (await findPlan(cloud, runId));
  return {
    runId,
    nowMs: cloud.clock.now(),
    sinceMs: before?.sinceMs ?? cloud.clock.now(),
    ...(run ? { run: run.value } : {}),
    ...(plan ? { plan } : {}),
    ...(progress && progress.value.tasks !== undefined ? { progress: progress.value } : {}),
    epochs: epochs.map((row) => row.value),
    events: events.map((row) => row.value),
    tasks: tasks.map((row) => row.value),
    members: members.map((row) => row.value),
  };
}

const redrawMs = 200;
const pollMs = 400;

export async function showProgress(
  cloud: Pick<Cloud, 'table' | 'objects' | 'clock'>,
  runId: string,
  screen: Screen,
): Promise<ProgressView> {
  // What a resumed run did before is not news.
  let view = await observe(cloud, runId, undefined).catch(() => undefined);
  let drawn = 0;
  const stopping = new AbortController();

  const turn = async (): Promise<void> => {
    const next = await observe(cloud, runId, view).catch(() => undefined);
    if (!next) return;
    if (screen.isTTY) {
      const block = renderBlock(next, screen.columns - 1, screen.rows);
      screen.write(`${eraseLines(drawn)}${block.join('\n')}\n`);
      drawn = block.length;
    } else {
      const lines = plainLines(view, next);
      if (lines.length > 0) screen.write(`${lines.join('\n')}\n`);
    }
    view = next;
  };

  const loop = (async () => {
    while (!stopping.signal.aborted) {
      await turn();
      await cloud.clock.sleep(screen.isTTY ? redrawMs : pollMs, stopping.signal).catch(() => undefined);
    }
    await turn();
  })();

  return {
    async stop() {
      stopping.abort();
      await loop;
    },
  };
}

export function standardError(): Screen {
  return {
    isTTY: process.stderr.isTTY === true && process.env.TERM !== 'dumb',
    get columns() {
      return process.stderr.columns ?? 100;
    },
    get rows() {
      return process.stderr.rows ?? 24;
    },
    write(text) {
      if (!process.stderr.destroyed && process.stderr.writable) process.stderr.write(text);
    },
  };
}

function eraseLines(count: number): string {
  return count === 0 ? '' : `\u001b[${count}A\u001b[0J`;
}
