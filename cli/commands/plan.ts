/**
 * `cuttlefish plan`: every number that follows from a config, and the price; starts and writes nothing. Planned is what
 * `cluster.launch` says; data on this machine stands in for the bucket it would lie in.
 */
import { availableParallelism } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { createDatasets } from '../../cloud/embedded/datasets.ts';
import type { Datasets } from '../../cloud/ports.ts';
import { applyOverrides, type Overrides } from '../../core/config/overrides.ts';
import { runIdFor } from '../../core/config/run-id.ts';
import type { Config } from '../../core/config/schema.ts';
import { describePlan } from '../../core/describe-plan.ts';
import type { RunPlan } from '../../core/plan.ts';
import { noQuotas } from '../../core/quotas.ts';
import { preparePlan } from '../../functions/plan.ts';
import { crowded, readConfig } from '../config.ts';
import { type ExitCode, exitCodes, type Output } from '../output.ts';
import { absoluteStateDir } from '../paths.ts';
import type { PlanOptions } from '../program.ts';

/** Put before the path of local data while it is planned for AWS, and taken away again. */
const standIn = 's3://this-machine';

export async function plan(path: string, options: PlanOptions, output: Output): Promise<ExitCode> {
  const { text, config, source } = readConfig(path, options, options.local === true ? 'local' : undefined);
  const datasets = createDatasets({ bucketFolder: join(absoluteStateDir(options.state), 'bucket') });
  const runId = runIdFor(config.name, text);
  const local = config.cluster.launch === 'local';
  const moved = local ? {} : standIns(config);
  const asOnAws = applyOverrides(text, moved);

  const prepared = await preparePlan(asOnAws, source, runId, {
    kind: local ? 'embedded' : 'aws',
    datasets: withStandIn(datasets),
    // A stage has some; which one it will be is not known here.
    quotas: noQuotas,
  });
  const planned = withoutStandIn(prepared.plan);
  output.document(planned);
  output.print(describePlan(planned));
  const warning = local ? crowded(config, availableParallelism()) : undefined;
  if (warning !== undefined) output.note(`\n${warning}`);
  if (Object.keys(moved).length > 0) {
    output.note('\nThe data was looked at on this machine; on AWS data.path has to be an s3:// prefix.');
  }
  return exitCodes.done;
}

/** What lies on this machine, as if it lay in a bucket. */
function standIns({ data }: Config): Overrides {
  const path = 'path' in data && isAbsolute(data.path) ? data.path : undefined;
  const testPath =
    'testPath' in data && data.testPath !== undefined && isAbsolute(data.testPath) ? data.testPath : undefined;
  return {
    ...(path === undefined ? {} : { dataPath: `${standIn}${path}` }),
    ...(testPath === undefined ? {} : { testPath: `${standIn}${testPath}` }),
  };
}

const strip = (uri: string) => (uri.startsWith(standIn) ? uri.slice(standIn.length) : uri);

function withStandIn(datasets: Datasets): Datasets {
  return {
    read: (uri, range) => datasets.read(strip(uri), range),
    list: (uri) => datasets.list(strip(uri)),
  };
}

function withoutStandIn(plan: RunPlan): RunPlan {
  const { data } = plan;
  if (!('path' in data)) return plan;
  const testPath = 'testPath' in data && data.testPath !== undefined ? { testPath: strip(data.testPath) } : {};
  return { ...plan, data: { ...data, path: strip(data.path), ...testPath } };
}
