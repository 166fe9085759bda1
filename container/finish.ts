/**
 * The end of training, done by the leader: the exported model and the outcome row, after the last checkpoint. Every
 * part may be done twice (a new leader begins it again): the same bits under the same names.
 */
import { createHash } from 'node:crypto';
import type { Cloud } from '../cloud/ports.ts';
import type { Failure } from '../core/failure.ts';
import { objectKeys } from '../core/object-keys.ts';
import type { RunPlan } from '../core/plan.ts';
import { keys, type OutcomeRow, settled } from '../core/run.ts';
import type { Evaluation } from './engine/port.ts';
import type { Replica } from './replica.ts';

export interface EndState {
  readonly step: number;
  /** The one in force when it is asked for: members may come and go while the end is written. */
  readonly generation: () => number;
  readonly lostSteps: number;
  readonly usefulMs: number;
}

/** sha256 over the little-endian float32 parameters: trainable weights, then moving statistics. */
export function weightsDigest(parameters: Float32Array): string {
  const bytes = new Uint8Array(parameters.buffer, parameters.byteOffset, parameters.byteLength);
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** False when a generation that is not ours is in force: it will end training itself. */
export async function publish(
  cloud: Pick<Cloud, 'table' | 'objects'>,
  plan: RunPlan,
  replica: Replica,
  evaluation: Evaluation,
  end: EndState,
): Promise<boolean> {
  const { runId, training } = plan;
  const model = replica.engine.exportModel();
  // The topology last: whoever finds model.json finds its weights.
  await cloud.objects.put(objectKeys.weights(runId), model.weights, 'always');
  await cloud.objects.put(objectKeys.model(runId), model.topology, 'always');
  const outcome: OutcomeRow = {
    kind: 'trained',
    epochs: Math.floor(end.step / training.stepsPerEpoch),
    steps: end.step,
    stopped: end.step < training.totalSteps ? 'stopWhen' : 'epochs',
    metrics: {
      loss: evaluation.lossSum / evaluation.samples,
      ...(plan.shape.task === 'classification' ? { accuracy: evaluation.correct / evaluation.samples } : {}),
    },
    weightsDigest: weightsDigest(replica.engine.parameters),
    engine: replica.engine.name,
    generations: 0,
    lostSteps: end.lostSteps,
    usefulMs: end.usefulMs,
    modelKeys: [objectKeys.model(runId), objectKeys.weights(runId)],
  };
  return settle(cloud, runId, outcome, end.generation);
}

/** Writes the outcome over the pending one. There is one outcome: who comes second finds that it is written. */
async function settle(
  { table }: Pick<Cloud, 'table'>,
  runId: string,
  outcome: OutcomeRow,
  generation: () => number,
): Promise<boolean> {
  for (;;) {
    const row = await table.get<OutcomeRow>(runId, keys.outcome);
    if (settled(row?.value) !== undefined) return true;
    // A failure would be any other generation's too, and who finds it need not be in one.
    const fence = outcome.kind === 'failed' ? Math.max(generation(), row?.fence ?? 0) : generation();
    if (row !== undefined && row.fence > fence) return false;
    const when = row === undefined ? ({ absent: true } as const) : { version: row.version, fence };
    const stored = await table.put(runId, keys.outcome, { ...outcome, generations: fence }, when);
    if (stored.kind === 'stored') return true;
  }
}

/** Training cannot go on, and no other task could do better: say so for Decide. */
export async function publishFailure(
  cloud: Pick<Cloud, 'table'>,
  plan: RunPlan,
  failure: Failure,
  end: EndState & { readonly engine: string },
): Promise<void> {
  const outcome: OutcomeRow = {
    kind: 'failed',
    failure,
    epochs: Math.floor(end.step / plan.training.stepsPerEpoch),
    steps: end.step,
    stopped: 'failed',
    metrics: { loss: Number.MAX_VALUE },
    weightsDigest: '',
    engine: end.engine,
    generations: 0,
    lostSteps: end.lostSteps,
    usefulMs: end.usefulMs,
    modelKeys: [],
  };
  await settle(cloud, plan.runId, outcome, end.generation);
}
