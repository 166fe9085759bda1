/**
 * The outermost edge of every function: what is thrown leaves it under a name of core/failure.ts, because that name is
 * what Retry and Catch of the state machine match, and its details are kept with the run, because Lambda passes on only
 * the name and the message.
 */
import type { Cloud } from '../cloud/ports.ts';
import { CuttlefishError, failureTable, toFailure } from '../core/failure.ts';
import { changeRun } from './rows.ts';

export type CloudFunction = (input: unknown, cloud: Cloud) => Promise<unknown>;

export async function atBoundary(run: CloudFunction, input: unknown, cloud: Cloud): Promise<unknown> {
  try {
    return await run(input, cloud);
  } catch (thrown) {
    const failure = toFailure(thrown);
    const { remedy } = failureTable[failure.kind];
    const runId = runIdOf(input);
    // What is retried is no failure of the run yet; a second execution's Conflict is none of the first one's business.
    if (runId !== undefined && remedy !== 'retry' && failure.kind !== 'Unexpected' && failure.kind !== 'Conflict') {
      await changeRun(cloud, runId, () => ({ failure })).catch(() => undefined);
    }
    throw thrown instanceof CuttlefishError ? thrown : new CuttlefishError(failure, { cause: thrown });
  }
}

function runIdOf(input: unknown): string | undefined {
  if (typeof input !== 'object' || input === null || !('runId' in input)) return undefined;
  return typeof input.runId === 'string' && input.runId !== '' ? input.runId : undefined;
}
