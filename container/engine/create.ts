/** Makes the engine of a plan: the network it asks for on the best backend there is. */
import { CuttlefishError } from '../../core/failure.ts';
import { inferNetwork, outputActivation, outputActivations } from '../../core/network.ts';
import type { LayerPlan, RunPlan } from '../../core/plan.ts';
import { parseTopology } from '../../core/topology.ts';
import { type Backend, startBackend } from './backend.ts';
import type { Engine } from './port.ts';
import { TensorflowEngine } from './tensorflow.ts';

export interface EngineOptions {
  /** Text of model.json when `network.kind` is 'model'. */
  readonly topology?: string;
  /** Forced; otherwise the best one that starts. */
  readonly backend?: Backend;
  readonly warn: (message: string) => void;
}

/** The parts of a plan that an engine depends on. */
export type Trainable = Pick<RunPlan, 'name' | 'seed' | 'network'> & {
  readonly training: Pick<RunPlan['training'], 'loss' | 'optimizer'>;
};

/** Throws ConfigInvalid when the network cannot be built; a plan that was made from a valid config always can. */
export async function createEngine(plan: Trainable, options: EngineOptions): Promise<Engine> {
  const { inputShape, layers } = resolveNetwork(plan, options.topology);
  const { loss, optimizer } = plan.training;
  const shape = inferNetwork(inputShape, layers);
  if (shape.kind === 'invalid') {
    refuse(shape.problems.map(({ layer, ...rest }) => ({ path: `network.layers[${layer}]`, ...rest })));
  }
  const allowed = outputActivations[loss];
  if (allowed !== 'any' && !allowed.includes(outputActivation(layers))) {
    const message = `"${loss}" does not fit a last layer with the activation ${outputActivation(layers)}`;
    refuse([{ path: 'training.loss', message, accepted: `a last activation of ${allowed.join(' or ')}` }]);
  }
  const backend = await startBackend(options.backend, options.warn);
  return new TensorflowEngine({ name: plan.name, seed: plan.seed, inputShape, layers, loss, optimizer }, backend);
}

function resolveNetwork(
  { network }: Pick<RunPlan, 'network'>,
  text: string | undefined,
): { readonly inputShape: readonly number[]; readonly layers: readonly LayerPlan[] } {
  if (network.kind === 'layers') return network;
  const topology = parseTopology(text ?? '');
  if (topology.kind === 'invalid') {
    throw new CuttlefishError({ kind: 'ConfigInvalid', source: network.uri, issues: topology.issues });
  }
  return topology;
}

function refuse(problems: readonly { path: string; message: string; accepted: string }[]): never {
  const issues = problems.map((problem) => ({ line: 0, column: 0, ...problem }));
  throw new CuttlefishError({ kind: 'ConfigInvalid', source: 'network', issues });
}
