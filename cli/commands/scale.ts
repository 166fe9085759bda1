/**
 * `cuttlefish scale`: changes how many workers a run has, from any process. Returns when the wish is stored; the process
 * that drives the run acts on it.
 */
import { keys, type ProgressRow } from '../../core/run.ts';
import { resizeRun } from '../../functions/resize.ts';
import { driverOf, look } from '../look.ts';
import { type ExitCode, exitCodes, type Output, usageError } from '../output.ts';
import { commandFor } from '../paths.ts';
import type { CommonOptions } from '../program.ts';
import { findRun } from '../runs.ts';

export async function scale(given: string, workers: string, options: CommonOptions, output: Output): Promise<ExitCode> {
  const world = await look(options.state);
  const { runId } = await findRun(world, given, world.stateDir);
  const outcome = await resizeRun(world, runId, workers, 'cuttlefish scale');
  switch (outcome.kind) {
    case 'unknown':
      throw usageError(`there is no run ${runId}`);
    case 'ended':
      throw usageError(`run ${runId} has ended: it has no workers to scale`);
    case 'unplanned':
      throw usageError(`run ${runId} is not planned yet: try again in a moment`);
    case 'refused':
      throw usageError(`cannot scale run ${runId}: ${outcome.why}`);
  }
  const [driver, progress] = await Promise.all([
    driverOf(world, runId),
    world.table.get<ProgressRow>(runId, keys.progress),
  ]);
  const { kind, workers: count, before } = outcome;
  output.document({
    runId,
    status: kind,
    workers: count,
    before,
    training: progress?.value.worldSize ?? 0,
    driver: driver ?? null,
  });
  const now = `Run ${runId} aims at ${count} worker(s)`;
  output.print(kind === 'changed' ? `${now} now; it was ${before}.` : `${now} already.`);
  if (driver === undefined)
    output.note(`no process drives it: it takes effect with "${commandFor('resume', runId, world.stateDir)}"`);
  return exitCodes.done;
}
