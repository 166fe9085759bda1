/**
 * The run plan: the config with every number resolved. `Plan` makes it once; everything after it (launch, tasks, status,
 * report) reads it and nothing else, so nothing is left to a default further down.
 *
 * This file owns the shape. How a config becomes a plan is core/planning.ts; how long, how much and how dear is
 * core/price.ts and core/memory.ts.
 */

import type { TaskSize } from './fargate.ts';

export type Role = 'worker' | 'parameter-server';
export const roles: readonly Role[] = ['worker', 'parameter-server'];

export type LaunchKind = 'local' | 'fargate' | 'fargate-spot' | 'ec2' | 'ec2-spot';

/** One layer, with the TF.js / Keras class it becomes. `config` holds only what that class takes, all resolved. */
export type LayerPlan =
  | {
      readonly kind: 'dense';
      readonly name: string;
      readonly units: number;
      readonly activation: Activation;
      readonly useBias: boolean;
    }
  | {
      readonly kind: 'conv2d';
      readonly name: string;
      readonly filters: number;
      readonly kernelSize: readonly [number, number];
      readonly strides: readonly [number, number];
      readonly padding: 'valid' | 'same';
      readonly activation: Activation;
      readonly useBias: boolean;
    }
  | {
      readonly kind: 'maxPooling2d' | 'averagePooling2d';
      readonly name: string;
      readonly poolSize: readonly [number, number];
      readonly strides: readonly [number, number];
      readonly padding: 'valid' | 'same';
    }
  | { readonly kind: 'globalMaxPooling2d' | 'globalAveragePooling2d'; readonly name: string }
  | { readonly kind: 'flatten'; readonly name: string }
  | { readonly kind: 'reshape'; readonly name: string; readonly targetShape: readonly number[] }
  | { readonly kind: 'embedding'; readonly name: string; readonly inputDim: number; readonly outputDim: number }
  | { readonly kind: 'dropout'; readonly name: string; readonly rate: number }
  | { readonly kind: 'batchNormalization'; readonly name: string; readonly momentum: number; readonly epsilon: number }
  | { readonly kind: 'activation'; readonly name: string; readonly activation: Activation };

export type Activation =
  | 'linear'
  | 'relu'
  | 'relu6'
  | 'elu'
  | 'selu'
  | 'sigmoid'
  | 'hardSigmoid'
  | 'tanh'
  | 'softmax'
  | 'softplus'
  | 'softsign'
  | 'swish';

export type NetworkPlan =
  | {
      readonly kind: 'layers';
      /** Shape of one sample, without the batch dimension: [784] or [28, 28, 1]. */
      readonly inputShape: readonly number[];
      readonly outputShape: readonly number[];
      readonly layers: readonly LayerPlan[];
      /** Trainable parameters, and moving statistics that are state but not trained. */
      readonly parameters: number;
      readonly stateParameters: number;
    }
  | {
      /** A TF.js Layers or Keras model.json, inlined as text by Plan (topology only: weights start from the seed). */
      readonly kind: 'model';
      readonly inputShape: readonly number[];
      readonly outputShape: readonly number[];
      readonly uri: string;
      /** Object key of the copied model.json in the run's folder. */
      readonly topologyKey: string;
      readonly parameters: number;
      readonly stateParameters: number;
    };

export type Loss = 'softmaxCrossEntropy' | 'sigmoidCrossEntropy' | 'meanSquaredError';
export type Metric = 'accuracy' | 'loss';

export type OptimizerPlan = Restraints &
  (
    | { readonly kind: 'sgd'; readonly momentum: number; readonly nesterov: boolean }
    | { readonly kind: 'adam'; readonly beta1: number; readonly beta2: number; readonly epsilon: number }
    | { readonly kind: 'rmsprop'; readonly decay: number; readonly momentum: number; readonly epsilon: number }
  );

/** What holds weights and gradients back, whatever the optimizer; absent, nothing does. At most one of the two clips. */
export interface Restraints {
  /** Each update first takes this share of every weight away, times the learning rate (decoupled from the gradient). */
  readonly weightDecay?: number | undefined;
  /** The gradient of all weights together is scaled down to this length when it is longer. */
  readonly clipNorm?: number | undefined;
  /** The gradient of each weight is cut off at this value, up and down. */
  readonly clipValue?: number | undefined;
}

