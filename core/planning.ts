/**
 * From a config and what was found out about its data to the run plan, with every number resolved. Pure: whoever calls
 * it has looked at the data, the model and the world, and says so in PlanFacts.
 *
 * Invariants
 *  L1  The same config and facts give the same plan.
 *  L2  All problems that only the data can show are reported at once, with positions where the facts have them.
 *  L3  A plan that is made can be run: sizes exist, memory fits, shapes fit, the history stays below its limit.
 */
import { planCheckpoint } from './checkpoint-plan.ts';
import type { LayerConfig } from './config/layers.ts';
import { locate, noPositions, type Positions, type Problem, sortIssues } from './config/positions.ts';
import type { Config } from './config/schema.ts';
import { expectationOf } from './expectation.ts';
import type { Issue } from './failure.ts';
import { boundHistory } from './history.ts';
import { lossProblems, resolveNetwork, shapeText } from './layers.ts';
import type { MemoryInput } from './memory.ts';
import type {
  ClusterPlan,
  DataPlan,
  DataShape,
  IdxFiles,
  LaunchKind,
  LayerPlan,
  NetworkPlan,
  RunPlan,
  TrainingPlan,
} from './plan.ts';
import { priceOf } from './price.ts';
import { allowedGrowth, allowedLadder, noQuotas, type Quotas, vcpuProblems } from './quotas.ts';
import { cpuOf, planRole } from './sizing.ts';
import { planThreads } from './threads.ts';
import { timingOf } from './timing.ts';

export interface PlanFacts {
  readonly runId: string;
  readonly configDigest: string;
  readonly shape: DataShape;
  /** For data.source mnist and idx. */
  readonly files?: IdxFiles;
  /** For data.source csv. */
  readonly csv?: {
    readonly columns: number;
    readonly labelColumn: number;
    readonly classNames: readonly string[];
  };
  /** For network.model. */
  readonly model?: {
    readonly inputShape: readonly number[];
    readonly outputShape: readonly number[];
    readonly parameters: number;
    readonly stateParameters: number;
    readonly topologyKey: string;
    /** As parseTopology reads them: the loss is then checked against the last one. */
    readonly layers?: readonly LayerPlan[];
  };
  readonly world: 'embedded' | 'aws';
  /** Those that `within` has held the config to; here they bound what follows from it. */
  readonly quotas?: Quotas;
  /** From parseConfig, when the config came from text. */
  readonly positions?: Positions;
}

export type Planned =
  | { readonly kind: 'planned'; readonly plan: RunPlan }
  | { readonly kind: 'invalid'; readonly issues: readonly Issue[] };

const second = 1000;
const minute = 60 * second;

export function makePlan(config: Config, facts: PlanFacts): Planned {
  const problems: Problem[] = worldProblems(config, facts);
  const data = planData(config, facts, problems);
  const network = planNetwork(config, facts, problems);
  const training = planTraining(config, facts.shape, problems);
  problems.push(...driftProblems(config, facts));
  if (data === undefined || network === undefined) return invalid(problems, facts);

  const memory: MemoryInput = {
    network,
    training,
    data,
    shape: facts.shape,
    workers: config.cluster.workers.max,
    parameterServers: config.cluster.parameterServers,
    threads: 1,
  };
  const cluster = planCluster(config, facts, memory, problems);
  if (cluster === undefined) return invalid(problems, facts);
  const timing = timingOf(facts.world, training.mode, config.recovery.hungAfter);
  const { maxRecoveries, maxLaunches } = config.recovery;
  const { maxDuration, maxCostUsd } = config.limits;
  const rolePlans = [cluster.worker, cluster.parameterServer];
  const groups = rolePlans.map(({ max, cpu, memoryMiB }) => ({ count: max, cpu, memoryMiB }));
  const grown = rolePlans.map(({ max, cpu, memoryMiB, growth }) => ({
    count: max,
    ...(growth.at(-1) ?? { cpu, memoryMiB }),
  }));
  const bound = boundHistory({
    epochs: training.epochs,
    tasks: cluster.worker.max + cluster.parameterServer.max,
    maxRecoveries,
    maxLaunches,
    maxDurationMs: maxDuration,
    startDeadlineMs: cluster.startDeadlineMs,
    holdDeadlineMs: cluster.holdDeadlineMs,
    ...timing,
  });
  if (bound.kind === 'too-long') {
    problems.push({
      path: ['recovery'],
      message: `these budgets may need ${bound.otherTurns} turns of the workflow, its history has room for ${bound.turnsLeft}`,
      accepted: 'smaller maxRecoveries and maxLaunches, or a shorter cluster.holdDeadline or limits.maxDuration',
    });
    return invalid(problems, facts);
  }
  const price = priceOf({
    ladder: cluster.ladder,
    groups,
    grown,
    maxDurationMs: maxDuration,
    maxCostUsd,
    transitions: bound.transitions,
  });
  const { history } = bound;
  const expected = expectationOf({ network, training, cluster, history, groups, maxDurationMs: maxDuration });
  if (maxCostUsd !== undefined && maxCostUsd * 60 < price.usdPerHour) {
    const message = `"${maxCostUsd}" would be spent within a minute, at $${price.usdPerHour.toFixed(2)} an hour`;
    problems.push({ path: ['limits', 'maxCostUsd'], message, accepted: 'more, or fewer or smaller tasks' });
  }
  if (problems.length > 0) return invalid(problems, facts);

  const plan: RunPlan = {
    schema: 1,
    runId: facts.runId,
    name: config.name,
    seed: config.seed,
    configDigest: facts.configDigest,
    data,
    shape: facts.shape,
    normalisation: config.data.normalise,
    network,
    training,
    placement: 'replica',
    cluster,
    timing,
    checkpoint: planCheckpoint(config, network, training, cluster.launch),
    recovery: { maxRecoveries, maxLaunches },
    limits: { maxDurationMs: maxDuration, ...(maxCostUsd === undefined ? {} : { maxCostUsd }) },
    chaos: config.chaos,
    engine: { wanted: config.engine },
    price: { ...price, expected },
    history,
  };
  return { kind: 'planned', plan };
}

