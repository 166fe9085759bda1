/** `cuttlefish resume`: continues a run that was interrupted, was cancelled or has failed, from its newest checkpoint. */
import { driveRun } from '../drive.ts';
import { openHost } from '../host.ts';
import { look } from '../look.ts';
import { type ExitCode, type Output, usageError } from '../output.ts';
import type { CommonOptions } from '../program.ts';
import { findRun } from '../runs.ts';

export async function resume(given: string, options: CommonOptions, output: Output): Promise<ExitCode> {
  const world = await look(options.state);
  const run = await findRun(world, given, world.stateDir);
  if (run.phase === 'succeeded') {
    throw usageError(`run ${run.runId} has succeeded: nothing is left to train. "train ... --fresh" trains anew`);
  }
  const host = await openHost(options.state);
  try {
    return await driveRun(host, { runId: run.runId, command: 'resume' }, output);
  } finally {
    await host.close();
  }
}