/** Learning rate as a function of the step (0-based): every kind multiplies `base`. Formulas in core/schedule.ts. */
export type SchedulePlan =
  | { readonly kind: 'constant' }
  | { readonly kind: 'step'; readonly everyEpochs: number; readonly factor: number }
  | { readonly kind: 'exponential'; readonly decayPerEpoch: number }
  | { readonly kind: 'cosine'; readonly finalFactor: number }
  | { readonly kind: 'piecewise'; readonly boundariesEpochs: readonly number[]; readonly factors: readonly number[] };

export interface StopPlan {
  readonly metric: Metric;
  /** Stop as soon as the metric reaches this value (>= for accuracy, <= for loss). */
  readonly reaches?: number;
  /** Stop after this many epochs without an improvement of at least minDelta. */
  readonly patience?: number;
  readonly minDelta: number;
}

export interface TrainingPlan {
  readonly mode: 'synchronous' | 'asynchronous';
  /** With `bf16` gradients are rounded to two bytes a value at every node of the tree over the shards, and sent so. */
  readonly compression: 'none' | 'bf16';
  /** Bound on staleness in steps; only asynchronous mode. */
  readonly maxStaleness: number;
  readonly epochs: number;
  readonly batchSize: number;
  /** Logical shards a batch is cut into: a power of two, at least workers.max. */
  readonly shards: number;
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  readonly loss: Loss;
  readonly metrics: readonly Metric[];
  readonly optimizer: OptimizerPlan;
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly schedule: SchedulePlan;
  readonly stopWhen: readonly StopPlan[];
  /** Seconds of idle between steps; only for demonstrations and chaos tests. 0 by default. */
  readonly paceMs: number;
}

export type DataPlan =
  | {
      readonly source: 'digits';
      readonly samples: number;
      readonly testSamples: number;
      readonly seed: number;
      readonly noise: number;
    }
  | {
      readonly source: 'idx';
      readonly dialect: 'mnist' | 'idx';
      readonly path: string;
      readonly files: IdxFiles;
      readonly classes: number;
    }
  | {
      readonly source: 'csv';
      readonly path: string;
      readonly testPath?: string;
      readonly header: boolean;
      readonly delimiter: string;
      /** 0-based column of the label. */
      readonly labelColumn: number;
      readonly columns: number;
      readonly task: 'classification' | 'regression';
      /** Class names in the order of their index; empty for regression. */
      readonly classNames: readonly string[];
    };

/** Names relative to `path`; test files are absent when there are none. */
export interface IdxFiles {
  readonly trainImages: string;
  readonly trainLabels: string;
  readonly testImages?: string;
  readonly testLabels?: string;
}

/** What every data set comes down to, whatever its source. */
export interface DataShape {
  /** One sample as the network sees it. */
  readonly inputShape: readonly number[];
  /** Number of classes (targets are one-hot) or of regression targets. */
  readonly outputs: number;
  readonly task: 'classification' | 'regression';
  readonly trainSamples: number;
  /** Cut off the end of a keyed permutation of the training file. 0 when a test set is used for the epoch metrics. */
  readonly validationSamples: number;
  readonly testSamples: number;
}

export type Normalisation =
  | { readonly kind: 'none' }
  /** x * scale + offset. */
  | { readonly kind: 'scale'; readonly scale: number; readonly offset: number }
  /** (x - mean) / std for each feature, computed over the training samples when the data is loaded. */
  | { readonly kind: 'standardize' };

export interface RolePlan {
  readonly role: Role;
  readonly min: number;
  readonly max: number;
  /** CPU units (1024 = one vCPU) and MiB; one of the sizes that Fargate has, also on EC2. */
  readonly cpu: number;
  readonly memoryMiB: number;
  /** Sizes that replacements get, one after the other, when this much memory was too little; none on a laptop. */
  readonly growth: readonly TaskSize[];
  /** Estimate of what the task needs, with its parts in words. */
  readonly memoryNeededMiB: number;
  /** What happens when a task of this role is lost. */
  readonly onLoss: 'replace' | 'shrink' | 'fail';
}

export interface ThreadsPlan {
  readonly count: number;
  /** In words, for `plan`. */
  readonly why: string;
}

export interface ClusterPlan {
  readonly launch: LaunchKind;
  /** Rungs of the ladder, tried in turn: a Spot launch ends with on-demand when `fallback` allows it. */
  readonly ladder: readonly LaunchKind[];
  readonly worker: RolePlan;
  readonly parameterServer: RolePlan;
  /** Of each worker. */
  readonly threads: ThreadsPlan;
  readonly startDeadlineMs: number;
  /** How long a run may wait below workers.min before it gives up. */
  readonly holdDeadlineMs: number;
}

