/** `cuttlefish doctor`: what this machine has and lacks, and what to do about it. */
import { type Check, examine } from '../doctor.ts';
import { formatTable } from '../format.ts';
import { type ExitCode, exitCodes, type Output } from '../output.ts';
import { absoluteStateDir, packagePaths } from '../paths.ts';
import type { CommonOptions } from '../program.ts';

export async function doctor(options: CommonOptions, output: Output): Promise<ExitCode> {
  const checks = await examine({
    root: packagePaths().root,
    stateDir: absoluteStateDir(options.state),
    env: process.env,
    nodeVersion: process.version,
  });
  const usable = checks.every((check) => check.status !== 'fail');
  output.document({ status: usable ? 'ok' : 'fail', checks });
  output.print(formatTable(checks.map(({ status, name, found }) => [status, name, found])));
  for (const check of checks) if (check.advice !== undefined) output.print(`\n${advise(check)}`);
  output.print(usable ? '\nThis machine can train.' : '\nThis machine cannot train yet.');
  return usable ? exitCodes.done : exitCodes.failed;
}

function advise({ name, advice }: Check): string {
  return `${name}: ${advice}`;
}
