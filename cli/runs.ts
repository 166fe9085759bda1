/**
 * Which runs a state folder holds, and which of them a person means. A run is meant by its id, by the beginning of its
 * id, or by the name in its config, as long as only one fits.
 */
import type { Cloud } from '../cloud/ports.ts';
import { keys, type RunRow } from '../core/run.ts';
import { usageError } from './output.ts';

export async function listRuns(cloud: Pick<Cloud, 'objects' | 'table'>): Promise<readonly RunRow[]> {
  const ids = new Set((await cloud.objects.list('runs/')).map((key) => key.split('/')[1] ?? ''));
  const rows = await Promise.all([...ids].map((runId) => cloud.table.get<RunRow>(runId, keys.run)));
  return rows
    .flatMap((row) => (row ? [row.value] : []))
    .sort((a, b) => b.submittedAtMs - a.submittedAtMs || (a.runId < b.runId ? -1 : 1));
}

/** The run that is meant; a refusal that lists the candidates when there is not exactly one. */
export async function findRun(
  cloud: Pick<Cloud, 'objects' | 'table'>,
  given: string,
  stateDir: string,
): Promise<RunRow> {
  const exact = await cloud.table.get<RunRow>(given, keys.run).catch(() => undefined);
  if (exact) return exact.value;
  const runs = await listRuns(cloud);
  const found = matchRun(
    runs.map(({ runId, name }) => ({ runId, name })),
    given,
  );
  switch (found.kind) {
    case 'one':
      return runs.find((run) => run.runId === found.runId)!;
    case 'several':
      throw usageError(
        `"${given}" fits several runs, say more of the id:\n${found.runIds.map((runId) => `  ${runId}`).join('\n')}`,
      );
    case 'none':
      throw usageError(
        runs.length === 0
          ? `there is no run "${given}": the state folder ${stateDir} holds no runs`
          : `there is no run "${given}" in ${stateDir}; it holds:\n${runs
              .slice(0, 10)
              .map((run) => `  ${run.runId}`)
              .join('\n')}`,
      );
  }
}

export type RunMatch =
  | { readonly kind: 'one'; readonly runId: string }
  | { readonly kind: 'several'; readonly runIds: readonly string[] }
  | { readonly kind: 'none' };

export function matchRun(runs: readonly { readonly runId: string; readonly name: string }[], given: string): RunMatch {
  if (runs.some((run) => run.runId === given)) return { kind: 'one', runId: given };
  const fitting = runs.filter((run) => given !== '' && (run.name === given || run.runId.startsWith(given)));
  const [first] = fitting;
  if (!first) return { kind: 'none' };
  return fitting.length === 1
    ? { kind: 'one', runId: first.runId }
    : { kind: 'several', runIds: fitting.map((run) => run.runId) };
}
