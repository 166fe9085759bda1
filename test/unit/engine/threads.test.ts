/** Several threads give the bits of one, whatever there is to divide; and a thread that fails is said to have. */
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import type { Provider } from '../../../container/engine/plan/kernels.ts';
import type { Batch, Engine, ShardNode } from '../../../container/engine/port.ts';
import { ThreadedEngine } from '../../../container/engine/threads/engine.ts';
import { Helper } from '../../../container/engine/threads/helper.ts';
import { Room } from '../../../container/engine/threads/room.ts';
import { divide } from '../../../container/engine/threads/share.ts';
import { cover, shardRange } from '../../../core/shards.ts';
import { compiled, providers, specOf } from './plan-support.ts';
import { batchFor, everything, lenet, mlp, type Net, slice, words } from './support.ts';

const adam = { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } as const;
const nets: Readonly<Record<string, Net>> = {
  mlp,
  lenet: { ...lenet, optimizer: { kind: 'sgd', momentum: 0.9, nesterov: true } },
  compressed: { ...lenet, compression: 'bf16' },
  everything: { ...everything, optimizer: adam },
  words: { ...words, optimizer: { ...adam, weightDecay: 0.1, clipNorm: 0.05 } },
};

function bits({ buffer, byteOffset, byteLength }: Float32Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

/** The nodes that cover the shards [from, to) of a batch, with room for what they give. */
function nodesOf(engine: Engine, batch: Batch, shards: number, step: number, from = 0, to = shards): ShardNode[] {
  return cover({ from, to }).map(({ level, index }) => ({
    parts: Array.from({ length: 2 ** level }, (_, i) => {
      const shard = index * 2 ** level + i;
      const range = shardRange(batch.size, shards, shard);
      return { batch: slice(batch, range.from, range.to), key: { step, shard } };
    }),
    out: new Float32Array(engine.layout.contributionLength).fill(7),
  }));
}

/** Everything that ten steps and an evaluation leave: the last steps have fewer samples than shards, and than threads. */
function trace(engine: Engine, net: Net): string[] {
  const seen: string[] = [];
  for (let step = 0; step < 10; step += 1) {
    const [node] = nodesOf(engine, batchFor(net, step < 7 ? 21 : 10 - step, step), 8, step) as [ShardNode];
    engine.contributions?.([node]);
    engine.update(node.out, 0.01, step);
    seen.push(bits(node.out), bits(engine.parameters), bits(engine.slots));
  }
  return [...seen, JSON.stringify([0, 3, 600].map((size) => engine.evaluate(batchFor(net, size, 77))))];
}

async function withThreads<T>(net: Net, provider: Provider, threads: number, use: (engine: Engine) => T): Promise<T> {
  const engine = await ThreadedEngine.start(specOf(net), provider, threads);
  try {
    return use(engine);
  } finally {
    engine.dispose();
  }
}

describe.each(providers)('on %s', (provider) => {
  test.each(Object.entries(nets))('ten steps give the bits of one thread: %s', async (_, net) => {
    const wanted = trace(compiled(net, provider), net);
    for (const threads of [2, 3, 4]) {
      expect(await withThreads(net, provider, threads, (engine) => trace(engine, net))).toEqual(wanted);
    }
  });
});

test('any shards of any batch give the bits of one thread, in any number of nodes', async () => {
  const [provider] = providers as [Provider];
  const alone = compiled(mlp, provider);
  await withThreads(mlp, provider, 3, (engine) => {
    fc.assert(
      fc.property(fc.nat(90), fc.nat(15), fc.nat(16), (size, first, run) => {
        const found = [engine, alone].map((one) => {
          const nodes = nodesOf(one, batchFor(mlp, size), 16, 3, first, Math.min(16, first + run));
          one.contributions?.(nodes);
          return nodes.map(({ out }) => bits(out));
        });
        expect(found[0]).toEqual(found[1]);
      }),
      { numRuns: 40 },
    );
  });
});

test('what is written to the parameters counts for all threads', async () => {
  const [provider] = providers as [Provider];
  const found = [compiled(mlp, provider), await ThreadedEngine.start(specOf(mlp), provider, 2)].map((engine) => {
    const [node] = nodesOf(engine, batchFor(mlp, 40), 8, 0) as [ShardNode];
    engine.contributions?.([node]);
    engine.parameters.fill(0.01);
    engine.parametersChanged();
    engine.contributions?.([node]);
    engine.parameters[3] = Number.NaN;
    engine.parametersChanged();
    const after = [bits(node.out), engine.evaluate(batchFor(mlp, 600)).lossSum, engine.findNonFinite(batchFor(mlp, 4))];
    engine.dispose();
    return after;
  });
  expect(found[1]).toEqual(found[0]);
  expect(found[0]?.[1]).toBeNaN();
});

test('each shard is in one piece, and the last thread has as many as any', () => {
  const sizes = fc.array(
    fc.nat(6).map((level) => 2 ** level),
    { maxLength: 5 },
  );
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 16 }), (nodes, threads) => {
      const shares = divide(nodes, threads);
      const shards = shares.map((share) =>
        share.flatMap(({ node, at: { level, index } }) =>
          Array.from({ length: 2 ** level }, (_, i) => `${node}/${index * 2 ** level + i}`),
        ),
      );
      expect(shards.flat()).toEqual(
        nodes.flatMap((size, node) => Array.from({ length: size }, (_, i) => `${node}/${i}`)),
      );
      expect(shards.at(-1)?.length).toBe(Math.max(...shards.map(({ length }) => length)));
    }),
  );
});

