/**
 * The end of training, done by the leader: last evaluation, last checkpoint, the exported model, the outcome row. Every
 * part may be done twice (a new leader begins it again): the same bits under the same names.
 */
import { createHash } from 'node:crypto';
import type { Cloud } from '../cloud/ports.ts';
import type { Failure } from '../core/failure.ts';
import type { RunPlan } from '../core/plan.ts';
import { keys, type OutcomeRow, objectKeys } from '../core/run.ts';
import type { Replica } from './replica.ts';

export interface EndState {
  readonly step: number;
  readonly generation: number;
  readonly lostSteps: number;
  readonly usefulMs: number;
}

/** sha256 over the little-endian float32 parameters: trainable weights, then moving statistics. */
export function weightsDigest(parameters: Float32Array): string {
  const bytes = new Uint8Array(parameters.buffer, parameters.byteOffset, parameters.byteLength);
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** False when a later generation has written the outcome already. */
export async function publish(
  cloud: Pick<Cloud, 'table' | 'objects'>,
  plan: RunPlan,
  replica: Replica,
  end: EndState,
): Promise<boolean> {
  const { runId, training } = plan;
  const evaluation = await replica.evaluate(replica.finalSet);
  const model = replica.engine.exportModel();
  // The topology last: whoever finds model.json finds its weights.
  await cloud.objects.put(objectKeys.weights(runId), model.weights, 'always');
  await cloud.objects.put(objectKeys.model(runId), model.topology, 'always');
  const outcome: OutcomeRow = {
    kind: 'trained',
    epochs: end.step / training.stepsPerEpoch,
    steps: end.step,
    stopped: end.step < training.totalSteps ? 'stopWhen' : 'epochs',
    metrics: {
      loss: evaluation.lossSum / evaluation.samples,
      ...(plan.shape.task === 'classification' ? { accuracy: evaluation.correct / evaluation.samples } : {}),
    },
    weightsDigest: weightsDigest(replica.engine.parameters),
    engine: replica.engine.name,
    generations: end.generation,
    lostSteps: end.lostSteps,
    usefulMs: end.usefulMs,
    modelKeys: [objectKeys.model(runId), objectKeys.weights(runId)],
  };
  const stored = await cloud.table.put(runId, keys.outcome, outcome, { fence: end.generation });
  return stored.kind === 'stored';
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
    generations: end.generation,
    lostSteps: end.lostSteps,
    usefulMs: end.usefulMs,
    modelKeys: [],
  };
  await cloud.table.put(plan.runId, keys.outcome, outcome, { fence: end.generation });
}
