/** The plan as a person reads it before spending anything: `cuttlefish plan`, and the report. Plain text, no colours. */
import { formatDuration } from './config/duration.ts';
import { formatCount } from './format-count.ts';
import { hardLimitEvents } from './history.ts';
import { addedFlatten, shapeText } from './layers.ts';
import { memoryParts } from './memory.ts';
import { inferNetwork } from './network.ts';
import type { ChaosPlan, DataPlan, LayerPlan, Normalisation, RolePlan, RunPlan, SchedulePlan } from './plan.ts';
import { hourUsd, priceTable } from './price.ts';

type Rows = readonly (readonly string[])[];

export function describePlan(plan: RunPlan): string {
  return [
    `run ${plan.runId}`,
    section('Data', dataRows(plan)),
    section('Network', networkRows(plan)),
    section('Training', trainingRows(plan)),
    section('Tasks', taskRows(plan)),
    section('Memory', memoryRows(plan)),
    section('Elasticity', elasticityRows(plan)),
    section('Limits', limitRows(plan)),
    section('Price', priceRows(plan)),
    ...(plan.chaos.length === 0
      ? []
      : [
          section(
            'Chaos',
            plan.chaos.map((chaos) => [describeChaos(chaos)]),
          ),
        ]),
  ].join('\n\n');
}

function dataRows({ data, shape, normalisation }: RunPlan): Rows {
  const held = shape.testSamples > 0 ? `${formatCount(shape.testSamples)} test` : 'no test set';
  const validation = shape.validationSamples > 0 ? `, ${formatCount(shape.validationSamples)} validation` : '';
  const targets = shape.task === 'classification' ? `${shape.outputs} classes` : `${shape.outputs} number(s)`;
  return [
    ['source', describeData(data)],
    ['sample', `${shapeText(shape.inputShape)} -> ${targets}`],
    ['samples', `${formatCount(shape.trainSamples)} training${validation}, ${held}`],
    ['normalisation', describeNormalisation(normalisation)],
  ];
}

function describeData(data: DataPlan): string {
  if (data.source === 'digits') return `digits, drawn with seed ${data.seed}, noise ${data.noise}`;
  return `${data.source === 'idx' ? data.dialect : 'csv'} from ${data.path}`;
}

function describeNormalisation(normalisation: Normalisation): string {
  if (normalisation.kind !== 'scale') return normalisation.kind;
  const { scale, offset } = normalisation;
  return `x * ${Number(scale.toPrecision(6))}${offset === 0 ? '' : ` + ${offset}`}`;
}

function networkRows({ network }: RunPlan): Rows {
  const total = [
    [
      '',
      'parameters',
      `${formatCount(network.parameters)} trained, ${formatCount(network.stateParameters)} moving statistics`,
    ],
  ];
  if (network.kind === 'model') {
    const shapes = `${shapeText(network.inputShape)} -> ${shapeText(network.outputShape)}`;
    return [['', 'model', network.uri], ['', 'shape', shapes], ...total];
  }
  const shape = inferNetwork(network.inputShape, network.layers);
  const rows = network.layers.map((layer, i) => [
    `${i + 1}`,
    layer.name,
    shape.kind === 'network' ? shapeText(shape.shapes[i]!) : '',
    describeLayer(layer, network.inputShape),
  ]);
  return [...rows, ...total];
}

function describeLayer(layer: LayerPlan, inputShape: readonly number[]): string {
  switch (layer.kind) {
    case 'dense':
      return layer.activation;
    case 'conv2d':
      return `kernel ${shapeText(layer.kernelSize)}, strides ${shapeText(layer.strides)}, ${layer.padding}, ${layer.activation}`;
    case 'maxPooling2d':
    case 'averagePooling2d':
      return `window ${shapeText(layer.poolSize)}, strides ${shapeText(layer.strides)}, ${layer.padding}`;
    case 'embedding':
      return `${layer.inputDim} rows of ${layer.outputDim}`;
    case 'globalMaxPooling2d':
    case 'globalAveragePooling2d':
    case 'reshape':
      return '';
    case 'flatten':
      return layer.name.startsWith(addedFlatten) ? `added: the samples are ${shapeText(inputShape)}` : '';
    case 'dropout':
      return `rate ${layer.rate}`;
    case 'batchNormalization':
      return `momentum ${layer.momentum}, epsilon ${layer.epsilon}`;
    case 'activation':
      return layer.activation;
  }
}