/** How the tasks of a run find that another is gone. All durations in milliseconds. */
export interface TimingPlan {
  readonly heartbeatIntervalMs: number;
  /** A member that says nothing for this long is taken for hung. */
  readonly memberTimeoutMs: number;
  readonly leaseDurationMs: number;
  /** How often the leader writes the progress row. */
  readonly progressIntervalMs: number;
  /** HeartbeatSeconds and TimeoutSeconds of the Watch state. */
  readonly watchHeartbeatSeconds: number;
  readonly watchTimeoutSeconds: number;
}

/** Which of the checkpoints that may be taken are; core/cadence.ts decides. */
export type CadencePlan =
  | { readonly kind: 'steps' }
  | { readonly kind: 'time'; readonly everyMs: number }
  | { readonly kind: 'auto'; readonly assumedMtbfMs: number }
  /** At epoch ends, and in between so seldom that saving takes at most this share of the time, within these limits. */
  | { readonly kind: 'share'; readonly most: number; readonly leastMs: number; readonly mostMs: number };

export interface CheckpointPlan {
  /**
   * A checkpoint may be taken after every so many steps and at epoch ends: 1 when time decides. 0 when the config says
   * `every: never`: not even there.
   */
  readonly everySteps: number;
  readonly cadence: CadencePlan;
  readonly keep: number;
  /** Where the parts go; decided by size against the item limit of the table. */
  readonly store: 'table' | 'objects';
  /** Bytes of one checkpoint: parameters, optimizer slots, state. */
  readonly bytes: number;
}

export interface RecoveryPlan {
  /** Incidents: tasks that are lost together count once (core/incidents.ts). */
  readonly maxRecoveries: number;
  /** Rounds of launches, the first one included. */
  readonly maxLaunches: number;
}

export interface LimitsPlan {
  readonly maxDurationMs: number;
  /** Absent: no cap. */
  readonly maxCostUsd?: number;
}

export interface ChaosPlan {
  readonly action: 'kill' | 'pause' | 'interrupt';
  readonly target:
    | { readonly kind: 'worker' | 'parameter-server'; readonly index: number }
    | { readonly kind: 'leader' }
    | { readonly kind: 'all' };
  readonly atStep: number;
  /** Only for pause. */
  readonly forMs?: number;
}

/** Roughly, when nothing happens to the run (core/expectation.ts). */
export interface ExpectedPlan {
  readonly durationMs: number;
  readonly usd: number;
}

export interface PricePlan {
  /** ISO date of the price table. */
  readonly asOf: string;
  readonly usdPerHour: number;
  /** The whole of limits.maxDuration with all tasks in their largest size on the dearest rung, plus transitions. */
  readonly worstCaseUsd: number;
  readonly expected: ExpectedPlan;
  readonly transitions: number;
}

export interface HistoryPlan {
  /** Epochs that pass before the leader ends a Watch turn. */
  readonly epochsPerTurn: number;
  readonly maxTurns: number;
  /** Upper bound on history events of the execution; below 25,000 by a margin. */
  readonly worstCaseEvents: number;
}

export interface EnginePlan {
  /**
   * What the config asks for: the plan compiler with fused, separate or the system's products, TensorFlow.js, or `auto`.
   * What really ran is recorded in the first checkpoint and in the result.
   */
  readonly wanted: 'auto' | 'exact' | 'portable' | 'native' | 'tensorflow';
}

export interface RunPlan {
  readonly schema: 1;
  readonly runId: string;
  readonly name: string;
  readonly seed: number;
  /** sha256 of the config text and of what the command line overrode. */
  readonly configDigest: string;
  readonly data: DataPlan;
  readonly shape: DataShape;
  readonly normalisation: Normalisation;
  readonly network: NetworkPlan;
  readonly training: TrainingPlan;
  readonly placement: 'replica';
  readonly cluster: ClusterPlan;
  readonly timing: TimingPlan;
  readonly checkpoint: CheckpointPlan;
  readonly recovery: RecoveryPlan;
  readonly limits: LimitsPlan;
  readonly chaos: readonly ChaosPlan[];
  readonly engine: EnginePlan;
  readonly price: PricePlan;
  readonly history: HistoryPlan;
}
