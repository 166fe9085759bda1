/**
 * The update that a parameter server makes to the partition it holds: the optimizer on the trained values, and the moving
 * statistics of batch normalisation, which follow by addition. Plain loops over ranges of the flat vectors
 * (engine/optimizer.ts), so every optimizer can be cut anywhere, and a server needs neither engine nor data.
 *
 * The learning rate and Adam's correction go by the number of updates in the partition, which is the same on primary and
 * backup whatever the order of the items.
 */
import type { Update } from '../core/gang/async/keeper.ts';
import { type Partitioning, rangeOf, trainedRangeOf } from '../core/gang/async/partition.ts';
import { epochSumsLength } from '../core/gang/messages.ts';
import type { RunPlan } from '../core/plan.ts';
import { learningRateAt } from '../core/schedule.ts';
import { applyUpdate, slotCount } from './engine/optimizer.ts';

export function partitioningOf({ network, training, cluster }: RunPlan): Partitioning {
  return {
    partitions: cluster.parameterServer.max,
    parameterLength: network.parameters + network.stateParameters,
    trainableLength: network.parameters,
    slots: slotCount(training.optimizer),
    tailLength: epochSumsLength,
  };
}

export function updateOf(plan: Pick<RunPlan, 'training'>, cut: Partitioning): Update {
  const { training } = plan;
  return (partition, values, payload, version) => {
    const samples = payload[payload.length - cut.tailLength + 2] as number;
    // An item without samples has no gradient; dividing would make every weight NaN.
    if (samples === 0) return;
    const all = rangeOf(cut, partition);
    const trained = trainedRangeOf(cut, partition);
    const length = all.to - all.from;
    const trainedLength = trained.to - trained.from;
    const rate = learningRateAt(training, version);
    const weights = values.subarray(0, trainedLength);
    applyUpdate(training.optimizer, weights, values.subarray(length), payload, 1 / samples, rate, version);
    for (let i = trainedLength; i < length; i += 1) {
      values[i] = (values[i] as number) + (payload[i] as number) / samples;
    }
  };
}
