/**
 * Makes the engine of a plan. `auto` takes the plan compiler with fused products where the processor has them, with
 * separate ones where not, and TensorFlow.js for what the compiler does not know. It never takes the system's BLAS: a task
 * that is replaced on another processor could not go on with the run. What was taken is the engine's name; all tasks of a
 * run must take the same (container/chief.ts, core/gang/leader.ts).
 */
import { CuttlefishError } from '../../core/failure.ts';
import { inferNetwork, outputActivation, outputActivations } from '../../core/network.ts';
import type { EnginePlan, LayerPlan, RunPlan, TrainingPlan } from '../../core/plan.ts';
import { parseTopology } from '../../core/topology.ts';
import type { Backend } from './backend.ts';
import { PlanEngine } from './plan/engine.ts';
import { fullName, type Provider, probe } from './plan/kernels.ts';
import type { Engine } from './port.ts';

export interface EngineOptions {
  /** Text of model.json when `network.kind` is 'model'. */
  readonly topology?: string;
  /** TensorFlow.js on this backend, whatever the plan wants. */
  readonly backend?: Backend;
  /** The engine that this run was begun with, as its checkpoints name it: `auto` keeps to it where it runs. */
  readonly begun?: string;
  /** How many compute together; 1 by default. TensorFlow.js does not know of it. */
  readonly threads?: number;
  readonly warn: (message: string) => void;
}

/** The parts of a plan that an engine depends on. */
export type Trainable = Pick<RunPlan, 'name' | 'seed' | 'network'> & {
  readonly training: Pick<TrainingPlan, 'loss' | 'optimizer'> & Partial<Pick<TrainingPlan, 'compression'>>;
  readonly engine?: EnginePlan;
};

/** Throws ConfigInvalid when the network cannot be built; a plan that was made from a valid config always can. */
export async function createEngine(plan: Trainable, options: EngineOptions): Promise<Engine> {
  const { inputShape, layers } = resolveNetwork(plan, options.topology);
  const { loss, optimizer, compression = 'none' } = plan.training;
  const shape = inferNetwork(inputShape, layers);
  if (shape.kind === 'invalid') {
    refuse(shape.problems.map(({ layer, ...rest }) => ({ path: `network.layers[${layer}]`, ...rest })));
  }
  const allowed = outputActivations[loss];
  if (allowed !== 'any' && !allowed.includes(outputActivation(layers))) {
    const message = `"${loss}" does not fit a last layer with the activation ${outputActivation(layers)}`;
    refuse([{ path: 'training.loss', message, accepted: `a last activation of ${allowed.join(' or ')}` }]);
  }
  const spec = { name: plan.name, seed: plan.seed, inputShape, layers, loss, optimizer, compression };
  const provider = options.backend === undefined ? chooseProvider(plan.engine?.wanted ?? 'auto', options) : undefined;
  const { threads = 1, warn } = options;
  if (provider !== undefined && threads === 1) return new PlanEngine(spec, provider);
  if (provider !== undefined) {
    const { ThreadedEngine } = await import('./threads/engine.ts');
    return ThreadedEngine.start(spec, provider, threads);
  }
  if (threads > 1) warn(`TensorFlow.js computes in one thread: the other ${threads - 1} of "threads" are not started`);
  // Only now: reading TensorFlow.js takes longer than the whole start of the other engine.
  const [{ startBackend }, { TensorflowEngine }] = await Promise.all([
    import('./backend.ts'),
    import('./tensorflow.ts'),
  ]);
  const backend = await startBackend(options.backend, warn);
  return new TensorflowEngine(spec, backend);
}

/** The build of the plan compiler's kernels to use, or none for TensorFlow.js. */
function chooseProvider(wanted: EnginePlan['wanted'], { begun, warn }: EngineOptions): Provider | undefined {
  if (wanted === 'tensorflow') return undefined;
  if (wanted === 'auto') {
    if (begun?.startsWith('tensorflow/')) return undefined;
    if (begun?.startsWith('native/') && probe('native').kind === 'works' && fullName('native') === begun)
      return 'native';
    const order = begun === 'portable' ? (['portable', 'exact'] as const) : (['exact', 'portable'] as const);
    for (const provider of order) {
      const found = probe(provider);
      if (found.kind === 'works') return provider;
      warn(`the engine "${provider}" cannot be used here: ${found.why}`);
    }
    return undefined;
  }
  const found = probe(wanted);
  if (found.kind === 'works') return wanted;
  const message = `the engine "${wanted}" cannot be used here: ${found.why}`;
  return refuse([{ path: 'engine', message, accepted: '"auto", which takes one that can' }]);
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
