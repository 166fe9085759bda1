/**
 * Reads a TF.js or Keras model.json (topology only) into the layers of a plan. Pure: the text comes in, layers or every
 * problem found come out; weights in the file are not read, a run starts from its own seed.
 *
 * Accepted: a Sequential model with an input shape, as written by TF.js `model.save` or `model.toJSON`, by Keras 2
 * `to_json` or Keras 3 `to_json`, made of the layers in `readers`.
 *
 * Invariants
 *  T1  What cannot be represented exactly is a problem, never ignored: dilations, groups, constraints, regularizers,
 *      frozen layers, channels first. Initializers are the one exception: they are ours (see container/engine/initial.ts).
 *  T2  All problems of all layers are reported at once.
 */
import type { Issue } from './failure.ts';
import { inferNetwork } from './network.ts';
import type { Activation, LayerPlan } from './plan.ts';

export type Topology =
  | { readonly kind: 'network'; readonly inputShape: readonly number[]; readonly layers: readonly LayerPlan[] }
  | { readonly kind: 'invalid'; readonly issues: readonly Issue[] };

type Json = { readonly [key: string]: unknown };

export function parseTopology(text: string): Topology {
  const issues: Issue[] = [];
  const problem = (path: string, message: string, accepted: string): void => {
    issues.push({ path, line: 0, column: 0, message, accepted });
  };
  const entries = findLayers(text, problem);
  let inputShape: readonly number[] | undefined;
  const layers: LayerPlan[] = [];
  const axes: { readonly layer: number; readonly field: Fields }[] = [];
  for (const [index, entry] of (entries ?? []).entries()) {
    const path = `layers[${index}]`;
    const className = isObject(entry) ? entry.class_name : undefined;
    if (!isObject(entry) || typeof className !== 'string') {
      problem(path, 'not a layer', 'an object with class_name and config');
      continue;
    }
    const field = new Fields(isObject(entry.config) ? entry.config : {}, path, problem);
    if (index === 0) inputShape = field.inputShape();
    if (className === 'InputLayer') continue;
    const read = readers[className];
    if (read === undefined) {
      problem(path, `layer class "${className}" is not supported`, Object.keys(readers).join(', '));
      continue;
    }
    field.only('trainable', [true], 'true');
    if (className === 'BatchNormalization') axes.push({ layer: layers.length, field });
    layers.push(read(field.name(`layer_${index}`), field));
  }
  if (entries !== undefined && inputShape === undefined) {
    problem(
      'layers[0]',
      'the model does not say its input shape',
      'batch_input_shape or batch_shape like [null, 28, 28, 1]',
    );
  }
  if (entries !== undefined && layers.length === 0) problem('layers', 'the model has no layers', 'at least one layer');
  const names = layers.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) problem('layers', `two layers have the name "${twice}"`, 'unique layer names');
  if (issues.length > 0 || inputShape === undefined) return { kind: 'invalid', issues };
  const shape = inferNetwork(inputShape, layers);
  if (shape.kind === 'invalid') {
    for (const { message, accepted } of shape.problems) problem('layers', message, accepted);
  } else {
    // Only now is it known which axis the last one is.
    for (const { layer, field } of axes) field.lastAxis(shape.shapes[layer]?.length ?? 1);
  }
  if (issues.length > 0) return { kind: 'invalid', issues };
  return { kind: 'network', inputShape, layers };
}

type Report = (path: string, message: string, accepted: string) => void;

/** Unwraps `{modelTopology: {model_config: {class_name, config: {layers: [...]}}}}`, in whichever of its layers the file starts. */
function findLayers(text: string, problem: Report): readonly unknown[] | undefined {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    problem('', `not JSON: ${error instanceof Error ? error.message : error}`, 'a TF.js or Keras model.json');
    return undefined;
  }
  for (const wrapper of ['modelTopology', 'model_config']) {
    if (isObject(document) && isObject(document[wrapper])) document = document[wrapper];
  }
  if (isObject(document) && 'node' in document) {
    problem('', 'this is a TF.js graph model, which cannot be trained', 'a layers model (format "layers-model")');
    return undefined;
  }
  if (!isObject(document) || typeof document.class_name !== 'string') {
    problem('', 'no model found in the file', 'a TF.js or Keras model.json with class_name and config');
    return undefined;
  }
  if (document.class_name !== 'Sequential') {
    problem('', `a model of class "${document.class_name}"`, 'a Sequential model');
    return undefined;
  }
  const config = document.config;
  const layers = isObject(config) ? config.layers : config;
  if (!Array.isArray(layers)) {
    problem('', 'the model has no list of layers', 'config.layers');
    return undefined;
  }
  return layers;
}

