/** What a model.json that a config names is like, for Plan: its shapes and sizes, and its text to keep with the run. */
import { CuttlefishError } from '../core/failure.ts';
import { inferNetwork } from '../core/network.ts';
import { parseTopology } from '../core/topology.ts';
import type { Datasets } from './ports.ts';

export interface InspectedModel {
  readonly inputShape: readonly number[];
  readonly outputShape: readonly number[];
  readonly parameters: number;
  readonly stateParameters: number;
}

const maxBytes = 10 * 1024 * 1024;

/** Throws ConfigInvalid with everything that is wrong with the model. */
export async function inspectModel(
  uri: string,
  datasets: Datasets,
): Promise<{ readonly model: InspectedModel; readonly text: string }> {
  // One byte more than is accepted shows that there is more.
  const body = await datasets.read(uri, { from: 0, to: maxBytes + 1 });
  if (body === undefined) throw invalid(uri, 'there is no such file', 'a TF.js or Keras model.json');
  if (body.length > maxBytes) throw invalid(uri, 'the file is too large', `at most ${maxBytes} bytes`);
  const text = new TextDecoder().decode(body);
  const topology = parseTopology(text);
  if (topology.kind === 'invalid') {
    throw new CuttlefishError({ kind: 'ConfigInvalid', source: uri, issues: topology.issues });
  }
  const { inputShape, layers } = topology;
  const network = inferNetwork(inputShape, layers);
  if (network.kind === 'invalid') {
    const [problem] = network.problems;
    throw invalid(uri, problem?.message ?? 'its layers do not fit', problem?.accepted ?? 'layers that fit');
  }
  const { outputShape, parameters, stateParameters } = network;
  return { model: { inputShape, outputShape, parameters, stateParameters }, text };
}

function invalid(source: string, message: string, accepted: string): CuttlefishError {
  return new CuttlefishError({
    kind: 'ConfigInvalid',
    source,
    issues: [{ path: 'network.model', line: 0, column: 0, message, accepted }],
  });
}
