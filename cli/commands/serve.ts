/**
 * `cuttlefish serve`: the folder `bucket/configs/` of the state folder as the bucket. Every file that is new or changed
 * becomes an "Object Created" event for the `start` function, as EventBridge sends it on AWS; that function decides
 * whether a run starts.
 *
 * Invariants
 *  SV1 A file is read only when it has stopped changing: a half-copied file is not a broken config.
 *  SV2 The event names the version of the content, so the same bytes, dropped any number of times, start nothing new.
 *  SV3 What was unfinished when an earlier serve ended is continued, but for runs that another process drives.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { embeddedBucket } from '../../cloud/embedded/datasets.ts';
import { makeFolder } from '../../cloud/embedded/files.ts';
import type { Cloud } from '../../cloud/ports.ts';
import { clusterPartition, clusterPrefixes, type OpenRow } from '../../core/cluster-rows.ts';
import { executionName } from '../../core/config/run-id.ts';
import { maxConfigBytes } from '../../core/config/scan.ts';
import { describeFailure, type Failure, toFailure } from '../../core/failure.ts';
import { objectKeys } from '../../core/object-keys.ts';
import { keys, type RunRow } from '../../core/run.ts';
import { functions } from '../../functions/registry.ts';
import type { StartOutput } from '../../functions/start.ts';
import { onInterrupt } from '../drive.ts';
import { formatMetric } from '../format.ts';
import { openHost } from '../host.ts';
import { watchFolder } from '../inbox.ts';
import { hasEnded } from '../look.ts';
import { type ExitCode, exitCodes, type Output } from '../output.ts';
import type { ServeOptions } from '../program.ts';
import { type Screen, showProgress } from '../progress.ts';
import { readResult } from '../result.ts';

export async function serve(options: ServeOptions, output: Output): Promise<ExitCode> {
  const host = await openHost(options.state);
  const followed = new Map<string, Promise<void>>();
  const ended: { runId: string; status: string }[] = [];

  /** Drives a run until its end, and says how it went. */
  function follow(runId: string, execution: string): void {
    if (followed.has(runId)) return;
    const following = (async () => {
      output.note(`${runId}  started`);
      const progress = await showProgress(host.cloud, runId, linesOf(runId, output));
      await host.wait(execution).finally(() => progress.stop());
      const run = (await host.cloud.table.get<RunRow>(runId, keys.run))?.value;
      if (run === undefined || hasEnded(run)) {
        const line = await outcome(host.cloud, runId, run);
        ended.push({ runId, status: run?.phase ?? 'refused' });
        output.note(`${runId}  ${line}`);
      }
      await host.give(runId);
    })();
    followed.set(
      runId,
      following
        .catch((error) => output.note(`${runId}  ${describeFailure(toFailure(error))}`))
        .finally(() => followed.delete(runId)),
    );
  }

  /** As the event tells it. The version of what is too large to be a config is of no use to anybody. */
  async function describeObject(key: string) {
    const { size } = statSync(host.cloud.objects.locate(key));
    if (size > maxConfigBytes) return { key, size };
    const stored = await host.cloud.objects.get(key);
    return stored === undefined ? undefined : { key, size: stored.body.length, 'version-id': stored.version };
  }

  async function dropped(key: string): Promise<void> {
    const object = await describeObject(key);
    if (object === undefined) return;
    const event = {
      source: 'aws.s3',
      'detail-type': 'Object Created',
      detail: { bucket: { name: embeddedBucket }, object },
    };
    const answer = (await functions.start(event, host.cloud)) as StartOutput;
    switch (answer.kind) {
      case 'ignored':
        return;
      case 'rejected':
        output.note(`${key}  refused: see ${host.cloud.objects.locate(`${key}.errors.txt`)}`);
        return;
      case 'exists':
        output.note(`${key}  is run ${answer.runId} already`);
        return resumeRun(answer.runId);
      case 'started':
        await host.take(answer.runId, 'serve');
        follow(answer.runId, answer.executionArn.slice(answer.executionArn.lastIndexOf(':') + 1));
    }
  }

  /** SV3. A run that has ended, or that another process drives, is left alone. */
  async function resumeRun(runId: string): Promise<void> {
    const run = (await host.cloud.table.get<RunRow>(runId, keys.run))?.value;
    if (followed.has(runId) || run === undefined || hasEnded(run)) return;
    try {
      await host.take(runId, 'serve');
    } catch (error) {
      output.note(`${runId}  ${describeFailure(toFailure(error))}`);
      return;
    }
    const execution = executionName(runId, run.attempt);
    await host.drive(execution, { configUri: objectKeys.config(runId), runId });
    follow(runId, execution);
  }

  const interruption = onInterrupt(output, 'what is unfinished goes on with the next serve');
  const folder = join(host.cloud.stateDir, 'bucket', 'configs');
  makeFolder(folder);
  const open = await host.cloud.table.query<OpenRow>(clusterPartition, clusterPrefixes.open);
  for (const { value } of open) await resumeRun(value.runId);

  const inbox = watchFolder(folder, async (name) => {
    try {
      await dropped(`configs/${name}`);
    } catch (error) {
      output.note(`configs/${name}  ${describeFailure(toFailure(error))}`);
    }
  });
  output.note(`Drop configs in ${folder}; Ctrl-C ends.`);
  try {
    if (options.once === true) {
      await inbox.settled();
      while (followed.size > 0) {
        await Promise.race([Promise.all(followed.values()), interruption.happened, host.gone]);
      }
    } else await Promise.race([interruption.happened, host.gone]);
  } finally {
    interruption.forget();
    inbox.close();
    await host.close();
    await Promise.all(followed.values());
  }
  output.document({ status: 'stopped', runs: ended });
  return exitCodes.done;
}

/** Many runs at once: plain lines, each with the run it is about. */
function linesOf(runId: string, output: Output): Screen {
  return {
    isTTY: false,
    columns: 0,
    rows: 0,
    write: (text) => {
      for (const line of text.split('\n')) if (line !== '') output.note(`${runId}  ${line}`);
    },
  };
}

async function outcome(cloud: Cloud, runId: string, run: RunRow | undefined): Promise<string> {
  if (run === undefined) return 'was refused by the workflow';
  const result = await readResult(cloud, runId);
  const why = result?.failure ? `: ${result.failure.message ?? describeFailure(result.failure as Failure)}` : '';
  const accuracy = result?.metrics.accuracy === undefined ? '' : `, accuracy ${formatMetric(result.metrics.accuracy)}`;
  return `${run.phase}${accuracy}${why}`;
}