const readers: { readonly [className: string]: (name: string, field: Fields) => LayerPlan } = {
  Dense: (name, field) => {
    field.plain();
    return {
      kind: 'dense',
      name,
      units: field.whole('units'),
      activation: field.activation(),
      useBias: field.flag('use_bias'),
    };
  },
  Conv2D: (name, field) => {
    field.plain();
    field.channelsLast();
    field.only('dilation_rate', [[1, 1], 1], '[1, 1]');
    field.only('groups', [1], '1');
    return {
      kind: 'conv2d',
      name,
      filters: field.whole('filters'),
      kernelSize: field.pair('kernel_size'),
      strides: field.pair('strides', [1, 1]),
      padding: field.padding(),
      activation: field.activation(),
      useBias: field.flag('use_bias'),
    };
  },
  MaxPooling2D: (name, field) => pooling('maxPooling2d', name, field),
  AveragePooling2D: (name, field) => pooling('averagePooling2d', name, field),
  GlobalMaxPooling2D: (name, field) => globalPooling('globalMaxPooling2d', name, field),
  GlobalAveragePooling2D: (name, field) => globalPooling('globalAveragePooling2d', name, field),
  Reshape: (name, field) => ({ kind: 'reshape', name, targetShape: field.shape('target_shape') }),
  Embedding: (name, field) => {
    field.only('embeddings_regularizer', [], 'null');
    field.only('embeddings_constraint', [], 'null');
    field.only('activity_regularizer', [], 'null');
    field.only('mask_zero', [false], 'false');
    return { kind: 'embedding', name, inputDim: field.whole('input_dim'), outputDim: field.whole('output_dim') };
  },
  Flatten: (name, field) => {
    field.channelsLast();
    return { kind: 'flatten', name };
  },
  Dropout: (name, field) => {
    field.only('noise_shape', [], 'null');
    return { kind: 'dropout', name, rate: field.fraction('rate') };
  },
  BatchNormalization: (name, field) => {
    field.plain();
    field.only('scale', [true], 'true');
    field.only('center', [true], 'true');
    return {
      kind: 'batchNormalization',
      name,
      momentum: field.fraction('momentum', 0.99),
      epsilon: field.fraction('epsilon', 1e-3),
    };
  },
  Activation: (name, field) => ({ kind: 'activation', name, activation: field.activation() }),
  ReLU: (name, field) => {
    field.only('negative_slope', [0], '0');
    field.only('threshold', [0], '0');
    field.only('max_value', [6], 'null or 6');
    return { kind: 'activation', name, activation: field.has('max_value') ? 'relu6' : 'relu' };
  },
  Softmax: (name, field) => {
    field.only('axis', [-1], '-1');
    return { kind: 'activation', name, activation: 'softmax' };
  },
  ELU: (name, field) => {
    field.only('alpha', [1], '1');
    return { kind: 'activation', name, activation: 'elu' };
  },
};

function pooling(kind: 'maxPooling2d' | 'averagePooling2d', name: string, field: Fields): LayerPlan {
  field.channelsLast();
  const poolSize = field.pair('pool_size', [2, 2]);
  return { kind, name, poolSize, strides: field.pair('strides', poolSize), padding: field.padding() };
}

function globalPooling(kind: 'globalMaxPooling2d' | 'globalAveragePooling2d', name: string, field: Fields): LayerPlan {
  field.channelsLast();
  field.only('keepdims', [false], 'false');
  return { kind, name };
}

const activations: { readonly [name: string]: Activation } = {
  linear: 'linear',
  relu: 'relu',
  relu6: 'relu6',
  elu: 'elu',
  selu: 'selu',
  sigmoid: 'sigmoid',
  hard_sigmoid: 'hardSigmoid',
  hardSigmoid: 'hardSigmoid',
  tanh: 'tanh',
  softmax: 'softmax',
  softplus: 'softplus',
  softsign: 'softsign',
  swish: 'swish',
  silu: 'swish',
};

