/** Valid configs and their defaults; problems of fields, with position, value and what would be accepted. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../core/config/parse.ts';
import type { Config } from '../../core/config/schema.ts';
import { describeIssue, type Issue } from '../../core/failure.ts';

const minimal = `version: 1
name: digits
data:
  source: digits
network:
  layers:
    - dense: { units: 64, activation: relu }
    - dense: { units: 10, activation: softmax }
`;

function valid(text: string): Config {
  const parsed = parseConfig(text, 'test.yaml');
  if (parsed.kind === 'invalid') throw new Error(parsed.issues.map(describeIssue).join('\n'));
  return parsed.config;
}

function issues(text: string): readonly Issue[] {
  const parsed = parseConfig(text, 'test.yaml');
  if (parsed.kind === 'valid') throw new Error('expected a config with problems');
  return parsed.issues;
}

/** `line:column path: message`, without what would be accepted. */
function briefly(text: string): string[] {
  return issues(text).map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`);
}

describe('parseConfig() fills in the defaults', () => {
  it('of the shortest useful config', () => {
    const config = valid(minimal);
    expect(config.training).toMatchObject({
      epochs: 5,
      batchSize: 128,
      shards: 8,
      loss: 'softmaxCrossEntropy',
      optimizer: { kind: 'adam', beta1: 0.9, beta2: 0.999 },
      schedule: { kind: 'constant' },
      mode: 'synchronous',
      stopWhen: [],
      pace: 0,
    });
    expect(config.cluster).toMatchObject({ launch: 'fargate', workers: { min: 1, max: 2 }, parameterServers: 0 });
    expect(config.limits).toEqual({ maxDuration: 86_400_000 });
    expect(config.recovery).toMatchObject({ maxRecoveries: 10, maxLaunches: 30, onWorkerLoss: 'replace' });
    expect(config.data.normalise).toEqual({ kind: 'scale', scale: 1 / 255, offset: 0 });
    expect(config.chaos).toEqual([]);
  });

  it('and takes `workers: 4` for one to four', () => {
    expect(valid(`${minimal}cluster: {workers: 4}`).cluster.workers).toEqual({ min: 1, max: 4 });
    expect(valid(`${minimal}cluster: {workers: {min: 2, max: 4}}`).cluster.workers).toEqual({ min: 2, max: 4 });
  });

  it('of layers, in the long and in the short form', () => {
    const config = valid(`version: 1
name: a
data: {source: csv, path: a.csv, normalise: none}
network:
  layers:
    - conv2d: {filters: 8}
    - conv2d: {filters: 8, kernelSize: [3, 5], strides: 2, padding: same, name: second}
    - maxPooling2d
    - averagePooling2d: {poolSize: 3, strides: 1, padding: same}
    - batchNormalization:
    - globalMaxPooling2d
    - globalAveragePooling2d: {name: mean}
    - reshape: {targetShape: [2, 4]}
    - embedding: {inputDim: 100, outputDim: 8}
    - flatten
    - dropout: {rate: 0.5}
    - dense: {units: 10}
    - activation: softmax
`);
    expect(config.network.layers).toEqual([
      {
        kind: 'conv2d',
        filters: 8,
        kernelSize: [3, 3],
        strides: [1, 1],
        padding: 'valid',
        activation: 'linear',
        useBias: true,
      },
      {
        kind: 'conv2d',
        filters: 8,
        kernelSize: [3, 5],
        strides: [2, 2],
        padding: 'same',
        activation: 'linear',
        useBias: true,
        name: 'second',
      },
      { kind: 'maxPooling2d', poolSize: [2, 2], strides: [2, 2], padding: 'valid' },
      { kind: 'averagePooling2d', poolSize: [3, 3], strides: [1, 1], padding: 'same' },
      { kind: 'batchNormalization', momentum: 0.99, epsilon: 0.001 },
      { kind: 'globalMaxPooling2d' },
      { kind: 'globalAveragePooling2d', name: 'mean' },
      { kind: 'reshape', targetShape: [2, 4] },
      { kind: 'embedding', inputDim: 100, outputDim: 8 },
      { kind: 'flatten' },
      { kind: 'dropout', rate: 0.5 },
      { kind: 'dense', units: 10, activation: 'linear', useBias: true },
      { kind: 'activation', activation: 'softmax' },
    ]);
  });

  it('of optimizers, schedules, early stop and chaos', () => {
    const { training, chaos, limits } = valid(`${minimal}training:
  optimizer: {kind: sgd, momentum: 0.9, nesterov: true, learningRate: 0.05}
  schedule: {kind: piecewise, boundariesEpochs: [2, 4], factors: [1, 0.1, 0.01]}
  stopWhen: {metric: loss, patience: 3}
  pace: 20ms
limits: {maxDuration: 90m, maxCostUsd: 2.5}
chaos: [kill worker 1 at step 50, pause leader at step 3 for 500ms]
`);
    expect(training.optimizer).toEqual({ kind: 'sgd', momentum: 0.9, nesterov: true, learningRate: 0.05 });
    const held = valid(`${minimal}training: {optimizer: {kind: adam, weightDecay: 0.01, clipNorm: 1}}\n`);
    expect(held.training.optimizer).toMatchObject({ beta1: 0.9, weightDecay: 0.01, clipNorm: 1 });
    expect(training.schedule).toMatchObject({ kind: 'piecewise', factors: [1, 0.1, 0.01] });
    expect(training.stopWhen).toEqual([{ metric: 'loss', patience: 3, minDelta: 0 }]);
    expect(training.pace).toBe(20);
    expect(limits).toEqual({ maxDuration: 5_400_000, maxCostUsd: 2.5 });
    expect(chaos).toEqual([
      { action: 'kill', target: { kind: 'worker', index: 1 }, atStep: 50 },
      { action: 'pause', target: { kind: 'leader' }, atStep: 3, forMs: 500 },
    ]);
  });
});

describe('parseConfig() reports', () => {
  it.each(['0', '-1', '1000000000', '1.5', 'many', '[1]', ''])('units "%s" with the range', (units) => {
    const found = issues(minimal.replace('units: 64', `units: ${units}`));
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({
      path: 'network.layers[0].dense.units',
      line: 7,
      accepted: 'a whole number from 1 to 65536',
    });
    expect(found[0]?.message).toContain(units.startsWith('[') ? 'a list of 1' : units);
  });

  it('every problem at once, in the order of the file, whatever block it is in', () => {
    expect(
      briefly(`version: 1
name: Digits
data:
  source: digit
network:
  layers:
    - dense: { units: -1, activation: relo }
    - dens: { units: 10 }
training:
  epochs: five
  batch_size: 3
  batchSize: 4
cluster:
  launch: farget-spot
  workers: { min: 5, max: 2 }
limits: { maxDuration: 90 }
placement: neuron
extra: 1
`),
    ).toEqual([
      '2:7 name: "Digits" is not accepted',
      '4:11 data.source: "digit" is not accepted; did you mean "digits"?',
      '7:23 network.layers[0].dense.units: "-1" is too small',
      '7:39 network.layers[0].dense.activation: "relo" is not accepted; did you mean "relu"?',
      '8:7 network.layers[1].dens: unknown field; did you mean "dense"?',
      '10:11 training.epochs: "five" is not accepted',
      '11:3 training.batch_size: unknown field; did you mean "batchSize"?',
      '12:14 training.batchSize: "4" is smaller than training.shards, 8: some shards would always be empty',
      '14:11 cluster.launch: "farget-spot" is not accepted; did you mean "fargate-spot"?',
      '15:19 cluster.workers.min: "5" is more than workers.max, 2',
      '16:24 limits.maxDuration: "90" is not accepted',
      '17:12 placement: "neuron" is not available yet',
      '18:1 extra: unknown field',
    ]);
  });

  it('what is missing, at the place where it belongs', () => {
    expect(briefly('version: 1\nnetwork:\n  layers:\n    - dense: {activation: relu}\n')).toEqual([
      '1:1 name: is required',
      '1:1 data: is required',
      '4:7 network.layers[0].dense.units: is required',
    ]);
  });

  it('no follow-on problem of a field that was wrong', () => {
    const found = briefly(
      `${minimal}training: {shards: x, batchSize: 4}\ncluster: {workers: 300}\nchaos: [kill worker 9 at step 1]\n`,
    );
    expect(found).toEqual(['9:20 training.shards: "x" is not accepted', '10:20 cluster.workers: "300" is too big']);
  });

  it.each([
    ['lr', 'learningRate'],
    ['earlyStopping', 'stopWhen'],
    ['optimiser', 'optimizer'],
    ['Batch-Size', 'batchSize'],
  ])('"%s" as %s', (written, meant) => {
    expect(briefly(`${minimal}training: {${written}: 1}`)[0]).toContain(`did you mean "${meant}"?`);
  });
});

describe('parseConfig() checks what several fields say together:', () => {
  const cases: readonly (readonly [string, string, string, string])[] = [
    ['min > max', 'cluster: {workers: {min: 3, max: 2}}', 'cluster.workers.min', '1 to 2'],
    ['more threads than shards', 'cluster: {worker: {threads: 9}}', 'cluster.worker.threads', '1 to 8, or more shards'],
    [
      'threads of TensorFlow.js',
      'cluster: {worker: {threads: 2}}\nengine: tensorflow',
      'cluster.worker.threads',
      '1; or another engine',
    ],
    ['batch smaller than shards', 'training: {batchSize: 7}', 'training.batchSize', 'at least 8'],
    ['shards that are no power of two', 'training: {shards: 12}', 'training.shards', '8 or 16'],
    ['fewer shards than workers', 'cluster: {workers: 9}', 'training.shards', 'at least 16'],
    ['Fargate CPU', 'cluster: {worker: {cpu: 1000}}', 'cluster.worker.cpu', 'cpu 1024'],
    [
      'Fargate memory',
      'cluster: {worker: {cpu: 256, memoryMiB: 4096}}',
      'cluster.worker.memoryMiB',
      'cpu 256 with memoryMiB 2048, or cpu 512 with memoryMiB 4096',
    ],
    [
      'Fargate memory of a parameter server',
      'cluster: {parameterServer: {memoryMiB: 777}}',
      'cluster.parameterServer.memoryMiB',
      'memoryMiB 1024',
    ],
    [
      'Spot without checkpoints',
      'cluster: {launch: fargate-spot}\ncheckpoint: {every: never}',
      'checkpoint.every',
      'launch: fargate or ec2',
    ],
    [
      'asynchronous mode without parameter servers',
      'training: {mode: asynchronous}',
      'training.mode',
      'cluster.parameterServers from 1',
    ],
    [
      'compression of what is not summed up',
      'training: {mode: asynchronous, compression: bf16}\ncluster: {parameterServers: 1}',
      'training.compression',
      'mode: synchronous',
    ],
    ['two cadences', 'checkpoint: {every: epoch, everySteps: 10}', 'checkpoint.every', 'one of the two'],
    ['steps and seconds', 'checkpoint: {everySeconds: 3, everySteps: 10}', 'checkpoint.everySeconds', 'one of the two'],
    ['auto and seconds', 'checkpoint: {every: auto, everySeconds: 3}', 'checkpoint.everySeconds', 'one of the two'],
    [
      'two learning rates',
      'training: {learningRate: 1, optimizer: {kind: adam, learningRate: 1}}',
      'training.learningRate',
      'one of the two',
    ],
    ['loss of a regression', 'training: {loss: sigmoidCrossEntropy}', 'network.layers[1]', '"sigmoid" or "linear"'],
    [
      'accuracy of a squared error',
      'training: {loss: meanSquaredError, metrics: [loss, accuracy]}',
      'training.metrics[1]',
      '"loss"',
    ],
    ['chaos on nobody', 'chaos: [kill worker 2 at step 1]', 'chaos[0]', 'worker 0 to 1'],
    [
      'chaos on no parameter server',
      'chaos: [kill parameter-server 0 at step 1]',
      'chaos[0]',
      'there is no parameter-server',
    ],
    [
      'factors',
      'training: {schedule: {kind: piecewise, boundariesEpochs: [1], factors: [1, 2, 3]}}',
      'training.schedule.factors',
      'one more',
    ],
    ['early stop without a rule', 'training: {stopWhen: {metric: accuracy}}', 'training.stopWhen', 'reaches: 0.98'],
  ];
  it.each(cases)('%s', (_, extra, path, accepted) => {
    const found = issues(`${minimal}${extra}\n`);
    expect(found.map((issue) => issue.path)).toContain(path);
    const issue = found.find((one) => one.path === path);
    expect(issue?.accepted).toContain(accepted);
    expect(issue?.line).toBeGreaterThan(0);
  });

  it('layers that do not fit data of a known shape', () => {
    const found = briefly(minimal.replace('units: 10,', 'units: 12,'));
    expect(found).toEqual([
      '8:23 network.layers[1].dense.units: the network has 12 output(s), the data have 10 classes',
    ]);
    const kernel = minimal.replace('dense: { units: 64, activation: relu }', 'conv2d: { filters: 4, kernelSize: 40 }');
    expect(briefly(kernel)[0]).toContain('network.layers[0]: the 40 x 40 window');
  });

  it('an embedding of numbers that are normalised', () => {
    const text = (normalise: string) => `version: 1
name: a
data: {source: csv, path: a.csv${normalise}}
network: {layers: [embedding: {inputDim: 9, outputDim: 2}, flatten, dense: {units: 2, activation: softmax}]}
`;
    expect(valid(text(', normalise: none')).network.layers?.[0]).toMatchObject({ kind: 'embedding' });
    expect(briefly(text(''))).toEqual([
      '3:1 data.normalise: changes the numbers, but the first layer is an embedding, which takes whole numbers as they are',
    ]);
  });

  it('gradients that are clipped twice, or where nobody has the whole of them', () => {
    const twice = '{kind: sgd, clipNorm: 1, clipValue: 1}';
    expect(briefly(`${minimal}training: {optimizer: ${twice}}\n`)[0]).toContain('is given together with clipNorm');
    const apart = `${minimal}training: {mode: asynchronous, optimizer: {kind: sgd, clipNorm: 1}}
cluster: {parameterServers: 2}\n`;
    expect(briefly(apart)[0]).toContain('training.optimizer.clipNorm: needs the whole gradient in one place');
  });

  it('layers and a model, or neither', () => {
    expect(briefly(`${minimal}`.replace('  layers:', '  model: m.json\n  layers:'))[0]).toContain('given together');
    expect(briefly('version: 1\nname: a\ndata: {source: digits}\nnetwork: {}\n')[0]).toContain('neither layers nor');
  });
});