function invalid(problems: readonly Problem[], facts: PlanFacts): Planned {
  return { kind: 'invalid', issues: sortIssues(locate(problems, facts.positions ?? noPositions)) };
}

function worldProblems(config: Config, { world }: PlanFacts): Problem[] {
  const problems: Problem[] = [];
  if (world === 'embedded') return problems;
  if (config.cluster.launch === 'local') {
    const accepted = '"fargate", "fargate-spot", "ec2" or "ec2-spot"';
    problems.push({ path: ['cluster', 'launch'], message: '"local" is for a laptop, not for AWS', accepted });
  }
  const uris = { path: 'path' in config.data ? config.data.path : undefined, testPath: testPathOf(config) };
  for (const [field, uri] of Object.entries(uris)) {
    if (uri === undefined || uri.startsWith('s3://')) continue;
    problems.push({ path: ['data', field], message: `"${uri}" cannot be reached from AWS`, accepted: 'an s3:// URI' });
  }
  return problems;
}

/**
 * In asynchronous mode the moving statistics of batch normalisation are followed with a delay of up to `maxStaleness`
 * updates. Such a loop swings ever wider when its gain, 1 - momentum, is above 2 sin(pi / (4 d + 2)) for a delay of d.
 */
function driftProblems({ training, network }: Config, { model }: PlanFacts): Problem[] {
  const { mode, maxStaleness } = training;
  if (mode === 'synchronous') return [];
  const least = 1 - 2 * Math.sin(Math.PI / (4 * maxStaleness + 2));
  const layers: readonly (LayerPlan | LayerConfig)[] = network.layers ?? model?.layers ?? [];
  return layers.flatMap((layer, i) => {
    if (layer.kind !== 'batchNormalization' || layer.momentum > least) return [];
    const message = `a momentum of ${layer.momentum} does not settle when updates are ${maxStaleness} steps late`;
    const path = network.layers === undefined ? ['network', 'model'] : ['network', 'layers', i];
    return [{ path, message, accepted: `more than ${least.toFixed(3)}, or a smaller training.maxStaleness` }];
  });
}

function testPathOf({ data }: Config): string | undefined {
  return data.source === 'csv' ? data.testPath : undefined;
}

function planData(config: Config, facts: PlanFacts, problems: Problem[]): DataPlan | undefined {
  const { data } = config;
  switch (data.source) {
    case 'digits': {
      const { samples, testSamples, noise } = data;
      return { source: 'digits', samples, testSamples, noise, seed: data.seed ?? config.seed };
    }
    case 'mnist':
    case 'idx': {
      const { files, shape } = facts;
      if (files) return { source: 'idx', dialect: data.source, path: data.path, files, classes: shape.outputs };
      break;
    }
    case 'csv': {
      const { path, testPath, header, delimiter, task } = data;
      const test = testPath === undefined ? {} : { testPath };
      if (facts.csv) return { source: 'csv', path, ...test, header, delimiter, task, ...facts.csv };
    }
  }
  problems.push({ path: ['data'], message: `nothing is known about the files of this ${data.source} data set` });
  return undefined;
}

