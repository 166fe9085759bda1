/** `cuttlefish logs`: what the tasks and the functions of a run wrote, merged; with --follow until the run has ended. */
import { keys, type RunRow } from '../../core/run.ts';
import { driverOf, hasEnded, look } from '../look.ts';
import { type ExitCode, exitCodes, type Output, usageError } from '../output.ts';
import type { LogsOptions } from '../program.ts';
import { findRun } from '../runs.ts';
import { createLogReader, formatLine, type LogLine } from '../task-logs.ts';

const pollMs = 300;

export async function logs(given: string, options: LogsOptions, output: Output): Promise<ExitCode> {
  const world = await look(options.state);
  const { runId } = await findRun(world, given, world.stateDir);
  const reader = createLogReader(world, runId);
  const told: LogLine[] = [];

  const turn = async (): Promise<void> => {
    const lines = (await reader.read()).filter((line) => options.task === undefined || line.task === options.task);
    if (output.json) told.push(...lines);
    else if (lines.length > 0) output.print(lines.map(formatLine).join('\n'));
  };

  if (options.follow) {
    while (!output.isClosed() && !(await isOver())) {
      await turn();
      await world.clock.sleep(pollMs);
    }
  }
  await turn();
  if (options.task !== undefined && !reader.tasks().includes(options.task) && told.length === 0) {
    const names = [...new Set(reader.tasks())].sort().join(', ');
    throw usageError(`run ${runId} has no task "${options.task}"; accepted: ${names}`);
  }
  output.document({ runId, lines: told });
  return exitCodes.done;

  /** Nobody drives it: whether it has ended or was interrupted, nothing more will come. */
  async function isOver(): Promise<boolean> {
    const run = await world.table.get<RunRow>(runId, keys.run);
    return run === undefined || hasEnded(run.value) || (await driverOf(world, runId)) === undefined;
  }
}
