/**
 * A config was dropped in the bucket: starts the run that its bytes name, or writes beside it what is wrong with it.
 *
 * Invariants
 *  ST1 The name of the execution is a digest of (bucket, key, content): the same bytes, delivered any number of times and
 *      in any order, start exactly one run (P1).
 *  ST2 The version that the event names is read, not the newest one.
 *  ST3 What is wrong starts nothing and costs nothing (P7); a late event of a version that was replaced since does not
 *      write over the answer to the newer one.
 *  ST4 What is too large to be a config is refused by its size, unread.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { parseConfig } from '../core/config/parse.ts';
import { executionName, runIdFor } from '../core/config/run-id.ts';
import { maxConfigBytes, tooLarge } from '../core/config/scan.ts';
import { readObjectCreated } from '../core/platform-events.ts';
import { within } from '../core/quotas.ts';
import type { ExecutionInput } from '../core/workflow.ts';
import { clearErrors, isConfigKey, uriOf, writeErrors } from './config-source.ts';

export type StartOutput =
  | { readonly kind: 'ignored' | 'rejected' }
  | { readonly kind: 'started' | 'exists'; readonly runId: string; readonly executionArn: string };

export async function start(event: unknown, cloud: Cloud): Promise<StartOutput> {
  const created = readObjectCreated(event);
  if (created === undefined || !isConfigKey(created.key)) return { kind: 'ignored' };
  const { bucket, key, version, bytes = 0 } = created;
  if (bytes > maxConfigBytes) {
    await writeErrors(cloud, key, { kind: 'ConfigInvalid', source: key, issues: [tooLarge(bytes)] });
    cloud.log.write('warn', 'run.rejected', { key, issues: 1 });
    return { kind: 'rejected' };
  }
  const stored = await (version === undefined ? cloud.objects.get(key) : cloud.objects.getVersion(key, version));
  if (stored === undefined) return { kind: 'ignored' };
  const newest = (await cloud.objects.get(key))?.version === stored.version;

  const text = new TextDecoder().decode(stored.body);
  const parsed = within(parseConfig(text, key), cloud.quotas, key);
  if (parsed.kind === 'invalid') {
    const { source, issues } = parsed;
    if (newest) await writeErrors(cloud, key, { kind: 'ConfigInvalid', source, issues });
    cloud.log.write('warn', 'run.rejected', { key, issues: issues.length });
    return { kind: 'rejected' };
  }
  if (newest) await clearErrors(cloud, key);
  const runId = runIdFor(parsed.config.name, bucket, key, text);
  const input: ExecutionInput = { configUri: uriOf(cloud, key), version: stored.version, runId };
  const started = await cloud.workflow.start(executionName(runId, 0), input);
  await record(cloud, runId, started.kind === 'exists' ? 'run.duplicate' : 'run.submitted', { by: 'start', key });
  return { ...started, runId };
}
