/**
 * Writes a model in the TF.js Layers format: the topology as tfjs-layers itself would write it, and the weights as one
 * file, which is the flat parameter vector as it is. Plain JSON and bytes; tfjs-layers reads it, but is not needed to
 * write it.
 *
 * Invariants
 *  X1  tfjs-layers loads the result and predicts what evaluate() computes (test/unit/engine/export.test.ts).
 *  X2  The bytes depend on the parameters alone: no dates, no versions of ours.
 */
import type { Activation, LayerPlan } from '../../core/plan.ts';
import type { ExportedModel, TensorSlot } from './port.ts';

/** Name of the weights file that the manifest points to, beside model.json. */
export const weightsFile = 'weights.bin';

export interface Exportable {
  readonly name: string;
  readonly inputShape: readonly number[];
  readonly layers: readonly LayerPlan[];
}

export function exportLayersModel(
  network: Exportable,
  state: { readonly slots: readonly TensorSlot[]; readonly vector: Float32Array },
): ExportedModel {
  const layers = network.layers.map((plan, index) => {
    const { className, config } = describe(plan);
    const input = index === 0 ? { batch_input_shape: [null, ...network.inputShape] } : {};
    return { class_name: className, config: { ...input, ...config, name: plan.name, trainable: true } };
  });
  const model = {
    format: 'layers-model',
    generatedBy: 'Cuttlefish',
    convertedBy: null,
    modelTopology: {
      class_name: 'Sequential',
      config: { name: network.name, layers },
      keras_version: 'tfjs-layers 4.22.0',
      backend: 'tensor_flow.js',
    },
    weightsManifest: [
      {
        paths: [weightsFile],
        weights: state.slots.map(({ name, shape }) => ({ name, shape, dtype: 'float32' })),
      },
    ],
  };
  return { topology: `${JSON.stringify(model, null, 2)}\n`, weights: littleEndian(state.vector) };
}

function describe(plan: LayerPlan): { readonly className: string; readonly config: object } {
  switch (plan.kind) {
    case 'dense':
      return { className: 'Dense', config: { units: plan.units, ...common(plan) } };
    case 'conv2d':
      return {
        className: 'Conv2D',
        config: {
          filters: plan.filters,
          kernel_size: plan.kernelSize,
          strides: plan.strides,
          padding: plan.padding,
          data_format: 'channels_last',
          dilation_rate: [1, 1],
          ...common(plan),
        },
      };
    case 'maxPooling2d':
    case 'averagePooling2d':
      return {
        className: plan.kind === 'maxPooling2d' ? 'MaxPooling2D' : 'AveragePooling2D',
        config: {
          pool_size: plan.poolSize,
          strides: plan.strides,
          padding: plan.padding,
          data_format: 'channels_last',
        },
      };
    case 'globalMaxPooling2d':
    case 'globalAveragePooling2d':
      return {
        className: plan.kind === 'globalMaxPooling2d' ? 'GlobalMaxPooling2D' : 'GlobalAveragePooling2D',
        config: { data_format: 'channels_last' },
      };
    case 'reshape':
      return { className: 'Reshape', config: { target_shape: plan.targetShape } };
    case 'embedding':
      return {
        className: 'Embedding',
        config: { input_dim: plan.inputDim, output_dim: plan.outputDim, mask_zero: false },
      };
    case 'flatten':
      return { className: 'Flatten', config: {} };
    case 'dropout':
      return { className: 'Dropout', config: { rate: plan.rate, noise_shape: null, seed: null } };
    case 'batchNormalization':
      return {
        className: 'BatchNormalization',
        config: { axis: -1, momentum: plan.momentum, epsilon: plan.epsilon, center: true, scale: true },
      };
    case 'activation':
      return { className: 'Activation', config: { activation: activationName(plan.activation) } };
  }
}

function common(plan: { readonly activation: Activation; readonly useBias: boolean }): object {
  return { activation: activationName(plan.activation), use_bias: plan.useBias };
}

/** Keras writes its names with underscores; tfjs-layers takes both. */
function activationName(activation: Activation): string {
  return activation === 'hardSigmoid' ? 'hard_sigmoid' : activation;
}

/** The format is little endian, whatever this machine is. */
function littleEndian(vector: Float32Array): Uint8Array {
  const bytes = new Uint8Array(vector.length * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < vector.length; i += 1) view.setFloat32(i * 4, vector[i]!, true);
  return bytes;
}
