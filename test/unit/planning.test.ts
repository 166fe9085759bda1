/** makePlan(): numbers, and problems that only the data can show. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../core/config/parse.ts';
import { describePlan } from '../../core/describe-plan.ts';
import { describeIssue } from '../../core/failure.ts';
import type { DataShape, RunPlan } from '../../core/plan.ts';
import { makePlan, type PlanFacts, type Planned } from '../../core/planning.ts';

const images: DataShape = {
  inputShape: [28, 28, 1],
  outputs: 10,
  task: 'classification',
  trainSamples: 60_000,
  validationSamples: 0,
  testSamples: 10_000,
};
const files = { trainImages: 'a', trainLabels: 'b', testImages: 'c', testLabels: 'd' };
const mnist = 'version: 1\nname: mnist\ndata: {source: mnist, path: "s3://data/mnist"}\n';
const mlp = `network:
  layers:
    - dense: {units: 128, activation: relu}
    - dense: {units: 128, activation: relu}
    - dense: {units: 10, activation: softmax}
`;

function plan(text: string, facts: Partial<PlanFacts> = {}): Planned {
  const parsed = parseConfig(text, 'test.yaml');
  if (parsed.kind === 'invalid') throw new Error(parsed.issues.map(describeIssue).join('\n'));
  const known = { runId: 'mnist-0123456789ab', configDigest: 'sha256:0', shape: images, files };
  return makePlan(parsed.config, { ...known, world: 'embedded', positions: parsed.positions, ...facts });
}

function planned(text: string, facts: Partial<PlanFacts> = {}): RunPlan {
  const made = plan(text, facts);
  if (made.kind === 'invalid') throw new Error(made.issues.map(describeIssue).join('\n'));
  return made.plan;
}

function problems(text: string, facts: Partial<PlanFacts> = {}): string[] {
  const made = plan(text, facts);
  return made.kind === 'invalid' ? made.issues.map(describeIssue) : [];
}

describe('makePlan() resolves', () => {
  it('steps, parameters, checkpoint and the added flatten layer of MNIST', () => {
    const made = planned(mnist + mlp);
    expect(made.training).toMatchObject({ stepsPerEpoch: 469, totalSteps: 2345, learningRate: 0.001 });
    expect(made.training.metrics).toEqual(['accuracy', 'loss']);
    expect(made.network).toMatchObject({ parameters: 784 * 128 + 128 + 128 * 128 + 128 + 1290, outputShape: [10] });
    const names = made.network.kind === 'layers' ? made.network.layers.map(({ name }) => name) : [];
    expect(names).toEqual(['input_flatten', 'dense_1', 'dense_2', 'dense_3']);
    expect(made.checkpoint).toEqual({
      everySteps: 1,
      cadence: { kind: 'share', most: 0.01, leastMs: 10_000, mostMs: 900_000 },
      keep: 3,
      store: 'table',
      bytes: 3 * 4 * 118_282,
    });
    // What the rows of one run may take of the table is little: a larger checkpoint goes to the bucket.
    const wide = planned(mnist + mlp.replaceAll('128', '256'));
    expect(wide.checkpoint).toMatchObject({ store: 'objects', bytes: 3 * 4 * wide.network.parameters });
    expect(made.data).toEqual({ source: 'idx', dialect: 'mnist', path: 's3://data/mnist', files, classes: 10 });
  });

  it('short timings and local processes for the laptop, whatever the config launches', () => {
    const made = planned(`${mnist}${mlp}cluster: {launch: ec2-spot}\n`);
    expect(made.cluster).toMatchObject({
      launch: 'local',
      ladder: ['local'],
      startDeadlineMs: 20_000,
      holdDeadlineMs: 60_000,
    });
    expect(made.timing).toMatchObject({ heartbeatIntervalMs: 200, leaseDurationMs: 500, watchHeartbeatSeconds: 20 });
    expect(made.price).toMatchObject({ usdPerHour: 0, worstCaseUsd: 0 });
  });

  it('a member that hangs as missed within a second on the laptop, but where nobody waits for it', () => {
    const missedAfterMs = (mode: string, servers: number): number => {
      const cluster = `cluster: {launch: local, parameterServers: ${servers}}\n`;
      const { memberTimeoutMs, heartbeatIntervalMs } = planned(
        `${mnist}${mlp}training: {mode: ${mode}}\n${cluster}`,
      ).timing;
      return memberTimeoutMs + heartbeatIntervalMs;
    };
    expect(missedAfterMs('synchronous', 0)).toBeLessThan(1000);
    expect(missedAfterMs('asynchronous', 2)).toBeGreaterThan(4000);
  });

  it('how long a task may be silent, with lease and heartbeats that fit, when the config says so', () => {
    const timing = (world: 'embedded' | 'aws', hungAfter: string) =>
      planned(`${mnist}${mlp}recovery: {hungAfter: ${hungAfter}}\n`, { world }).timing;
    expect(timing('embedded', '6s')).toMatchObject({
      memberTimeoutMs: 6000,
      leaseDurationMs: 4000,
      heartbeatIntervalMs: 200,
    });
    expect(timing('aws', '2s')).toMatchObject({
      memberTimeoutMs: 2000,
      leaseDurationMs: 1000,
      heartbeatIntervalMs: 500,
    });
  });

  it('the ladder from Spot to on-demand on AWS, and the price of its dearest rung', () => {
    const spot = planned(`${mnist}${mlp}cluster: {launch: fargate-spot, workers: 4}\nlimits: {maxDuration: 2h}\n`, {
      world: 'aws',
    });
    expect(spot.cluster.ladder).toEqual(['fargate-spot', 'fargate']);
    expect(spot.price.usdPerHour).toBeCloseTo(4 * (0.04048 + 2 * 0.004445), 6);
    // The worst is that all tasks have to grow to their largest size at once.
    expect(spot.cluster.worker.growth.map(({ memoryMiB }) => memoryMiB)).toEqual([4096, 8192]);
    const grown = 4 * (0.04048 + 8 * 0.004445);
    expect(spot.price.worstCaseUsd).toBeCloseTo(2 * grown + spot.price.transitions * 0.000025, 5);
    const strict = planned(`${mnist}${mlp}cluster: {launch: fargate-spot, workers: 4, fallback: none}\n`, {
      world: 'aws',
    });
    expect(strict.cluster.ladder).toEqual(['fargate-spot']);
    expect(strict.price.usdPerHour).toBeLessThan(spot.price.usdPerHour / 2);
  });

  it('what the run should cost, far below the worst case: MNIST on four Spot workers, ten epochs, is cents', () => {
    const { price } = planned(`${mnist}${mlp}cluster: {launch: fargate-spot, workers: 4}\ntraining: {epochs: 10}\n`, {
      world: 'aws',
    });
    expect(price.expected.durationMs).toBeGreaterThan(90_000);
    expect(price.expected.durationMs).toBeLessThan(600_000);
    expect(price.expected.usd).toBeGreaterThan(0.001);
    expect(price.expected.usd).toBeLessThan(0.02);
    expect(price.worstCaseUsd).toBeGreaterThan(100 * price.expected.usd);
  });

  it('a cost cap as the worst case, with a minute to stop in', () => {
    const { price } = planned(`${mnist}${mlp}limits: {maxCostUsd: 0.05}\n`, { world: 'aws' });
    expect(price.worstCaseUsd).toBeGreaterThan(0.05);
    expect(price.worstCaseUsd).toBeLessThan(0.05 + (2 * price.usdPerHour) / 60 + price.transitions * 0.000025 + 1e-6);
  });

  it('what a task is given: the smallest size that fits, or the one asked for', () => {
    expect(planned(mnist + mlp).cluster.worker).toMatchObject({ min: 1, max: 2, cpu: 1024, memoryMiB: 2048 });
    const asked = planned(
      `${mnist}${mlp}cluster: {parameterServers: 2, worker: {cpu: 512}, parameterServer: {memoryMiB: 512}}\n`,
    );
    expect(asked.cluster.worker).toMatchObject({ cpu: 512, memoryMiB: 1024 });
    expect(asked.cluster.parameterServer).toMatchObject({ min: 2, max: 2, cpu: 256, memoryMiB: 512 });
    const big = planned(mnist + mlp.replace('units: 128', 'units: 30000').replace('units: 128', 'units: 4096'));
    expect(big.cluster.worker.memoryMiB).toBeGreaterThanOrEqual(big.cluster.worker.memoryNeededMiB);
    expect(big.cluster.worker.cpu).toBeGreaterThan(1024);
    expect(big.checkpoint.store).toBe('objects');
  });

  it('the threads of a worker: one for each vCPU of its task, as long as there are shards for them, and why', () => {
    const threadsOf = (more: string, world: 'aws' | 'embedded' = 'aws') =>
      planned(`${mnist}${mlp}${more}\n`, { world }).cluster.threads;
    expect(threadsOf('')).toEqual({ count: 1, why: 'a task has 1 vCPU' });
    expect(threadsOf('cluster: {worker: {cpu: 256}}')).toEqual({ count: 1, why: 'a task has 0.25 vCPU' });
    expect(threadsOf('cluster: {worker: {cpu: 4096}}')).toEqual({ count: 4, why: 'one for each vCPU' });
    expect(threadsOf('cluster: {worker: {memoryMiB: 30720}}')).toEqual({ count: 4, why: 'one for each vCPU' });
    const few = { count: 4, why: 'a worker has at most 4 of the shards' };
    expect(threadsOf('cluster: {workers: {min: 2, max: 4}, worker: {cpu: 8192}}')).toEqual(few);
    expect(threadsOf('cluster: {worker: {cpu: 4096}}\nengine: tensorflow').count).toBe(1);
    expect(threadsOf('cluster: {worker: {threads: 2}}')).toEqual({ count: 2, why: 'as the config says, on 1 vCPU' });
    const asked = planned(`${mnist}${mlp}cluster: {worker: {cpu: 4096, threads: 2}}\n`, { world: 'aws' });
    expect(asked.cluster.threads).toEqual({ count: 2, why: 'as the config says' });
    expect(describePlan(asked)).toContain('each worker computes in 2 thread(s): as the config says');
    expect(threadsOf('cluster: {worker: {cpu: 4096}}', 'embedded').count).toBe(1);
    expect(threadsOf('cluster: {worker: {threads: 3}}', 'embedded').count).toBe(3);
  });

  it('more memory and less time for more threads', () => {
    const [one, four] = [1, 4].map((threads) =>
      planned(`${mnist}${mlp}cluster: {worker: {cpu: 4096, threads: ${threads}}}\n`, { world: 'aws' }),
    ) as [RunPlan, RunPlan];
    const more = four.cluster.worker.memoryNeededMiB - one.cluster.worker.memoryNeededMiB;
    expect(more).toBeGreaterThan(3 * 48);
    expect(more).toBeLessThan(3 * 64);
    expect(four.price.expected.durationMs).toBeLessThan(one.price.expected.durationMs);
    expect(describePlan(four)).toMatch(/3 more thread\(s\) +\d+/);
  });

  it('no checkpoints, or checkpoints at epoch ends only', () => {
    expect(planned(`${mnist}${mlp}checkpoint: {every: epoch}\n`).checkpoint.everySteps).toBe(469);
    expect(planned(`${mnist}${mlp}checkpoint: {every: never}\n`).checkpoint.everySteps).toBe(0);
  });

  it('checkpoints by the clock, or as often as pays', () => {
    const checkpoint = (written: string) => planned(`${mnist}${mlp}checkpoint: ${written}\n`).checkpoint;
    expect(checkpoint('{everySteps: 7}')).toMatchObject({ everySteps: 7, cadence: { kind: 'steps' } });
    expect(checkpoint('{everySeconds: 30}')).toMatchObject({
      everySteps: 1,
      cadence: { kind: 'time', everyMs: 30_000 },
    });
    expect(checkpoint('{every: auto}')).toMatchObject({ everySteps: 1, cadence: { kind: 'auto' } });
  });

  it('a history below its limit for any number of epochs', () => {
    for (const epochs of [1, 100, 1000, 10_000]) {
      for (const world of ['embedded', 'aws'] as const) {
        const { history } = planned(`${mnist}${mlp}training: {epochs: ${epochs}}\n`, { world });
        expect(history.worstCaseEvents).toBeLessThanOrEqual(20_000);
        expect(history.maxTurns).toBeGreaterThan(epochs / history.epochsPerTurn);
      }
    }
    expect(planned(mnist + mlp).history.epochsPerTurn).toBe(1);
  });

  it('the same plan from the same facts', () => {
    expect(planned(mnist + mlp)).toEqual(planned(mnist + mlp));
  });

  it('a model.json by what was read of it', () => {
    const facts = {
      inputShape: [28, 28, 1],
      outputShape: [10],
      parameters: 7850,
      stateParameters: 0,
      topologyKey: 'k',
    };
    const text = `${mnist}network: {model: "s3://data/model.json"}\n`;
    expect(planned(text, { model: facts }).network).toEqual({ kind: 'model', uri: 's3://data/model.json', ...facts });
    expect(problems(text, { model: { ...facts, outputShape: [9] } })[0]).toContain('the model gives 9');
    expect(problems(text)[0]).toContain('nothing is known about the model');
  });
});

describe('makePlan() refuses', () => {
  it('batch normalisation that would not settle in asynchronous mode', () => {
    const bn = (momentum: number): string =>
      `${mnist}network: {layers: [flatten, {batchNormalization: {momentum: ${momentum}}}, {dense: {units: 10, activation: softmax}}]}\n`;
    const asynchronous = 'training: {mode: asynchronous}\ncluster: {parameterServers: 2}\n';
    expect(problems(`${bn(0.5)}${asynchronous}`)[0]).toContain('a momentum of 0.5 does not settle');
    expect(planned(`${bn(0.9)}${asynchronous}`).training).toMatchObject({ mode: 'asynchronous', maxStaleness: 4 });
    expect(planned(bn(0.5)).training.mode).toBe('synchronous');
  });

  it('data and a launch kind that AWS does not have', () => {
    const text = `version: 1\nname: a\ndata: {source: mnist}\n${mlp}cluster: {launch: local}\n`;
    const found = problems(text, { world: 'aws' });
    expect(found).toHaveLength(2);
    expect(found[0]).toContain('3:1 data.path: "data/mnist" cannot be reached from AWS');
    expect(found[1]).toContain('cluster.launch: "local" is for a laptop');
  });

  it('outputs that are not the classes of the data', () => {
    const idx = mnist.replace('source: mnist', 'source: idx');
    expect(problems(idx + mlp, { shape: { ...images, outputs: 26 } })).toEqual([
      '  8:22 network.layers[2].dense.units: the network has 10 output(s), the data have 26 classes; accepted: a last dense layer with units: 26',
    ]);
  });

  it('a convolution over columns', () => {
    const text =
      'version: 1\nname: a\ndata: {source: csv, path: "s3://data/a.csv"}\nnetwork: {layers: [{conv2d: {filters: 2}}, flatten, {dense: {units: 3}}]}\n';
    const shape: DataShape = { ...images, inputShape: [4], outputs: 3, trainSamples: 150 };
    const csv = { columns: 5, labelColumn: 4, classNames: ['a', 'b', 'c'] };
    const [first] = problems(text, { shape, csv });
    expect(first).toContain('4:20 network.layers[0]');
    expect(first).toContain('accepted: an image');
  });

  it('a batch larger than the data, and data with nothing held out', () => {
    const shape = { ...images, trainSamples: 100, testSamples: 0 };
    const found = problems(mnist + mlp, { shape });
    expect(found.join('\n')).toContain('"128" is more than the 100 training samples; accepted: at most 100');
    expect(found.join('\n')).toContain('no samples to measure');
  });

  it('memory that does not fit, with the size that would', () => {
    const large = mlp.replace('units: 128', 'units: 60000');
    const found = problems(`${mnist}${large}cluster: {worker: {cpu: 1024, memoryMiB: 2048}}\n`);
    expect(found[0]).toMatch(/9:42 cluster.worker.memoryMiB: a worker needs about \d+ MiB .* accepted: cpu \d+ with/);
    const kept = problems(`${mnist}${large}cluster: {worker: {cpu: 256}}\n`);
    expect(kept[0]).toContain('would have 2048');
    const huge = mlp.replaceAll('units: 128', 'units: 65536');
    expect(problems(mnist + huge)[0]).toContain('accepted: at most 122880 MiB');
  });

  it('budgets that the history has no room for', () => {
    const found = problems(`${mnist}${mlp}recovery: {maxRecoveries: 1000, maxLaunches: 1000}\n`);
    expect(found[0]).toContain('recovery: these budgets may need');
  });

  it('a cost cap that is spent at once', () => {
    const found = problems(
      `${mnist}${mlp}cluster: {workers: 8, worker: {cpu: 16384, memoryMiB: 122880}}\nlimits: {maxCostUsd: 0.01}\n`,
      {
        world: 'aws',
      },
    );
    expect(found[0]).toContain('would be spent within a minute');
  });
});

describe('describePlan()', () => {
  it('shows every part of the plan, and the layer that was added', () => {
    const text = describePlan(
      planned(
        `${mnist}${mlp}cluster: {launch: fargate-spot, parameterServers: 1}\nchaos: [pause worker 1 at step 5 for 2s]\n`,
        {
          world: 'aws',
        },
      ),
    );
    for (const part of ['Data', 'Network', 'Training', 'Tasks', 'Memory', 'Elasticity', 'Limits', 'Price', 'Chaos']) {
      expect(text).toContain(`\n${part}\n`);
    }
    expect(text).toMatch(/input_flatten +784 +added: the samples are 28 x 28 x 1/);
    expect(text).toContain('118,282 trained');
    expect(text).toContain('fargate-spot, then fargate');
    expect(text).toContain('pause worker 1 at step 5 for 2s');
    expect(text).toMatch(/parameter-server +1 +/);
    expect(text).toContain('of 25,000');
    expect(text).toMatch(/worst case +\$\d+\.\d\d \(1d with all tasks\)/);
    const capped = describePlan(planned(`${mnist}${mlp}limits: {maxCostUsd: 0.05}\n`, { world: 'aws' }));
    expect(capped).toContain('(the cap and a minute to stop)');
    expect(text).not.toMatch(/undefined|NaN|\[object/);
  });
});
