/**
 * What a run should take when nothing happens to it: a rough figure, so that a person sees the order of magnitude before
 * anything is spent. The worst case (core/price.ts) is what may be relied on.
 */
import { inferNetwork, size } from './network.ts';
import type { ClusterPlan, ExpectedPlan, HistoryPlan, NetworkPlan, TrainingPlan } from './plan.ts';
import { hourUsd, priceTable, type TaskGroup } from './price.ts';

/** What the exact provider does on one vCPU of a common machine, with all that is not multiplication; a third of its peak. */
const flopsPerVcpuSecond = 8e9;
/** Beginning, end and messages of one step between tasks in one Region. */
const stepOverheadMs = 5;
/** From RunTask to the first step: the machine, the image, the gang. */
const startMs = { fargate: 90_000, ec2: 300_000 } as const;
/** States of a run of one turn, and of each turn more (core/report.ts counts what there were). */
const [fewTransitions, turnTransitions] = [30, 3];

export interface ExpectationInput {
  readonly network: NetworkPlan;
  readonly training: Pick<TrainingPlan, 'epochs' | 'batchSize' | 'totalSteps' | 'paceMs'>;
  readonly cluster: Pick<ClusterPlan, 'ladder' | 'worker' | 'threads'>;
  readonly history: Pick<HistoryPlan, 'epochsPerTurn'>;
  readonly groups: readonly TaskGroup[];
  readonly maxDurationMs: number;
}

export function expectationOf(input: ExpectationInput): ExpectedPlan {
  const { network, training, cluster, history, groups, maxDurationMs } = input;
  const [first = 'local'] = cluster.ladder;
  const vcpus = cluster.worker.max * Math.min(cluster.worker.cpu / 1024, cluster.threads.count);
  const computeMs = (1000 * 3 * training.batchSize * flopsPerSample(network)) / (vcpus * flopsPerVcpuSecond);
  const trainingMs = training.totalSteps * (computeMs + stepOverheadMs + training.paceMs);
  const durationMs = Math.min(maxDurationMs, trainingMs + (first.startsWith('ec2') ? startMs.ec2 : startMs.fargate));
  const turns = Math.ceil(training.epochs / history.epochsPerTurn);
  const transitionsUsd = (fewTransitions + turns * turnTransitions) * priceTable.transitionUsd;
  const usd = first === 'local' ? 0 : (hourUsd(first, groups) * durationMs) / 3_600_000 + transitionsUsd;
  return { durationMs: Math.round(durationMs), usd: Number(usd.toFixed(6)) };
}

/** Forward. Every value of a kernel is multiplied and added once for each position of the output. */
function flopsPerSample(network: NetworkPlan): number {
  const shape = network.kind === 'layers' ? inferNetwork(network.inputShape, network.layers) : undefined;
  if (shape?.kind !== 'network') return 2 * network.parameters;
  return shape.tensors
    .filter(({ name }) => name.endsWith('/kernel'))
    .reduce((sum, tensor) => {
      const output = shape.shapes[tensor.layer] ?? [1];
      return sum + 2 * size(tensor.shape) * (size(output) / (output.at(-1) ?? 1));
    }, 0);
}
