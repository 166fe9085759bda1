/** `cuttlefish train`: a config becomes a run, and the run is driven to its end in this process. */
import { availableParallelism } from 'node:os';
import { runIdFor, runIdPattern } from '../../core/config/run-id.ts';
import { keys } from '../../core/run.ts';
import { crowded, readConfig } from '../config.ts';
import { driveRun } from '../drive.ts';
import { type Host, openHost } from '../host.ts';
import { type ExitCode, type Output, usageError } from '../output.ts';
import type { TrainOptions } from '../program.ts';

export async function train(path: string, options: TrainOptions, output: Output): Promise<ExitCode> {
  if (options.runId !== undefined && !runIdPattern.test(options.runId)) {
    throw usageError(
      `"${options.runId}" is no run id; accepted: 1 to 64 lower-case letters, digits and hyphens, not beginning or ending with a hyphen`,
    );
  }
  // Before the state folder is touched: a wrong config costs nothing.
  const { text, config } = readConfig(path, options, 'local');
  const warning = crowded(config, availableParallelism());
  if (warning !== undefined) output.note(warning);
  const host = await openHost(options.state);
  try {
    const base = options.runId ?? runIdFor(config.name, text);
    const runId = options.fresh === true ? await unusedId(host, base) : base;
    return await driveRun(host, { runId, text, command: 'train' }, output);
  } finally {
    await host.close();
  }
}

/** `<id>`, `<id>-2`, `<id>-3`, ...: the first that no run has. */
async function unusedId({ cloud, workflow }: Host, base: string): Promise<string> {
  for (let n = 1; ; n += 1) {
    const candidate = n === 1 ? base : `${base}-${n}`;
    const taken = (await cloud.table.get(candidate, keys.run)) ?? (await workflow.describe(candidate));
    if (taken === undefined) return candidate;
  }
}
