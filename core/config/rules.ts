/**
 * What concerns several fields of a config at once, and needs no look at the data. Each rule takes the blocks it needs;
 * a block that
 * is not valid on its own is absent, and the rules that need it are left out. So are the rules that need a `doubtful`
 * field: one that was wrong and stands at its default, so that no follow-on problem is reported.
 */
import { fargateSizes, isFargateSize, nearestSizes } from '../fargate.ts';
import { lossProblems, resolveNetwork } from '../layers.ts';
import type { Path, Problem } from './positions.ts';
import type { Config } from './schema.ts';

export type Blocks = { readonly [K in keyof Config]: Config[K] | undefined };

/** Data sets whose shape is known without reading them. */
const knownShape = { inputShape: [28, 28, 1], outputs: 10, task: 'classification' } as const;

export function checkRules(blocks: Blocks, doubtful: ReadonlySet<string>): Problem[] {
  const sure = (...fields: readonly string[]) => !fields.some((field) => doubtful.has(field));
  const problems: Problem[] = [];
  const no = (path: Path, message: string, accepted?: string): void => {
    problems.push({ path, message, ...(accepted === undefined ? {} : { accepted }) });
  };
  const { data, network, training, cluster, checkpoint, placement, chaos, engine } = blocks;
  if (network && sure('network.layers', 'network.model')) networkRules(network, no);
  if (data && network?.layers?.[0]?.kind === 'embedding' && data.normalise.kind !== 'none') {
    const message = 'changes the numbers, but the first layer is an embedding, which takes whole numbers as they are';
    no(['data', 'normalise'], message, data.source === 'csv' ? '"none"' : 'another first layer');
  }
  if (training) trainingRules(training, sure('training.shards'), no);
  if (data && training && sure('data.task', 'training.loss')) taskRules(data, training, no);
  if (network?.layers && training && sure('training.loss')) {
    const known = data?.source === 'digits' || data?.source === 'mnist';
    const resolved = known ? resolveNetwork(network.layers, knownShape, training.loss) : undefined;
    if (resolved?.kind === 'invalid') problems.push(...resolved.problems);
    if (resolved === undefined) problems.push(...lossProblems(network.layers, training.loss));
  }
  if (cluster) clusterRules(cluster, no);
  if (training && cluster && sure('training.shards', 'cluster.workers')) shardRules(training, cluster, no);
  if (training && cluster && sure('training.shards')) threadRules(cluster.worker.threads ?? 1, training, engine, no);
  if (training?.mode === 'asynchronous' && cluster?.parameterServers === 0 && sure('cluster.parameterServers')) {
    const message = '"asynchronous" needs parameter servers, which own the parameters';
    no(['training', 'mode'], message, 'cluster.parameterServers from 1, best 2; or mode: synchronous');
  }
  if (checkpoint) {
    const { every, everySteps, everySeconds } = checkpoint;
    if (every !== undefined && everySteps !== undefined) {
      no(['checkpoint', 'every'], `"${every}" contradicts everySteps: ${everySteps}`, 'one of the two');
    }
    if (everySeconds !== undefined && (every ?? everySteps) !== undefined) {
      const other = every === undefined ? `everySteps: ${everySteps}` : `every: ${every}`;
      no(['checkpoint', 'everySeconds'], `"${everySeconds}" contradicts ${other}`, 'one of the two');
    }
    if (cluster?.launch.endsWith('-spot') && sure('cluster.launch') && checkpoint.every === 'never') {
      const message = `no checkpoints, but launch: ${cluster.launch} may lose all tasks at once`;
      no(['checkpoint', 'every'], message, '"epoch", or everySteps; or launch: fargate or ec2');
    }
  }
  if (placement !== undefined && placement !== 'replica') {
    no(['placement'], `"${placement}" is not available yet`, '"replica": each worker holds the whole network');
  }
  if (chaos && cluster && sure('cluster.workers', 'cluster.parameterServers')) chaosRules(chaos, cluster, no);
  return problems.filter(({ path }) => sure(path.slice(0, 2).join('.')));
}

type Report = (path: Path, message: string, accepted?: string) => void;

function networkRules(network: Config['network'], no: Report): void {
  if (network.layers === undefined && network.model === undefined) {
    no(['network'], 'has neither layers nor a model', 'layers: [...], or model: the URI of a model.json');
  }
  if (network.layers !== undefined && network.model !== undefined) {
    no(['network', 'model'], 'is given together with layers', 'layers or model, not both');
  }
  const names = (network.layers ?? []).map(({ name }) => name);
  for (const [i, name] of names.entries()) {
    if (name !== undefined && names.indexOf(name) < i) {
      no(['network', 'layers', i], `a second layer with the name "${name}"`, 'a name of its own, or none');
    }
  }
}

