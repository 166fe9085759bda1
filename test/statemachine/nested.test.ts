/** Our workflow as a step of another one: the example that is published, and what a parent sees of a run that fails. */
import { readFileSync } from 'node:fs';
import validate from 'asl-validator';
import { afterEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadStateMachine } from '../../cloud/embedded/asl/load.ts';
import { inputSchema } from '../../core/execution-input.ts';
import { failureTable } from '../../core/failure.ts';
import { resultSchema } from '../../core/result.ts';
import { createHarness, type Harness, type Script, trainArn } from '../support/workflow-harness.ts';

const source = readFileSync(
  new URL('../../statemachines/examples/pick-learning-rate.asl.yaml', import.meta.url),
  'utf8',
);
const around = loadStateMachine(source, () => trainArn);

let harness: Harness | undefined;
afterEach(async () => {
  await harness?.close();
  harness = undefined;
});

/** The first worker of each run trains it. */
function training(): Script {
  const led = new Set<string>();
  return async (task) => {
    const first = !led.has(task.runId);
    led.add(task.runId);
    await task.running();
    if (first) await task.lead();
  };
}

test('the validator of the States Language accepts the example', () => {
  const result = validate(parse(source) as never);
  expect(result.isValid, result.errorsText()).toBe(true);
});

test('a parent trains several candidates and answers with the best; the same candidate twice is one run', async () => {
  harness = createHarness({ around, script: training() });
  const ended = await harness.run('pick', { candidates: [0.3, 0.01], epochs: 2 });
  expect([ended.status, ended.cause]).toEqual(['SUCCEEDED', undefined]);
  expect(ended.output).toMatchObject({ accuracy: 0.99, usd: 0, model: expect.stringContaining('model.json') });
  const runs = new Set((await harness.cloud.objects.list('runs/')).map((key) => key.split('/')[1]));
  expect(runs.size).toBe(2);
  for (const runId of runs) {
    const stored = await harness.cloud.objects.get(`runs/${runId}/result.json`);
    expect(resultSchema.parse(JSON.parse(new TextDecoder().decode(stored?.body)))).toMatchObject({
      status: 'succeeded',
    });
    expect(await harness.alive(String(runId))).toEqual([]);
  }
});

test('a parent sees the kind of a failure, and goes on', async () => {
  harness = createHarness({ around, script: training() });
  // 0 is no learning rate.
  const ended = await harness.run('pick', { candidates: [0], epochs: 2 });
  expect(ended.output).toEqual({ learningRate: 0, accuracy: -1, failed: 'ConfigInvalid' });
});

test('an execution is told what its input should be', async () => {
  harness = createHarness({});
  for (const wrong of [
    {},
    { config: 3 },
    { configUri: 's3://b/c', runId: '../../etc' },
    { config: 'x', runId: 'A B' },
  ]) {
    expect(inputSchema.safeParse(wrong).success, JSON.stringify(wrong)).toBe(false);
    const name = `wrong-${JSON.stringify(wrong).length}`;
    const { status, error, cause } = await harness.run(name, wrong);
    expect([status, error]).toEqual(['FAILED', 'ConfigInvalid']);
    expect(cause).toContain('accepted: {\\"config\\"');
  }
  const started = {
    configUri: 's3://b/configs/a.yaml',
    version: 'v',
    runId: 'a-1',
    submission: '00',
    AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID: 'arn',
  };
  expect(inputSchema.safeParse(started).success).toBe(true);
});

test('the schemas say what the code says', () => {
  const read = (name: string) => JSON.parse(readFileSync(`statemachines/train.${name}.schema.json`, 'utf8'));
  expect(read('output').properties.failure.properties.kind.enum).toEqual(Object.keys(failureTable));
  expect(read('input').anyOf.map((one: { required: string[] }) => one.required)).toEqual([['config'], ['configUri']]);
});