function trainingRows({ training, seed, engine }: RunPlan): Rows {
  const { optimizer, stopWhen } = training;
  const { kind, ...settings } = optimizer;
  const options = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
  const stops = stopWhen.map(({ metric, reaches, patience }) =>
    [
      metric,
      ...(reaches === undefined ? [] : [`reaches ${reaches}`]),
      ...(patience === undefined ? [] : [`has not improved for ${patience} epoch(s)`]),
    ].join(' '),
  );
  const warmup = training.warmupSteps > 0 ? `, warm-up over ${training.warmupSteps} steps` : '';
  return [
    ['mode', training.mode],
    ['compression', training.compression],
    [
      'epochs',
      `${formatCount(training.epochs)} of ${formatCount(training.stepsPerEpoch)} steps, ${formatCount(training.totalSteps)} in all`,
    ],
    ['batch', `${formatCount(training.batchSize)} samples in ${training.shards} logical shards`],
    ['loss', training.loss],
    ['optimizer', [kind, ...options].join(', ')],
    ['learning rate', `${training.learningRate}, ${describeSchedule(training.schedule)}${warmup}`],
    ['metrics', training.metrics.join(', ')],
    ...(stops.length === 0 ? [] : [['stops when', stops.join('; or ')]]),
    ...(training.paceMs === 0 ? [] : [['pace', `${formatDuration(training.paceMs)} idle after each step`]]),
    ['seed', `${seed}`],
    ['engine', engine.wanted],
  ];
}

function describeSchedule(schedule: SchedulePlan): string {
  switch (schedule.kind) {
    case 'constant':
      return 'constant';
    case 'step':
      return `times ${schedule.factor} every ${schedule.everyEpochs} epoch(s)`;
    case 'exponential':
      return `times ${schedule.decayPerEpoch} an epoch`;
    case 'cosine':
      return `cosine down to ${schedule.finalFactor}`;
    case 'piecewise':
      return `times ${schedule.factors.join(', ')} at epochs ${schedule.boundariesEpochs.join(', ')}`;
  }
}

function rolesOf({ cluster }: RunPlan): RolePlan[] {
  return [cluster.worker, cluster.parameterServer].filter(({ max }) => max > 0);
}

function taskRows(plan: RunPlan): Rows {
  const { threads } = plan.cluster;
  return [
    ['role', 'count', 'vCPU', 'memory', 'needs', 'when lost'],
    ...rolesOf(plan).map(({ role, min, max, cpu, memoryMiB, memoryNeededMiB, onLoss }) => [
      role,
      min === max ? `${max}` : `${min} to ${max}`,
      `${cpu / 1024}`,
      `${formatCount(memoryMiB)} MiB`,
      `${formatCount(memoryNeededMiB)} MiB (${Math.round((100 * memoryNeededMiB) / memoryMiB)} %)`,
      onLoss,
    ]),
    ['', `each worker computes in ${threads.count} thread(s): ${threads.why}`],
    ...rolesOf(plan)
      .filter(({ growth }) => growth.length > 0)
      .map(({ role, growth }) => [
        '',
        `a ${role} that runs out of memory is replaced by one with ${growth.map(({ memoryMiB }) => `${formatCount(memoryMiB)} MiB`).join(', then ')}`,
      ]),
  ];
}

function memoryRows(plan: RunPlan): Rows {
  const input = {
    ...plan,
    workers: plan.cluster.worker.max,
    parameterServers: plan.cluster.parameterServer.max,
    threads: plan.cluster.threads.count,
  };
  return rolesOf(plan).flatMap(({ role }) =>
    memoryParts(role, input).map(({ what, bytes }, i) => [i === 0 ? role : '', what, formatBytes(bytes)]),
  );
}

