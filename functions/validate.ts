/**
 * Reads the exact config that the run is about, refuses it with all its problems at once, or makes the run's row and
 * keeps a copy of the config with the run.
 *
 * Invariants
 *  VA1 Nothing is stored of a config that is refused, but the file beside it that says why (P7).
 *  VA2 One run has one execution at a time: a second one is refused with Conflict and changes nothing of the first.
 *  VA3 Called again by the same execution it answers the same.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { updateRow } from '../cloud/update.ts';
import { clusterKeys, clusterPartition, type OpenRow } from '../core/cluster-rows.ts';
import { parseConfig } from '../core/config/parse.ts';
import { runIdFor } from '../core/config/run-id.ts';
import { readInput } from '../core/execution-input.ts';
import { CuttlefishError } from '../core/failure.ts';
import { objectKeys } from '../core/object-keys.ts';
import { within } from '../core/quotas.ts';
import { keys, type RunRow } from '../core/run.ts';
import type { ValidateInput, ValidateOutput } from '../core/workflow.ts';
import { type ConfigSource, clearErrors, isConfigKey, readConfig, writeErrors } from './config-source.ts';
import { isEnded } from './rows.ts';

export async function validate(input: ValidateInput, cloud: Cloud): Promise<ValidateOutput> {
  const source = await readConfig(readInput(input), cloud);
  const dropped = source.key !== undefined && isConfigKey(source.key) ? source.key : undefined;
  const parsed = within(parseConfig(source.text, source.source), cloud.quotas, source.source);
  if (parsed.kind === 'invalid') {
    const failure = { kind: 'ConfigInvalid', source: parsed.source, issues: parsed.issues } as const;
    if (dropped !== undefined) await writeErrors(cloud, dropped, failure);
    cloud.log.write('warn', 'run.rejected', { source: parsed.source, issues: parsed.issues.length });
    throw new CuttlefishError(failure);
  }
  if (dropped !== undefined) await clearErrors(cloud, dropped);
  const { name } = parsed.config;
  const runId = input.runId ?? runIdFor(name, ...(source.uri === undefined ? [] : [source.uri]), source.text);

  const configKey = objectKeys.config(runId);
  await keepConfig(cloud, configKey, source.text, runId);
  // First, so that the sweep knows of the run however far it comes. A row that an attempt before this one has left gets a
  // new version, and a late release of that one does not take it away.
  const open: OpenRow = { runId, sinceMs: cloud.clock.now() };
  await updateRow<OpenRow>(cloud, clusterPartition, clusterKeys.open(runId), () => open);
  await claimRow(cloud, runId, name, source, input.executionArn);
  await record(cloud, runId, 'run.validated', { by: 'validate', config: source.source });
  return { runId, configKey };
}

async function keepConfig({ objects }: Cloud, key: string, text: string, runId: string): Promise<void> {
  if ((await objects.put(key, text, { absent: true })).kind === 'stored') return;
  const kept = await objects.get(key);
  if (kept !== undefined && new TextDecoder().decode(kept.body) === text) return;
  throw conflict(`run "${runId}" exists with another config: choose another run id`);
}

async function claimRow(
  cloud: Cloud,
  runId: string,
  name: string,
  { uri }: ConfigSource,
  executionArn: string | undefined,
): Promise<void> {
  const mine = executionArn === undefined ? {} : { executionArn };
  await updateRow<RunRow>(cloud, runId, keys.run, (current) => {
    if (current === undefined) {
      return {
        schema: 1,
        runId,
        name,
        phase: 'submitted',
        attempt: 0,
        submittedAtMs: cloud.clock.now(),
        ...mine,
        ...(uri === undefined ? {} : { configUri: uri }),
        recoveries: 0,
        launches: 0,
      };
    }
    if (isEnded(current))
      throw conflict(`run "${runId}" has ended (${current.phase}): resume it, or change its config`);
    if (current.executionArn !== undefined && current.executionArn !== executionArn) {
      throw conflict(`run "${runId}" is under way in ${current.executionArn}`);
    }
    return { ...current, ...mine };
  });
}

function conflict(message: string): CuttlefishError {
  return new CuttlefishError({ kind: 'Conflict', message });
}