/** Reads one layer's config; a value that does not fit is reported and replaced, so that the others are read too. */
class Fields {
  readonly #config: Json;
  readonly #path: string;
  readonly #problem: Report;

  constructor(config: Json, path: string, problem: Report) {
    this.#config = config;
    this.#path = path;
    this.#problem = problem;
  }

  has(key: string): boolean {
    return this.#config[key] !== undefined && this.#config[key] !== null;
  }

  name(otherwise: string): string {
    const name = this.#config.name;
    return typeof name === 'string' && name !== '' ? name : otherwise;
  }

  inputShape(): readonly number[] | undefined {
    const shape = this.#config.batch_input_shape ?? this.#config.batch_shape;
    if (!Array.isArray(shape)) return undefined;
    const sample = shape.slice(1);
    if (sample.length > 0 && sample.every((length) => isWhole(length))) return sample;
    this.#refuse('batch_input_shape', shape, 'whole numbers after the batch dimension');
    // Reported; any shape will do for the rest.
    return [1];
  }

  whole(key: string): number {
    const value = this.#config[key];
    if (isWhole(value)) return value;
    this.#refuse(key, value, 'a whole number from 1');
    return 1;
  }

  shape(key: string): readonly number[] {
    const value = this.#config[key];
    if (Array.isArray(value) && value.length > 0 && value.every(isWhole)) return value;
    this.#refuse(key, value, 'whole numbers from 1, all of them given');
    return [1];
  }

  fraction(key: string, otherwise?: number): number {
    const value = this.#config[key] ?? otherwise;
    if (typeof value === 'number' && value >= 0 && value < 1) return value;
    this.#refuse(key, value, 'a number from 0 to below 1');
    return 0;
  }

  flag(key: string): boolean {
    const value = this.#config[key] ?? true;
    if (typeof value === 'boolean') return value;
    this.#refuse(key, value, 'true or false');
    return true;
  }

  pair(key: string, otherwise?: readonly [number, number]): readonly [number, number] {
    const value = this.#config[key] ?? otherwise;
    if (isWhole(value)) return [value, value];
    if (Array.isArray(value) && value.length === 2 && isWhole(value[0]) && isWhole(value[1])) {
      return [value[0], value[1]];
    }
    this.#refuse(key, value, 'two whole numbers from 1');
    return [1, 1];
  }

  padding(): 'valid' | 'same' {
    const value = this.#config.padding ?? 'valid';
    if (value === 'valid' || value === 'same') return value;
    this.#refuse('padding', value, 'valid or same');
    return 'valid';
  }

  activation(): Activation {
    const value = this.#config.activation ?? 'linear';
    const known = typeof value === 'string' ? activations[value] : undefined;
    if (known !== undefined) return known;
    this.#refuse('activation', value, Object.keys(activations).join(', '));
    return 'linear';
  }

  /** Nothing but the listed values, or the field absent or null (T1). */
  only(key: string, values: readonly unknown[], accepted: string): void {
    const value = this.#config[key];
    if (value === undefined || value === null) return;
    if (!values.some((one) => JSON.stringify(one) === JSON.stringify(value))) this.#refuse(key, value, accepted);
  }

  channelsLast(): void {
    this.only('data_format', ['channels_last', 'channelsLast'], 'channels_last');
  }

  /** Keras writes the axis as a number or as a list of one, counted with the batch dimension. */
  lastAxis(rank: number): void {
    this.only('axis', [-1, [-1], rank, [rank]], `-1 or ${rank}, the channels`);
  }

  /** Nothing added to the loss and nothing that bends the weights after an update. */
  plain(): void {
    for (const of of ['kernel', 'bias', 'activity', 'beta', 'gamma']) {
      this.only(`${of}_regularizer`, [], 'null');
      this.only(`${of}_constraint`, [], 'null');
    }
  }

  #refuse(key: string, value: unknown, accepted: string): void {
    this.#problem(`${this.#path}.config.${key}`, `${JSON.stringify(value) ?? 'nothing'} is not supported`, accepted);
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isWhole(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1;
}