function elasticityRows({ cluster, timing, checkpoint, recovery }: RunPlan): Rows {
  const cadence = cadenceText(checkpoint);
  const where = checkpoint.store === 'table' ? 'in the table' : 'in the bucket, manifest in the table';
  return [
    ['launch', cluster.ladder.join(', then ')],
    ['start deadline', formatDuration(cluster.startDeadlineMs)],
    ['hold deadline', `${formatDuration(cluster.holdDeadlineMs)} below ${cluster.worker.min} worker(s)`],
    [
      'hung after',
      `${formatDuration(timing.memberTimeoutMs)} without a word, heartbeat every ${formatDuration(timing.heartbeatIntervalMs)}`,
    ],
    ['leader lease', formatDuration(timing.leaseDurationMs)],
    ['checkpoints', `${cadence}, ${formatBytes(checkpoint.bytes)} each, ${checkpoint.keep} kept, ${where}`],
    ['recoveries', `at most ${recovery.maxRecoveries}`],
    ['launches', `at most ${recovery.maxLaunches}`],
  ];
}

function cadenceText({ everySteps, cadence }: RunPlan['checkpoint']): string {
  if (everySteps === 0) return 'none';
  switch (cadence.kind) {
    case 'steps':
      return `every ${formatCount(everySteps)} steps and at epoch ends`;
    case 'time':
      return `every ${formatDuration(cadence.everyMs)}`;
    case 'share': {
      const bounds = `every ${formatDuration(cadence.leastMs)} to ${formatDuration(cadence.mostMs)}`;
      return `at epoch ends and ${bounds}, for ${cadence.most * 100} % of the time`;
    }
    case 'auto':
      return `as often as pays (a loss every ${formatDuration(cadence.assumedMtbfMs)} assumed at first)`;
  }
}

function limitRows({ limits, history, timing }: RunPlan): Rows {
  const turn = history.epochsPerTurn === 1 ? 'one epoch' : `${history.epochsPerTurn} epochs`;
  const bound = `at most ${formatCount(history.worstCaseEvents)} events of ${formatCount(hardLimitEvents)}`;
  return [
    ['duration', `at most ${formatDuration(limits.maxDurationMs)}`],
    ['cost', limits.maxCostUsd === undefined ? 'no cap' : `at most $${limits.maxCostUsd}`],
    ['history', `${bound}, ${formatCount(history.maxTurns)} turns of ${turn}`],
    ['watch', `heartbeat ${timing.watchHeartbeatSeconds}s, timeout ${timing.watchTimeoutSeconds}s`],
  ];
}

function priceRows(plan: RunPlan): Rows {
  const { price, cluster, limits } = plan;
  if (cluster.launch === 'local') return [['on this machine', '$0']];
  const groups = rolesOf(plan).map(({ max, cpu, memoryMiB }) => ({ count: max, cpu, memoryMiB }));
  const capped = limits.maxCostUsd !== undefined && price.worstCaseUsd > limits.maxCostUsd;
  const worst = capped ? 'the cap and a minute to stop' : `${formatDuration(limits.maxDurationMs)} with all tasks`;
  return [
    ...cluster.ladder.map((launch) => [`${launch}`, `$${hourUsd(launch, groups).toFixed(4)} an hour with all tasks`]),
    [
      'workflow',
      `$${(price.transitions * priceTable.transitionUsd).toFixed(4)} for at most ${formatCount(price.transitions)} transitions`,
    ],
    [
      'expected',
      `$${price.expected.usd.toFixed(4)}, about ${aboutMinutes(price.expected.durationMs)}, when nothing happens`,
    ],
    ['worst case', `$${price.worstCaseUsd.toFixed(2)} (${worst})`],
    ['prices', `${priceTable.region}, of ${price.asOf}; Spot and EC2 are estimates`],
  ];
}

function aboutMinutes(ms: number): string {
  return formatDuration(Math.max(1, Math.round(ms / 60_000)) * 60_000);
}

export function describeChaos({ action, target, atStep, forMs }: ChaosPlan): string {
  const who =
    target.kind === 'worker' || target.kind === 'parameter-server' ? `${target.kind} ${target.index}` : target.kind;
  return `${action} ${who} at step ${atStep}${forMs === undefined ? '' : ` for ${formatDuration(forMs)}`}`;
}

function section(title: string, rows: Rows): string {
  const widths: number[] = [];
  for (const row of rows) {
    // The last cell of a row may be a sentence and sets no width.
    for (const [i, cell] of row.slice(0, -1).entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  const lines = rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return [title, ...lines.map((line) => `  ${line}`)].join('\n');
}

export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / (1024 * 1024)).toFixed(1)} MiB`;
}