function planNetwork(config: Config, facts: PlanFacts, problems: Problem[]): NetworkPlan | undefined {
  const { shape, model } = facts;
  const { layers, model: uri } = config.network;
  if (layers !== undefined) {
    const resolved = resolveNetwork(layers, shape, config.training.loss);
    if (resolved.kind === 'resolved') return resolved.network;
    problems.push(...resolved.problems);
    return undefined;
  }
  const path = ['network', 'model'];
  if (uri === undefined || model === undefined) {
    problems.push({ path, message: `nothing is known about the model ${uri ?? ''}` });
    return undefined;
  }
  if (shapeText(model.inputShape) !== shapeText(shape.inputShape)) {
    const message = `the model takes ${shapeText(model.inputShape)}, the data are ${shapeText(shape.inputShape)}`;
    problems.push({ path, message, accepted: `a model with input shape ${shapeText(shape.inputShape)}` });
  }
  if (model.outputShape.length !== 1 || model.outputShape[0] !== shape.outputs) {
    const message = `the model gives ${shapeText(model.outputShape)}, the data need ${shape.outputs} output(s)`;
    problems.push({ path, message, accepted: `a model with ${shape.outputs} output(s)` });
  }
  const { layers: read, ...rest } = model;
  for (const { message, accepted } of lossProblems(read ?? [], config.training.loss)) {
    problems.push({ path, message, ...(accepted === undefined ? {} : { accepted }) });
  }
  return { kind: 'model', uri, ...rest };
}

function planTraining(config: Config, shape: DataShape, problems: Problem[]): TrainingPlan {
  const { pace, optimizer: written, learningRate: rate, metrics, ...rest } = config.training;
  const { learningRate: ownRate, ...optimizer } = written;
  if (rest.batchSize > shape.trainSamples) {
    const message = `"${rest.batchSize}" is more than the ${shape.trainSamples} training samples`;
    problems.push({ path: ['training', 'batchSize'], message, accepted: `at most ${shape.trainSamples}` });
  }
  if (shape.validationSamples + shape.testSamples === 0) {
    const message = 'there are no samples to measure the metrics on';
    problems.push({ path: ['data', 'validationSplit'], message, accepted: 'more than 0, or a test set' });
  }
  const stepsPerEpoch = Math.max(1, Math.ceil(shape.trainSamples / rest.batchSize));
  const hasAccuracy = rest.loss !== 'meanSquaredError' && shape.task === 'classification';
  return {
    ...rest,
    optimizer,
    learningRate: ownRate ?? rate ?? (optimizer.kind === 'sgd' ? 0.01 : 0.001),
    metrics: metrics ?? (hasAccuracy ? ['accuracy', 'loss'] : ['loss']),
    stopWhen: rest.stopWhen.map(({ metric, reaches, patience, minDelta }) => ({
      metric,
      minDelta,
      ...(reaches === undefined ? {} : { reaches }),
      ...(patience === undefined ? {} : { patience }),
    })),
    stepsPerEpoch,
    totalSteps: stepsPerEpoch * rest.epochs,
    paceMs: pace,
  };
}

function planCluster(
  config: Config,
  { world, quotas = noQuotas }: PlanFacts,
  withOneThread: MemoryInput,
  problems: Problem[],
): ClusterPlan | undefined {
  const { workers, parameterServers, fallback, startDeadline, holdDeadline } = config.cluster;
  const launch: LaunchKind = world === 'embedded' ? 'local' : config.cluster.launch;
  const onDemand = { 'fargate-spot': 'fargate', 'ec2-spot': 'ec2' } as const;
  const spot = launch === 'fargate-spot' || launch === 'ec2-spot';
  const { onWorkerLoss, onParameterServerLoss } = config.recovery;
  const isLocal = launch === 'local';
  const threads = planThreads({
    wanted: config.cluster.worker.threads,
    cpu: cpuOf(config.cluster.worker, withOneThread),
    shards: Math.ceil(withOneThread.training.shards / workers.min),
    isLocal,
    isTensorflow: config.engine === 'tensorflow',
  });
  const memory = { ...withOneThread, threads: threads.count };
  // A laptop sets its tasks no limit that more could be granted of.
  const grows = !isLocal;
  const worker = planRole(
    'worker',
    { ...workers, onLoss: onWorkerLoss },
    config.cluster.worker,
    memory,
    grows,
    problems,
  );
  const parameterServer = planRole(
    'parameter-server',
    { min: parameterServers, max: parameterServers, onLoss: onParameterServerLoss },
    config.cluster.parameterServer,
    memory,
    grows,
    problems,
  );
  if (worker === undefined || parameterServer === undefined) return undefined;
  problems.push(...vcpuProblems([worker, parameterServer], quotas));
  const startMs = isLocal ? 20 * second : launch.startsWith('ec2') ? 20 * minute : 5 * minute;
  return {
    launch,
    ladder: allowedLadder(spot && fallback === 'on-demand' ? [launch, onDemand[launch]] : [launch], quotas),
    worker: { ...worker, growth: allowedGrowth(worker, parameterServer, quotas) },
    parameterServer: { ...parameterServer, growth: allowedGrowth(parameterServer, worker, quotas) },
    threads,
    startDeadlineMs: startDeadline ?? startMs,
    holdDeadlineMs: holdDeadline ?? (isLocal ? minute : 15 * minute),
  };
}
