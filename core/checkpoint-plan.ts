/** The checkpoint part of a plan: when one may be taken, which of those are, where they go and how large they are. */
import type { Config } from './config/schema.ts';
import { checkpointBytes } from './memory.ts';
import type { CadencePlan, CheckpointPlan, LaunchKind, NetworkPlan, TrainingPlan } from './plan.ts';

const second = 1000;
const minute = 60 * second;
/**
 * Up to this size a checkpoint lives wholly in the table. The rows of a run share the 1,000 KB that DynamoDB is sure to write
 * in a second, with its leases, and a kilobyte costs an eighth of what a whole object does: what is larger is an object.
 */
const maxTableCheckpointBytes = 1.5 * 1024 * 1024;
/**
 * For who says nothing. A run that lost every task needs longer than the ten seconds to go on; after a quarter of an hour the
 * work that would be lost is worth more than what saving takes.
 */
const unsaid: CadencePlan = { kind: 'share', most: 0.01, leastMs: 10 * second, mostMs: 15 * minute };
/** Assumptions to begin with, for `checkpoint: {every: auto}`: what a run sees soon counts more. */
const assumedMtbfMs: { readonly [K in LaunchKind]: number } = {
  local: 60 * minute,
  fargate: 24 * 60 * minute,
  'fargate-spot': 60 * minute,
  ec2: 24 * 60 * minute,
  'ec2-spot': 60 * minute,
};

export function planCheckpoint(
  config: Config,
  network: NetworkPlan,
  training: TrainingPlan,
  launch: LaunchKind,
): CheckpointPlan {
  const { keep } = config.checkpoint;
  const bytes = checkpointBytes(network, training.optimizer);
  return {
    ...planCadence(config, training, launch),
    keep,
    store: bytes <= maxTableCheckpointBytes ? 'table' : 'objects',
    bytes,
  };
}

function planCadence(
  config: Config,
  training: TrainingPlan,
  launch: LaunchKind,
): Pick<CheckpointPlan, 'everySteps' | 'cadence'> {
  const { every, everySteps, everySeconds } = config.checkpoint;
  const steps = { kind: 'steps' } as const;
  switch (every) {
    case 'never':
      return { everySteps: 0, cadence: steps };
    case 'epoch':
      return { everySteps: training.stepsPerEpoch, cadence: steps };
    case 'auto':
      return { everySteps: 1, cadence: { kind: 'auto', assumedMtbfMs: assumedMtbfMs[launch] } };
  }
  if (everySeconds !== undefined) return { everySteps: 1, cadence: { kind: 'time', everyMs: everySeconds * second } };
  return everySteps === undefined ? { everySteps: 1, cadence: unsaid } : { everySteps, cadence: steps };
}
