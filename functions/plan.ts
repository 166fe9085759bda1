/**
 * Resolves every number of the run, once: looks at the data and the model, makes the plan, keeps it with the run.
 *
 * Invariants
 *  PL1 The plan that was stored first is the plan: a resumed run, or a second call, goes on with the same numbers.
 *  PL2 Everything that a task needs is stored before Launch: the plan, the model's text, the secret of the wire.
 */
import { inspectData } from '../cloud/inspect-data.ts';
import { inspectModel } from '../cloud/inspect-model.ts';
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { parseConfig } from '../core/config/parse.ts';
import { digestOf } from '../core/config/run-id.ts';
import { CuttlefishError } from '../core/failure.ts';
import { objectKeys } from '../core/object-keys.ts';
import type { RunPlan } from '../core/plan.ts';
import { makePlan } from '../core/planning.ts';
import { within } from '../core/quotas.ts';
import { keys, type WireRow } from '../core/run.ts';
import type { PlanOutput, RunRef } from '../core/workflow.ts';
import { changeRun, findPlan, readPlan, readRun, unreadable } from './rows.ts';

const secretBytes = 32;

export async function plan({ runId }: RunRef, cloud: Cloud): Promise<PlanOutput> {
  const stored = (await findPlan(cloud, runId)) ?? (await storePlan(runId, cloud));
  const wire: WireRow = { secret: cloud.ids.hex(secretBytes) };
  await cloud.table.put(runId, keys.wire, wire, { absent: true });
  await changeRun(cloud, runId, (run) => ({
    phase: run.phase === 'submitted' ? 'planned' : run.phase,
    startedAtMs: run.startedAtMs ?? cloud.clock.now(),
  }));
  const { cluster, timing, price } = stored;
  await record(cloud, runId, 'run.planned', {
    by: 'plan',
    launch: cluster.launch,
    workers: cluster.worker.max,
    parameterServers: cluster.parameterServer.max,
    expectedUsd: price.expected.usd,
    worstCaseUsd: price.worstCaseUsd,
  });
  await cloud.notices.publish('cuttlefish.run.started', {
    runId,
    name: stored.name,
    launch: cluster.launch,
    workers: cluster.worker.max,
    worstCaseUsd: price.worstCaseUsd,
  });
  return {
    runId,
    usesScaling: cluster.ladder[0] === 'ec2' || cluster.ladder[0] === 'ec2-spot',
    watchHeartbeatSeconds: timing.watchHeartbeatSeconds,
    watchTimeoutSeconds: timing.watchTimeoutSeconds,
  };
}

async function storePlan(runId: string, cloud: Cloud): Promise<RunPlan> {
  const config = await cloud.objects.get(objectKeys.config(runId));
  if (config === undefined) {
    throw unreadable(objectKeys.config(runId), 'it is not there');
  }
  const run = await readRun(cloud, runId);
  const text = new TextDecoder().decode(config.body);
  const prepared = await preparePlan(text, run.configUri ?? 'config', runId, cloud);
  if (prepared.topology !== undefined) {
    await cloud.objects.put(objectKeys.topology(runId), prepared.topology, { absent: true });
  }
  await cloud.objects.put(objectKeys.plan(runId), `${JSON.stringify(prepared.plan, null, 2)}\n`, { absent: true });
  // Whoever was first has decided.
  return readPlan(cloud, runId);
}

/** The plan of a config, with nothing stored; also what the command line shows. Throws ConfigInvalid or DataInvalid. */
export async function preparePlan(
  text: string,
  source: string,
  runId: string,
  cloud: Pick<Cloud, 'datasets' | 'kind' | 'quotas'>,
): Promise<{ readonly plan: RunPlan; readonly topology?: string }> {
  const parsed = within(parseConfig(text, source), cloud.quotas, source);
  if (parsed.kind === 'invalid') throw new CuttlefishError({ kind: 'ConfigInvalid', source, issues: parsed.issues });
  const { config, positions } = parsed;
  const uri = config.network.model;
  const [data, inspected] = await Promise.all([
    inspectData(config.data, cloud.datasets),
    uri === undefined ? undefined : inspectModel(uri, cloud.datasets),
  ]);
  const planned = makePlan(config, {
    runId,
    configDigest: digestOf(text),
    ...data,
    ...(inspected === undefined ? {} : { model: { ...inspected.model, topologyKey: objectKeys.topology(runId) } }),
    world: cloud.kind,
    quotas: cloud.quotas,
    positions,
  });
  if (planned.kind === 'invalid') throw new CuttlefishError({ kind: 'ConfigInvalid', source, issues: planned.issues });
  return { plan: planned.plan, ...(inspected === undefined ? {} : { topology: inspected.text }) };
}