function trainingRules(training: Config['training'], knowsShards: boolean, no: Report): void {
  const { optimizer, schedule, shards, batchSize, learningRate } = training;
  if (!Number.isInteger(Math.log2(shards))) {
    const below = 2 ** Math.floor(Math.log2(shards));
    no(['training', 'shards'], `"${shards}" is not a power of two`, `${below} or ${below * 2}`);
  }
  if (knowsShards && batchSize < shards) {
    const message = `"${batchSize}" is smaller than training.shards, ${shards}: some shards would always be empty`;
    no(['training', 'batchSize'], message, `at least ${shards}, or fewer shards`);
  }
  if (optimizer.learningRate !== undefined && learningRate !== undefined) {
    no(['training', 'learningRate'], 'is given twice, here and in the optimizer', 'one of the two');
  }
  if (optimizer.kind === 'sgd' && optimizer.nesterov && optimizer.momentum === 0) {
    no(['training', 'optimizer', 'nesterov'], 'needs a momentum', 'e.g. momentum: 0.9');
  }
  const { clipNorm, clipValue } = optimizer;
  if (clipNorm !== undefined && clipValue !== undefined) {
    no(['training', 'optimizer', 'clipValue'], 'is given together with clipNorm', 'one of the two');
  }
  if (clipNorm !== undefined && training.mode === 'asynchronous') {
    const message = 'needs the whole gradient in one place, and in asynchronous mode each server has a part of it';
    no(['training', 'optimizer', 'clipNorm'], message, 'clipValue; or mode: synchronous');
  }
  if (training.compression !== 'none' && training.mode === 'asynchronous') {
    const message = `"${training.compression}" rounds sums over a batch, and asynchronous mode has none: each update is sent whole`;
    no(['training', 'compression'], message, '"none"; or mode: synchronous');
  }
  if (schedule.kind === 'piecewise') {
    const { boundariesEpochs, factors } = schedule;
    const extra = factors.length - boundariesEpochs.length;
    if (extra !== 0 && extra !== 1) {
      const message = `${factors.length} factors for ${boundariesEpochs.length} boundaries`;
      no(['training', 'schedule', 'factors'], message, 'a factor for each boundary, or one more');
    }
    if (boundariesEpochs.some((boundary, i) => i > 0 && boundary <= boundariesEpochs[i - 1]!)) {
      no(['training', 'schedule', 'boundariesEpochs'], 'are not ascending', 'e.g. [10, 20]');
    }
  }
}

function taskRules(data: Config['data'], training: Config['training'], no: Report): void {
  const regression = data.source === 'csv' && data.task === 'regression';
  if (regression && training.loss !== 'meanSquaredError') {
    no(['training', 'loss'], `"${training.loss}" needs classes, but data.task is regression`, '"meanSquaredError"');
    return;
  }
  if (training.loss !== 'meanSquaredError') return;
  const noAccuracy = 'accuracy is not defined for loss meanSquaredError';
  const metric = training.metrics?.indexOf('accuracy') ?? -1;
  if (metric >= 0) no(['training', 'metrics', metric], noAccuracy, '"loss"');
  for (const [i, rule] of training.stopWhen.entries()) {
    if (rule.metric === 'accuracy') no(['training', 'stopWhen', i, 'metric'], noAccuracy, '"loss"');
  }
}

function clusterRules(cluster: Config['cluster'], no: Report): void {
  const { min, max } = cluster.workers;
  if (min > max) no(['cluster', 'workers', 'min'], `"${min}" is more than workers.max, ${max}`, `1 to ${max}`);
  for (const role of ['worker', 'parameterServer'] as const) {
    const { cpu, memoryMiB } = cluster[role];
    if (cpu !== undefined && !fargateSizes.has(cpu)) {
      no(['cluster', role, 'cpu'], `Fargate has no task with cpu ${cpu}`, nearestSizes({ cpu }));
    } else if (cpu !== undefined && memoryMiB !== undefined && !isFargateSize({ cpu, memoryMiB })) {
      const message = `Fargate has no task with cpu ${cpu} and memoryMiB ${memoryMiB}`;
      no(['cluster', role, 'memoryMiB'], message, nearestSizes({ cpu, memoryMiB }));
    } else if (memoryMiB !== undefined && ![...fargateSizes.values()].some((sizes) => sizes.includes(memoryMiB))) {
      no(
        ['cluster', role, 'memoryMiB'],
        `Fargate has no task with memoryMiB ${memoryMiB}`,
        nearestSizes({ memoryMiB }),
      );
    }
  }
}

function shardRules(training: Config['training'], cluster: Config['cluster'], no: Report): void {
  const { max } = cluster.workers;
  if (training.shards >= max) return;
  const enough = 2 ** Math.ceil(Math.log2(max));
  const message = `"${training.shards}" is less than workers.max, ${max}: some workers would have nothing to do`;
  no(['training', 'shards'], message, `at least ${enough}, or at most ${training.shards} worker(s)`);
}

function threadRules(threads: number, { shards }: Config['training'], engine: Blocks['engine'], no: Report): void {
  const path = ['cluster', 'worker', 'threads'];
  if (engine === 'tensorflow' && threads > 1) {
    no(path, `"${threads}" is more than engine: tensorflow computes in`, '1; or another engine');
  } else if (threads > shards) {
    const message = `"${threads}" is more than training.shards, ${shards}: some threads would have nothing to do`;
    no(path, message, `1 to ${shards}, or more shards`);
  }
}

function chaosRules(chaos: Config['chaos'], cluster: Config['cluster'], no: Report): void {
  const counts = { worker: cluster.workers.max, 'parameter-server': cluster.parameterServers };
  for (const [i, { target }] of chaos.entries()) {
    if (target.kind !== 'worker' && target.kind !== 'parameter-server') continue;
    const count = counts[target.kind];
    if (target.index < count) continue;
    const accepted = count === 0 ? `there is no ${target.kind}` : `${target.kind} 0 to ${count - 1}`;
    no(['chaos', i], `there is no ${target.kind} ${target.index}`, accepted);
  }
}