test('a room gives out no more than it was begun for', () => {
  const room = new Room();
  room.begin(5);
  expect(room.copy(Float32Array.of(1, 2, 3))).toEqual(Float32Array.of(1, 2, 3));
  expect(room.take(2)).toHaveLength(2);
  expect(() => room.take(1)).toThrow('6 values are taken of a room for 5');
  room.begin(4);
  expect(room.take(4).buffer).toBeInstanceOf(SharedArrayBuffer);
});

describe('a thread that', () => {
  const spec = specOf(mlp);
  const job = { kind: 'contributions', nodes: [] } as const;
  const entry = new URL('../../support/thread-entry.mjs', import.meta.url);

  test('throws is named, with what it threw, and goes on', async () => {
    const helper = await Helper.start('thread 2 of 3', { spec, provider: 'portable' });
    helper.give({ kind: 'contributions', nodes: [{ parts: [], out: new Float32Array(3) }] });
    expect(() => helper.answer(30_000)).toThrow('thread 2 of 3 failed: 0 shards fill no node of the tree');
    helper.give(job);
    expect(helper.answer(30_000)).toEqual({ kind: 'done' });
    await helper.stop();
    expect(() => helper.give(job)).toThrow('thread 2 of 3 was stopped');
  });

  test('does not answer is waited for as long as it may take, and no longer', async () => {
    const helper = await Helper.start('thread 2 of 3', { spec, provider: 'portable' }, entry);
    helper.give(job);
    expect(() => helper.answer(20)).toThrow('thread 2 of 3 has not answered for 20 ms');
    expect(() => helper.give(job)).toThrow('thread 2 of 3 has not done its last job yet');
    await helper.stop();
  });

  test('is gone is given nothing more', async () => {
    const helper = await Helper.start(
      'thread 2 of 3',
      { spec: { ...spec, name: 'leaving' }, provider: 'portable' },
      entry,
    );
    helper.give(job);
    expect(() => helper.answer(20)).toThrow('has not answered');
    await vi.waitFor(() => expect(() => helper.give(job)).toThrow('thread 2 of 3 is lost: it ended with code 3'));
  });

  test('cannot start says why, and leaves none of the others', async () => {
    await expect(Helper.start('thread 2 of 3', { spec, provider: 'none' as Provider })).rejects.toThrow(
      /thread 2 of 3 is lost: none\.wasm is in none of/,
    );
  });
});
