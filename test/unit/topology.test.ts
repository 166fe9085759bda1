import { expect, test } from 'vitest';
import { parseTopology } from '../../core/topology.ts';

const layer = (class_name: string, config: object) => ({ class_name, config });
const model = (...layers: object[]) => JSON.stringify({ class_name: 'Sequential', config: { name: 's', layers } });
const input = { batch_input_shape: [null, 8, 8, 1] };

/** path: message (accepted) of every problem. */
function problems(text: string): string[] {
  const topology = parseTopology(text);
  return topology.kind === 'invalid'
    ? topology.issues.map(({ path, message, accepted }) => `${path}: ${message} (${accepted})`)
    : [];
}

test('parseTopology() reads Keras 2 and Keras 3 files, with and without the TF.js wrapping', () => {
  const expected = {
    kind: 'network',
    inputShape: [8, 8, 1],
    layers: [
      {
        kind: 'conv2d',
        name: 'c',
        filters: 4,
        kernelSize: [3, 3],
        strides: [1, 1],
        padding: 'same',
        activation: 'relu',
        useBias: true,
      },
      { kind: 'maxPooling2d', name: 'p', poolSize: [2, 2], strides: [2, 2], padding: 'valid' },
      { kind: 'flatten', name: 'f' },
      { kind: 'dense', name: 'd', units: 10, activation: 'swish', useBias: false },
    ],
  };
  const conv = {
    name: 'c',
    trainable: true,
    filters: 4,
    kernel_size: [3, 3],
    padding: 'same',
    activation: 'relu',
    groups: 1,
    kernel_regularizer: null,
  };
  const rest = [
    layer('MaxPooling2D', { name: 'p', pool_size: 2 }),
    layer('Flatten', { name: 'f', data_format: 'channels_last' }),
    layer('Dense', { name: 'd', units: 10, activation: 'silu', use_bias: false }),
  ];
  const keras2 = model(layer('Conv2D', { ...input, ...conv }), ...rest);
  const keras3 = model(
    layer('InputLayer', { batch_shape: [null, 8, 8, 1], name: 'i' }),
    layer('Conv2D', conv),
    ...rest,
  );
  expect(parseTopology(keras2)).toEqual(expected);
  expect(parseTopology(keras3)).toEqual(expected);
  expect(parseTopology(JSON.stringify({ format: 'layers-model', modelTopology: JSON.parse(keras2) }))).toEqual(
    expected,
  );
  expect(
    parseTopology(JSON.stringify({ modelTopology: { keras_version: '2', model_config: JSON.parse(keras3) } })),
  ).toEqual(expected);
});

test('parseTopology() refuses an embedding that masks, and a shape that is left open', () => {
  const ids = { batch_input_shape: [null, 6], name: 'e', input_dim: 9, output_dim: 4 };
  const open = layer('Reshape', { name: 'r', target_shape: [-1, 2] });
  expect(problems(model(layer('Embedding', { ...ids, mask_zero: true }), open))).toEqual([
    'layers[0].config.mask_zero: true is not supported (false)',
    'layers[1].config.target_shape: [-1,2] is not supported (whole numbers from 1, all of them given)',
  ]);
  expect(parseTopology(model(layer('Embedding', ids), layer('Reshape', { name: 'r', target_shape: [24] })))).toEqual({
    kind: 'network',
    inputShape: [6],
    layers: [
      { kind: 'embedding', name: 'e', inputDim: 9, outputDim: 4 },
      { kind: 'reshape', name: 'r', targetShape: [24] },
    ],
  });
});

test('parseTopology() reports every problem of every layer at once (T2), and ignores nothing it cannot train (T1)', () => {
  const found = problems(
    model(
      layer('Conv2D', {
        ...input,
        filters: 0,
        kernel_size: [3, 3],
        dilation_rate: [2, 2],
        data_format: 'channels_first',
      }),
      layer('LSTM', { units: 4 }),
      layer('Dense', { units: 4, activation: 'gelu', kernel_regularizer: { class_name: 'L2' }, trainable: false }),
      layer('BatchNormalization', { scale: false }),
      layer('Dropout', { rate: 1 }),
    ),
  );
  expect(found.map((line) => line.slice(0, line.indexOf(':')))).toEqual([
    'layers[0].config.data_format',
    'layers[0].config.dilation_rate',
    'layers[0].config.filters',
    'layers[1]',
    'layers[2].config.trainable',
    'layers[2].config.kernel_regularizer',
    'layers[2].config.activation',
    'layers[3].config.scale',
    'layers[4].config.rate',
  ]);
  expect(found[3]).toMatch(/layer class "LSTM" is not supported \(Dense, Conv2D/);
});

test('parseTopology() refuses a normalisation over another axis than the channels', () => {
  const over = (axis: unknown) => problems(model(layer('BatchNormalization', { ...input, axis })));
  expect([over(-1), over([3]), over(3)]).toEqual([[], [], []]);
  expect(over([1])).toEqual(['layers[0].config.axis: [1] is not supported (-1 or 3, the channels)']);
});

test.each([
  ['', /not JSON/],
  ['[1]', /no model found/],
  ['{"modelTopology": {"node": []}}', /graph model, which cannot be trained/],
  ['{"class_name": "Functional", "config": {}}', /"Functional".*a Sequential model/],
  ['{"class_name": "Sequential", "config": {}}', /no list of layers/],
  [model(), /no layers/],
  [model(layer('Dense', { units: 4 })), /does not say its input shape/],
  [model(layer('Dense', { units: 4, batch_input_shape: [null, null] })), /whole numbers after the batch/],
  [model('x' as never), /not a layer/],
  [model(layer('Dense', { ...input, units: 4, name: 'a' }), layer('Dense', { units: 4, name: 'a' })), /the name "a"/],
  [
    model(layer('Dense', { batch_input_shape: [null, 4], units: 4 }), layer('Conv2D', { filters: 1, kernel_size: 3 })),
    /input of shape \[4\]/,
  ],
])('parseTopology() says what is wrong with %s', (text, expected) => {
  expect(problems(text).join('\n')).toMatch(expected);
});
