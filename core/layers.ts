/**
 * From the layers that a person wrote to those of the plan: names them, flattens images for a network that begins with
 * a dense layer, and says what does not fit. The arithmetic of shapes is core/network.ts.
 *
 * Invariants
 *  W1  Names are unique; a layer without one is called after its kind and a number, `dense_1`.
 *  W2  What `checkLayers` accepts, the engine can train with this loss on this data.
 */
import type { LayerConfig } from './config/layers.ts';
import type { Problem } from './config/positions.ts';
import { inferNetwork, outputActivation, outputActivations, size } from './network.ts';
import type { DataShape, LayerPlan, Loss, NetworkPlan } from './plan.ts';

/** Name of the layer that planning adds in front of a dense layer that gets images. */
export const addedFlatten = 'input_flatten';

export function nameLayers(layers: readonly LayerConfig[]): LayerPlan[] {
  const taken = new Set(layers.map(({ name }) => name));
  const count = new Map<string, number>();
  return layers.map((layer): LayerPlan => {
    if (layer.name !== undefined) return { ...layer, name: layer.name };
    let name: string;
    do {
      const n = (count.get(layer.kind) ?? 0) + 1;
      count.set(layer.kind, n);
      name = `${layer.kind}_${n}`;
    } while (taken.has(name));
    return { ...layer, name };
  });
}

export type ResolvedNetwork =
  | { readonly kind: 'resolved'; readonly network: NetworkPlan & { readonly kind: 'layers' } }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] };

/** All problems of the layers with this data and this loss, or the network of the plan. */
export function resolveNetwork(
  written: readonly LayerConfig[],
  data: Pick<DataShape, 'inputShape' | 'outputs' | 'task'>,
  loss: Loss,
): ResolvedNetwork {
  const named = nameLayers(written);
  const first = named[0];
  const flattens = first?.kind === 'dense' && data.inputShape.length > 1;
  const flatten: LayerPlan = { kind: 'flatten', name: freeName(addedFlatten, named) };
  const layers: readonly LayerPlan[] = flattens ? [flatten, ...named] : named;
  const added = layers.length - named.length;
  const pathOf = (layer: number) => ['network', 'layers', Math.max(0, layer - added)];

  const problems: Problem[] = [];
  const shape = inferNetwork(data.inputShape, layers);
  if (shape.kind === 'invalid') {
    for (const { layer, message, accepted } of shape.problems)
      problems.push({ path: pathOf(layer), message, accepted });
    return { kind: 'invalid', problems };
  }
  for (const [i, layer] of layers.entries()) {
    const input = shape.shapes[i - 1] ?? data.inputShape;
    if (layer.kind === 'dense' && input.length > 1) {
      const message = `dense layer "${layer.name}" gets an input of shape ${shapeText(input)}`;
      problems.push({ path: pathOf(i), message, accepted: 'a flat input: write "- flatten" before it' });
    }
  }
  const last = layers.length - 1;
  const output = shape.outputShape;
  if (problems.length === 0 && (output.length !== 1 || size(output) !== data.outputs)) {
    problems.push({ path: outputPath(named, output), ...outputProblem(layers[last], output, data) });
  }
  problems.push(...lossProblems(named, loss));
  if (problems.length > 0) return { kind: 'invalid', problems };
  const { parameters, stateParameters } = shape;
  const inputShape = data.inputShape;
  return {
    kind: 'resolved',
    network: { kind: 'layers', inputShape, outputShape: output, layers, parameters, stateParameters },
  };
}

/** Whether the loss can be trained on what the last layer gives: needs no data, so the config alone is checked too. */
export function lossProblems(layers: readonly LayerConfig[], loss: Loss): Problem[] {
  const last = layers.length - 1;
  const activation = outputActivation(layers as readonly LayerPlan[]);
  const allowed = outputActivations[loss];
  if (allowed === 'any' || allowed.includes(activation)) return [];
  return [
    {
      path: ['network', 'layers', last],
      message: `loss ${loss} does not fit a last layer with activation "${activation}"`,
      accepted: `${allowed.map((name) => `"${name}"`).join(' or ')} as the last activation, or another training.loss`,
    },
  ];
}

/** The `units` of a last dense layer, which is what a person has to change; else the layer. */
function outputPath(named: readonly LayerPlan[], output: readonly number[]): Problem['path'] {
  const at = ['network', 'layers', named.length - 1];
  return named.at(-1)?.kind === 'dense' && output.length === 1 ? [...at, 'dense', 'units'] : at;
}

function outputProblem(
  last: LayerPlan | undefined,
  output: readonly number[],
  data: Pick<DataShape, 'outputs' | 'task'>,
): { message: string; accepted: string } {
  const wanted = data.task === 'classification' ? `${data.outputs} classes` : `${data.outputs} number(s) to predict`;
  if (output.length > 1) {
    const message = `the network ends with layer "${last?.name}" of shape ${shapeText(output)}, the data have ${wanted}`;
    return { message, accepted: `"- flatten" and "- dense: {units: ${data.outputs}}" at the end` };
  }
  const message = `the network has ${size(output)} output(s), the data have ${wanted}`;
  return { message, accepted: `a last dense layer with units: ${data.outputs}` };
}

function freeName(wanted: string, layers: readonly LayerPlan[]): string {
  let name = wanted;
  while (layers.some((layer) => layer.name === name)) name = `${name}_`;
  return name;
}

export function shapeText(shape: readonly number[]): string {
  return shape.join(' x ');
}
