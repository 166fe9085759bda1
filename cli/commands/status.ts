/** `cuttlefish status`: the runs of a state folder, or one of them in detail. Reads only. */

import { existsSync } from 'node:fs';
import type { EmbeddedWorld } from '../../cloud/embedded/world.ts';
import { describeFailure } from '../../core/failure.ts';
import { formatCount } from '../../core/format-count.ts';
import { objectKeys } from '../../core/object-keys.ts';
import type { RunResult } from '../../core/result.ts';
import { type CheckpointIndex, keys, type ProgressRow, type RunRow } from '../../core/run.ts';
import { formatBytes, formatMetric, formatSpan, formatTable } from '../format.ts';
import { type Driver, driverOf, hasEnded, look, phaseInWords } from '../look.ts';
import { type ExitCode, exitCodes, type Output } from '../output.ts';
import { absoluteStateDir, commandFor } from '../paths.ts';
import type { CommonOptions } from '../program.ts';
import { observe } from '../progress.ts';
import { readResult } from '../result.ts';
import { findRun, listRuns } from '../runs.ts';
import { epochLine, eventLines, taskLines } from '../view.ts';

export async function status(given: string | undefined, options: CommonOptions, output: Output): Promise<ExitCode> {
  if (given === undefined && !existsSync(absoluteStateDir(options.state))) return showList([], output);
  const world = await look(options.state);
  if (given !== undefined) return showOne(world, await findRun(world, given, world.stateDir), output);
  const runs = await listRuns(world);
  return showList(await Promise.all(runs.map((run) => summarise(world, run))), output);
}

interface Listed {
  readonly run: RunRow;
  readonly driver: Driver | undefined;
  readonly step: number | undefined;
  readonly result: RunResult | undefined;
}

async function summarise(world: EmbeddedWorld, run: RunRow): Promise<Listed> {
  const [driver, progress, result] = await Promise.all([
    driverOf(world, run.runId),
    world.table.get<ProgressRow>(run.runId, keys.progress),
    hasEnded(run) ? readResult(world, run.runId) : undefined,
  ]);
  return { run, driver, step: result?.steps ?? progress?.value.step, result };
}

function showList(listed: readonly Listed[], output: Output): ExitCode {
  output.document({
    runs: listed.map(({ run, driver, step, result }) => ({
      runId: run.runId,
      name: run.name,
      phase: run.phase,
      driver: driver ?? null,
      step: step ?? 0,
      metrics: result?.metrics ?? null,
      submittedAtMs: run.submittedAtMs,
      endedAtMs: run.endedAtMs ?? null,
    })),
  });
  if (listed.length === 0) {
    output.print('No runs yet. Start one with: cuttlefish train configs/digits.yaml');
    return exitCodes.done;
  }
  output.print(
    formatTable([
      ['run', 'phase', 'step', 'accuracy', 'loss', 'submitted'],
      ...listed.map(({ run, driver, step, result }) => [
        run.runId,
        phaseInWords(run.phase, driver),
        step === undefined ? '-' : formatCount(step),
        formatMetric(result?.metrics.accuracy),
        formatMetric(result?.metrics.loss),
        new Date(run.submittedAtMs).toISOString().slice(0, 19).replace('T', ' '),
      ]),
    ]),
  );
  return exitCodes.done;
}

async function showOne(world: EmbeddedWorld, run: RunRow, output: Output): Promise<ExitCode> {
  const [driver, view, checkpoints, result] = await Promise.all([
    driverOf(world, run.runId),
    observe(world, run.runId, undefined),
    world.table.get<CheckpointIndex>(run.runId, keys.checkpoints),
    hasEnded(run) ? readResult(world, run.runId) : undefined,
  ]);
  const checkpoint = checkpoints?.value.manifests?.[0];
  output.document({
    ...run,
    driver: driver ?? null,
    progress: view.progress ?? null,
    epochs: view.epochs,
    tasks: view.tasks,
    checkpoint: checkpoint ?? null,
    result: result ?? null,
    folder: world.objects.locate(`runs/${run.runId}`),
  });

  const facts: [string, string][] = [['run', run.runId]];
  facts.push(['phase', phaseInWords(run.phase, driver)]);
  if (driver) facts.push(['driven by', `process ${driver.pid}`]);
  if (run.decision) facts.push(['decision', `${run.decision.action}: ${run.decision.why}`]);
  if (run.failure) facts.push(['failure', describeFailure(run.failure)]);
  if (view.plan) {
    const { epochs, totalSteps } = view.plan.training;
    const step = result?.steps ?? view.progress?.step ?? 0;
    facts.push(['progress', `step ${formatCount(step)} of ${formatCount(totalSteps)}, ${epochs} epochs`]);
  }
  if (checkpoint) {
    const bytes = checkpoint.parts.reduce((sum, part) => sum + part.bytes, 0);
    facts.push(['checkpoint', `step ${checkpoint.step}, ${formatBytes(bytes)}, in the ${checkpoint.store}`]);
  }
  facts.push(['recoveries', String(result?.recoveries ?? run.recoveries)]);
  if (run.endedAtMs !== undefined) {
    facts.push(['took', formatSpan(run.endedAtMs - (run.startedAtMs ?? run.submittedAtMs))]);
  }
  facts.push(['folder', world.objects.locate(objectKeys.result(run.runId)).replace(/\/result\.json$/, '')]);
  output.print(formatTable(facts));

  const sections: [string, readonly string[]][] = [
    ['tasks', hasEnded(run) || !driver ? [] : taskLines(view)],
    ['epochs', view.epochs.slice(-10).map((epoch) => epochLine(fromStart(view, run), epoch))],
    ['events', eventLines(fromStart(view, run)).slice(-10)],
  ];
  for (const [title, lines] of sections) {
    if (lines.length > 0) output.print(`\n${title}\n${lines.map((line) => `  ${line}`).join('\n')}`);
  }
  if (!hasEnded(run) && !driver) output.print(`\nContinue it with: ${commandFor('resume', run.runId, world.stateDir)}`);
  return exitCodes.done;
}

/** Times count from the submission of the run, not from when somebody looked. */
function fromStart<V extends { readonly sinceMs: number }>(view: V, run: RunRow): V {
  return { ...view, sinceMs: run.submittedAtMs };
}
