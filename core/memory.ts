/**
 * How much memory a task needs, counted from the plan and rounded up: a task that is too small dies late and dearly, one
 * that is a size too big costs a little. All parts are listed, so that `plan` can show where it goes.
 */
import { inferNetwork, size } from './network.ts';
import type { DataPlan, DataShape, NetworkPlan, OptimizerPlan, Role, TrainingPlan } from './plan.ts';

export interface MemoryPart {
  readonly what: string;
  readonly bytes: number;
}

export interface MemoryInput {
  readonly network: NetworkPlan;
  readonly training: Pick<TrainingPlan, 'mode' | 'batchSize' | 'shards' | 'optimizer'>;
  readonly data: Pick<DataPlan, 'source'>;
  readonly shape: DataShape;
  readonly workers: number;
  readonly parameterServers: number;
  /** Of each worker. */
  readonly threads: number;
}

const floatBytes = 4;
const mib = 1024 * 1024;
/** Node, the engine and its kernels, measured with a tiny network and rounded up generously. */
const runtimeBytes = 256 * mib;
/** A thread with an engine of its own, measured and rounded up in the same way. */
const threadBytes = 48 * mib;

/** Vectors as long as the trainable weights that an optimizer keeps. */
export function optimizerSlots(optimizer: OptimizerPlan): number {
  const momentum = optimizer.kind !== 'adam' && optimizer.momentum > 0 ? 1 : 0;
  return { sgd: 0, adam: 2, rmsprop: 1 }[optimizer.kind] + momentum;
}

/** One checkpoint: weights, moving statistics, optimizer slots. */
export function checkpointBytes(network: NetworkPlan, optimizer: OptimizerPlan): number {
  return floatBytes * (network.parameters * (1 + optimizerSlots(optimizer)) + network.stateParameters);
}

export function memoryParts(role: Role, input: MemoryInput): MemoryPart[] {
  const { network, training, shape } = input;
  const vector = floatBytes * (network.parameters + network.stateParameters);
  const runtime = { what: 'Node.js and engine', bytes: runtimeBytes };
  const state = checkpointBytes(network, training.optimizer);
  if (role === 'parameter-server' && training.mode === 'asynchronous') {
    // Alone it holds every partition until the others are replaced.
    return [
      runtime,
      { what: 'partitions, and a copy on its way', bytes: 2 * state },
      { what: 'gradients and parameters of all workers', bytes: Math.ceil(vector * (2 * input.workers + 1)) },
    ];
  }
  if (role === 'parameter-server') {
    const part = vector / Math.max(1, input.parameterServers);
    return [runtime, { what: 'gradients of all workers, reduced', bytes: Math.ceil(part * (2 * input.workers + 2)) }];
  }
  // One partial sum a level of the tree is kept, besides what is being received, sent and reduced.
  const sums = Math.ceil(Math.log2(training.shards)) + 4;
  const samples = shape.trainSamples + shape.validationSamples + shape.testSamples;
  const valueBytes = input.data.source === 'csv' ? floatBytes : 1;
  const shardSamples = Math.ceil(training.batchSize / training.shards);
  const activations = 3 * floatBytes * shardSamples * activationsPerSample(network);
  const others = input.threads - 1;
  return [
    runtime,
    { what: 'weights and optimizer', bytes: 2 * state },
    { what: 'gradients and their sums', bytes: sums * vector },
    { what: 'snapshot for checkpoints', bytes: state },
    ...(training.mode === 'asynchronous' ? [{ what: 'partitions held for a server', bytes: 2 * state }] : []),
    { what: 'activations of one shard', bytes: activations },
    // The parameters, the sums that it works on, and those that it gives.
    ...(others > 0
      ? [{ what: `${others} more thread(s)`, bytes: others * (threadBytes + sums * vector + activations) }]
      : []),
    // Twice while it is unpacked.
    { what: 'data', bytes: 2 * samples * (size(shape.inputShape) * valueBytes + floatBytes) },
  ];
}

export function neededMiB(parts: readonly MemoryPart[]): number {
  return Math.ceil(parts.reduce((sum, { bytes }) => sum + bytes, 0) / mib);
}

function activationsPerSample(network: NetworkPlan): number {
  const ends = size(network.inputShape) + size(network.outputShape);
  if (network.kind === 'model') return ends + network.parameters;
  const shape = inferNetwork(network.inputShape, network.layers);
  // The input of a convolution is unfolded once for each kernel position.
  const unfolded = network.layers.map((layer, i) =>
    layer.kind === 'conv2d' && shape.kind === 'network'
      ? size(shape.shapes[i]!.slice(0, 2)) *
        size(layer.kernelSize) *
        (shape.shapes[i - 1] ?? network.inputShape).at(-1)!
      : 0,
  );
  const outputs = shape.kind === 'network' ? shape.shapes.map(size) : [];
  return ends + [...outputs, ...unfolded].reduce((sum, values) => sum + values, 0);
}
