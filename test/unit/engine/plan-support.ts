/** The plan compiler's engines beside TensorFlow.js, for the tests of this folder. */
import { PlanEngine } from '../../../container/engine/plan/engine.ts';
import { type Build, type Provider, probe } from '../../../container/engine/plan/kernels.ts';
import type { Engine } from '../../../container/engine/port.ts';
import type { EngineSpec } from '../../../container/engine/spec.ts';
import { build, type Net } from './support.ts';

/** Whose bits are known. */
export const builds: readonly Build[] = (['exact', 'portable'] as const).filter((provider) => {
  const found = probe(provider);
  if (found.kind === 'works') return true;
  if (provider === 'portable') throw new Error(found.why);
  console.warn(`the tests of "exact" are left out: ${found.why}`);
  return false;
});

export const providers: readonly Provider[] = [
  ...builds,
  ...(['native'] as const).filter((provider) => {
    const found = probe(provider);
    if (found.kind === 'unavailable') console.warn(`the tests of "native" are left out: ${found.why}`);
    return found.kind === 'works';
  }),
];

export function specOf({ inputShape, layers, loss, optimizer, seed = 5, compression = 'none' }: Net): EngineSpec {
  return {
    name: 'test',
    seed,
    inputShape,
    layers,
    loss,
    optimizer: optimizer ?? { kind: 'sgd', momentum: 0, nesterov: false },
    compression,
  };
}

export function compiled(net: Net, provider: Provider): PlanEngine {
  return new PlanEngine(specOf(net), provider);
}

/**
 * The same network on both (TensorFlow.js on its plain backend, whose kernels we did not write), with the same weights,
 * moved off the zeros and ones that hide mistakes.
 */
export async function sideBySide(net: Net, provider: Provider): Promise<{ ours: PlanEngine; theirs: Engine }> {
  const theirs = await build(net, 'cpu');
  const ours = compiled(net, provider);
  const { trainableLength, parameterLength } = ours.layout;
  for (const engine of [theirs, ours]) {
    const { parameters } = engine;
    for (let i = 0; i < trainableLength; i += 1) parameters[i]! += 0.1 * Math.sin(3 * i + 1);
    for (let i = trainableLength; i < parameterLength; i += 1) parameters[i]! += 0.2 + 0.1 * Math.cos(i);
    engine.parametersChanged();
  }
  return { ours, theirs };
}

/** Largest difference, tensor by tensor, against the larger of the tensor's own size and a share of the whole. */
export function worstTensor(engine: Engine, found: Float32Array, wanted: Float32Array): number {
  const norm = (values: Float32Array) => Math.hypot(...values);
  const whole = norm(wanted.subarray(0, engine.layout.parameterLength));
  let worst = 0;
  for (const { offset, length } of engine.layout.tensors) {
    const [a, b] = [found, wanted].map((all) => all.subarray(offset, offset + length)) as [Float32Array, Float32Array];
    const scale = Math.max(norm(b), 0.01 * whole, 1e-30);
    worst = Math.max(worst, norm(a.map((value, i) => value - b[i]!)) / scale);
  }
  return worst;
}
