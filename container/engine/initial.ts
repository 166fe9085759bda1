/**
 * The weights a run starts from: a pure function of the seed and the network, computed here and not by the backend, so
 * that every worker on every machine starts from the same bits (P2).
 *
 *   kernels before relu, relu6, elu, selu, swish   heUniform      +-sqrt(6 / fanIn)              (He et al., 2015)
 *   all other kernels                              glorotUniform  +-sqrt(6 / (fanIn + fanOut))   (Glorot, Bengio, 2010)
 *   embeddings                                     uniform        +-0.05                         (as Keras has it)
 *   bias, beta, moving_mean 0;  gamma, moving_variance 1
 */
import { size, type TensorPlan } from '../../core/network.ts';
import type { Activation, LayerPlan } from '../../core/plan.ts';
import { fillUniform, purposes } from '../../core/random.ts';

const rectifiers: readonly Activation[] = ['relu', 'relu6', 'elu', 'selu', 'swish'];

/** Fills `out`, which is as long as the tensors together. */
export function initialise(
  out: Float32Array,
  tensors: readonly TensorPlan[],
  layers: readonly LayerPlan[],
  seed: number,
): void {
  let offset = 0;
  for (const { name, shape, layer } of tensors) {
    const into = out.subarray(offset, offset + size(shape));
    offset += into.length;
    const role = name.slice(name.lastIndexOf('/') + 1);
    if (role === 'kernel')
      fillUniform(into, kernelLimit(shape, activationAfter(layers, layer)), seed, purposes.initialWeights, layer);
    else if (role === 'embeddings') fillUniform(into, 0.05, seed, purposes.initialWeights, layer);
    else into.fill(role === 'gamma' || role === 'moving_variance' ? 1 : 0);
  }
}

function kernelLimit(shape: readonly number[], activation: Activation): number {
  const window = size(shape.slice(0, -2));
  const fanIn = window * shape.at(-2)!;
  const fanOut = window * shape.at(-1)!;
  return Math.sqrt(6 / (rectifiers.includes(activation) ? fanIn : fanIn + fanOut));
}

/** The layer's own activation or, when it has none, that of the activation layer behind it (past a normalisation). */
function activationAfter(layers: readonly LayerPlan[], layer: number): Activation {
  const own = layers[layer]!;
  if ('activation' in own && own.activation !== 'linear') return own.activation;
  const next = layers.slice(layer + 1).find(({ kind }) => kind !== 'batchNormalization' && kind !== 'dropout');
  return next?.kind === 'activation' ? next.activation : 'linear';
}
