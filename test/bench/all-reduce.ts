/**
 * One process of the all-reduce bench: the real transport, trainer and reducer, with a constant in the place of the
 * engine. Started by wire.ts, which tells it who the others are; answers the milliseconds of one all-reduce for each size.
 */
import { Vectors } from '../../container/engine/vectors.ts';
import { createPool, poolLengths } from '../../container/wire/pool.ts';
import { Transport } from '../../container/wire/transport.ts';
import type { Effect } from '../../core/gang/effects.ts';
import type { Gang, Message } from '../../core/gang/messages.ts';
import { partitionLength } from '../../core/gang/partitions.ts';
import { Reducer } from '../../core/gang/reducer.ts';
import { Trainer } from '../../core/gang/trainer.ts';
import { Holdings } from '../../core/gang/vector-pool.ts';
import type { GangMember } from '../../core/run.ts';
import { median } from './measures.ts';

/** How the vectors travel: in TLS, and rounded to bfloat16; or as they are. */
export interface Way {
  readonly secure?: boolean;
  readonly compressed?: boolean;
}

export interface Order {
  readonly rank: number;
  readonly world: number;
  readonly way: Way;
  /** Values of the vector. */
  readonly length: number;
  readonly rounds: number;
}

/** The first rounds warm up. */
const warmUp = 5;
const shards = 8;

export async function takePart({
  rank,
  world,
  way: { secure = false, compressed = false },
  length,
  rounds,
}: Order): Promise<number> {
  const pool = createPool(length, new Vectors(poolLengths(length)));
  const holdings = new Holdings(pool);
  const totalSteps = warmUp + rounds;
  const shape = {
    shards,
    vectorLength: length,
    partitionLength,
    roundedLength: compressed ? length : 0,
    stepsPerEpoch: totalSteps + 1,
    totalSteps,
    checkpointEvery: 0,
  };
  const times: number[] = [];
  let begunAtMs = 0;
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });

  const transport = new Transport({
    taskId: `t${rank}`,
    runId: 'bench',
    secret: 'ab'.repeat(32),
    bind: '127.0.0.1',
    secure,
    limits: { vectorLength: length, stateLength: 0 },
    packed: compressed,
    pool,
    onMessage: (from, message) => handle(from, message as Message),
    placeFor: (...what) => trainer.placeFor(...what),
    onHeard: () => undefined,
    onLost: (peer) => {
      throw new Error(`${peer} is gone`);
    },
    onRefused: (why) => {
      throw new Error(why);
    },
  });
  const port = await transport.listen();
  const members = await meet(rank, port);
  const self = members[rank] as GangMember;
  const trainer = new Trainer(self, shape, holdings);
  const reducer = new Reducer(self, shape, holdings);
  const gang: Gang = { generation: 1, leader: 'nobody', workers: members, servers: [] };

  const react = (from: string, message: Message): readonly Effect[] => {
    if (message.type !== 'contribution' && message.type !== 'reduced') throw new Error(message.type);
    const effects = message.type === 'contribution' ? reducer.take(from, message) : trainer.reduced(from, message);
    if ('refused' in effects) throw new Error(effects.refused);
    return effects;
  };
  const carryOut = (effects: readonly Effect[]): void => {
    for (const effect of effects) {
      if (effect.type === 'send' && effect.to.taskId === self.taskId) carryOut(react(self.taskId, effect.message));
      else if (effect.type === 'send') transport.send(effect.to, effect.message);
      else if (effect.type === 'compute') setImmediate(() => compute(effect));
      else if (effect.type === 'apply') applied(effect.step, effect.reduced);
    }
  };
  const handle = (from: string, message: Message): void => {
    holdings.settle();
    carryOut(react(from, message));
  };
  const compute = ({ step, shards: { from, to } }: Extract<Effect, { type: 'compute' }>): void => {
    holdings.settle();
    const vector = pool.take(length);
    // The first step shows that the sum is right; after it what is in the vectors does not matter.
    if (step === 0) vector.fill(rank + 1);
    begunAtMs = performance.now();
    const level = Math.log2(to - from);
    carryOut(trainer.computed(1, step, [{ node: { level, index: from / 2 ** level }, vector }]));
  };
  const applied = (step: number, total: Float32Array): void => {
    const sum = (world * (world + 1)) / 2;
    if (step === 0 && !total.every((value) => value === sum)) throw new Error('the sum is wrong');
    if (step >= warmUp) times.push(performance.now() - begunAtMs);
    if (step === totalSteps - 1) finish();
  };

  reducer.begin(gang, 0);
  carryOut(trainer.begin({ type: 'begin', gang, fromStep: 0, behind: [] }));
  await finished;
  return median(times);
}

/** Tells the parent our address; answers everybody's. */
function meet(rank: number, port: number): Promise<GangMember[]> {
  return new Promise((resolve) => {
    process.once('message', (ports: readonly number[]) => {
      resolve(
        ports.map((one, i) => ({ taskId: `t${i}`, slot: `worker/${i}`, role: 'worker', host: '127.0.0.1', port: one })),
      );
    });
    process.send?.({ rank, port });
  });
}

process.once('message', (order: Order) => {
  takePart(order).then(
    // The others may still need us: the parent ends us all.
    (ms) => process.send?.({ ms }),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
