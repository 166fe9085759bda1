/**
 * `cuttlefish cancel`: asks the run to end, from any process. The process that drives it does the rest; when there is
 * none, this one does.
 */
import { keys, type RunRow } from '../../core/run.ts';
import { cancelRun } from '../../functions/cancel.ts';
import { driveRun } from '../drive.ts';
import { openHost } from '../host.ts';
import { driverOf, hasEnded, look } from '../look.ts';
import { createOutput, type ExitCode, exitCodes, type Output, usageError } from '../output.ts';
import { commandFor } from '../paths.ts';
import type { CommonOptions } from '../program.ts';
import { findRun } from '../runs.ts';

/** Tasks get SIGTERM and, two seconds later, SIGKILL; a function that is under way may add some. */
const patienceMs = 30_000;
const pollMs = 100;

export async function cancel(given: string, options: CommonOptions, output: Output): Promise<ExitCode> {
  const world = await look(options.state);
  const { runId, phase } = await findRun(world, given, world.stateDir);
  const { kind } = await cancelRun(world, runId, 'cuttlefish cancel');
  if (kind !== 'requested') throw usageError(`run ${runId} has ended already: it is ${phase}`);

  const until = world.clock.monotonic() + patienceMs;
  for (;;) {
    const run = (await world.table.get<RunRow>(runId, keys.run))?.value;
    // Released means that its tasks are gone.
    if (run !== undefined && hasEnded(run) && run.releasedAtMs !== undefined) return told(run.phase);
    const driver = await driverOf(world, runId);
    if (driver === undefined) return endIt();
    if (world.clock.monotonic() > until) {
      throw usageError(`run ${runId} was asked to end, but process ${driver.pid} has not ended it within 30 s`);
    }
    await world.clock.sleep(pollMs);
  }

  async function endIt(): Promise<ExitCode> {
    const host = await openHost(options.state);
    try {
      await driveRun(host, { runId, command: 'resume' }, quiet());
    } finally {
      await host.close();
    }
    const run = (await world.table.get<RunRow>(runId, keys.run))?.value;
    return told(run?.phase ?? 'cancelled');
  }

  function told(ended: RunRow['phase']): ExitCode {
    output.document({ runId, status: ended });
    output.print(
      ended === 'cancelled'
        ? `Cancelled ${runId}. Its newest checkpoint is kept: "${commandFor('resume', runId, world.stateDir)}" continues.`
        : `Run ${runId} ended before it could be cancelled: it is ${ended}.`,
    );
    return exitCodes.done;
  }
}

/** What the run would print is not what was asked for. */
function quiet(): Output {
  return { ...createOutput(false), print: () => undefined };
}
