/**
 * One training task from start to exit, worker or parameter server, in any world. Reads the plan, takes a slot, joins the
 * gang, trains until it is dismissed, interrupted or fenced.
 *
 * Exit codes: 0 finished, left or fenced; 64 the config or the data cannot be used (an outcome row says why); 75 worth
 * another try; 70 unexpected.
 */
import { record } from '../cloud/journal.ts';
import type { Cloud } from '../cloud/ports.ts';
import { raise } from '../cloud/signal.ts';
import { roundedLength } from '../core/bfloat16.ts';
import { rollColumns } from '../core/data/roll-call.ts';
import { CuttlefishError, describeFailure, type Failure, failureTable, toFailure } from '../core/failure.ts';
import { Member } from '../core/gang/member.ts';
import { partitionLength, type VectorShape } from '../core/gang/partitions.ts';
import { plainPool } from '../core/gang/vector-pool.ts';
import { objectKeys } from '../core/object-keys.ts';
import type { Role, RunPlan } from '../core/plan.ts';
import {
  type CheckpointIndex,
  type GangMember,
  keys,
  type RunRow,
  type TaskId,
  terminalPhases,
  type WireRow,
} from '../core/run.ts';
import type { AsyncDriver } from './async-driver.ts';
import { asyncDriver } from './async-task.ts';
import { Chaos, type Strike } from './chaos.ts';
import { Chief } from './chief.ts';
import { loadStores, makeDataset } from './data/load.ts';
import { homeLengths } from './data/sample-set.ts';
import { Driver } from './driver.ts';
import { createEngine } from './engine/create.ts';
import { slotCount } from './engine/optimizer.ts';
import { Vectors } from './engine/vectors.ts';
import { publishFailure } from './finish.ts';
import { Leadership } from './leadership.ts';
import type { Ending } from './loop.ts';
import { Meter } from './meter.ts';
import { Replica } from './replica.ts';
import { freeSlot, takeSlot } from './slot.ts';
import { createPool, poolLengths } from './wire/pool.ts';
import { Transport } from './wire/transport.ts';

export interface TaskOptions {
  readonly runId: string;
  readonly role: Role;
  readonly taskId: TaskId;
  /** The address others reach us at, and the one we listen on. */
  readonly host: string;
  readonly bind: string;
  /** The port we listen on; 0 for any. */
  readonly port: number;
  /** TLS between the tasks; the handshake proves the secret either way. */
  readonly secure: boolean;
  readonly strike: Strike;
  readonly memoryMiB: () => number;
  /** Calls back when this task is asked to end (SIGTERM). */
  readonly onInterrupt: (listener: () => void) => void;
}

export const exitCodes = { done: 0, permanent: 64, unexpected: 70, temporary: 75 } as const;

/** A task that has not computed a step yet may still be warming up. */
const firstStepMs = 6_000;
/** How many heartbeats a step may still take after SIGTERM. */
const graceBeats = 5;
/** How many heartbeats the first gathering waits for the last member. */
const gatherBeats = 10;

export async function runTask(cloud: Cloud, options: TaskOptions): Promise<number> {
  try {
    const ready = await prepare(cloud, options);
    if (ready === 'over') return exitCodes.done;
    return exitCodeOf(await train(cloud, options, ready));
  } catch (error) {
    const failure = toFailure(error);
    const stack = error instanceof Error ? error.stack : undefined;
    cloud.log.write('error', 'task.lost', { message: describeFailure(failure), failure, stack });
    if (failureTable[failure.kind].fault === 'user') await condemn(cloud, options.runId, failure);
    return exitCodeOf({ why: 'failed', failure });
  }
}

function exitCodeOf({ failure }: Ending): number {
  if (failure === undefined) return exitCodes.done;
  if (failureTable[failure.kind].fault === 'user') return exitCodes.permanent;
  return failureTable[failure.kind].remedy === 'retry' ? exitCodes.temporary : exitCodes.unexpected;
}

interface Ready {
  readonly plan: RunPlan;
  readonly secret: string;
}

async function prepare(cloud: Cloud, { runId }: TaskOptions): Promise<Ready | 'over'> {
  const [run, wire, stored] = await Promise.all([
    cloud.table.get<RunRow>(runId, keys.run),
    cloud.table.get<WireRow>(runId, keys.wire),
    cloud.objects.get(objectKeys.plan(runId)),
  ]);
  if (run === undefined || wire === undefined || stored === undefined) {
    throw new CuttlefishError({
      kind: 'StorageFailed',
      what: `task of run "${runId}"`,
      reason: 'the run has no plan here',
    });
  }
  if (terminalPhases.includes(run.value.phase)) return 'over';
  const plan = JSON.parse(new TextDecoder().decode(stored.body)) as RunPlan;
  return { plan, secret: wire.value.secret };
}

/** The numbers that every frame is checked against, and how the vectors are added up. */
function vectorShapeOf({ network, training }: RunPlan): VectorShape {
  const { parameters, stateParameters } = network;
  return {
    shards: training.shards,
    vectorLength: parameters + stateParameters + 3 + rollColumns,
    partitionLength,
    roundedLength: roundedLength(parameters, training.compression),
  };
}

/** Parameters and optimizer slots. */
function stateLengthOf({ network, training }: RunPlan): number {
  return network.parameters * (1 + slotCount(training.optimizer)) + network.stateParameters;
}

function every(ms: number, work: () => void): () => void {
  // Timers come before sockets in a turn of the event loop, immediates after them.
  const timer = setInterval(() => setImmediate(work), ms);
  return () => clearInterval(timer);
}

async function train(cloud: Cloud, options: TaskOptions, { plan, secret }: Ready): Promise<Ending> {
  const { runId, role, taskId, host } = options;
  const { training, timing, cluster } = plan;
  let interrupted = false;
  let onInterrupt = (): void => {
    interrupted = true;
  };
  options.onInterrupt(() => onInterrupt());

  const vectors = vectorShapeOf(plan);
  const { vectorLength } = vectors;
  const synchronous = training.mode === 'synchronous';
  const lengths = synchronous ? poolLengths(vectorLength) : [];
  const workbench = role === 'worker' ? await openWorkbench(cloud, plan, lengths) : undefined;
  const engine = workbench?.engine;
  if (engine !== undefined && engine.layout.contributionLength + rollColumns !== vectorLength) {
    throw new Error(
      `the plan counts ${vectorLength - rollColumns} values a contribution, the engine ${engine.layout.contributionLength}`,
    );
  }
  const holdsState = role === 'worker' || !synchronous;
  let driver: Driver | AsyncDriver | undefined;
  const pool = synchronous ? createPool(vectorLength, workbench?.room ?? new Vectors(lengths)) : plainPool;
  const transport = new Transport({
    taskId,
    runId,
    secret,
    bind: options.bind,
    secure: options.secure,
    limits: { vectorLength, stateLength: holdsState ? stateLengthOf(plan) : 0 },
    packed: vectors.roundedLength > 0,
    pool,
    onMessage: (from, message) => driver?.received(from, message),
    placeFor: (...what) => (driver instanceof Driver ? driver.placeFor(...what) : undefined),
    onHeard: (peer) => driver?.post({ type: 'heard', peer }),
    onLost: (peer, refused) => driver?.post({ type: 'link-lost', peer, refused }),
    onRefused: (why, from) => cloud.log.write('warn', 'frame.refused', { why, from }),
  });
  const port = await transport.listen(options.port);
  const max = role === 'worker' ? cluster.worker.max : cluster.parameterServer.max;
  const taken = await takeSlot(cloud, { runId, role, taskId, host, port }, max, cluster.startDeadlineMs);
  if (taken === undefined || interrupted) {
    await transport.close(0);
    cloud.log.write('warn', 'member.left', {
      why: interrupted ? 'interrupted' : `all ${max} slots of ${role} are taken`,
    });
    return { why: 'left' };
  }

  const self: GangMember = { ...taken, ...(engine === undefined ? {} : { engine: engine.name }) };
  const meter = new Meter(cloud.clock, options.memoryMiB);
  const replica = workbench === undefined ? undefined : new Replica(plan, workbench.engine, workbench.data, pool);
  const gang = {
    self,
    leader: {
      workersMin: cluster.worker.min,
      workersMax: cluster.worker.max,
      parameterServers: cluster.parameterServer.max,
      gatherMs: gatherBeats * timing.heartbeatIntervalMs,
    },
    heartbeatIntervalMs: timing.heartbeatIntervalMs,
    patience: {
      floorMs: timing.memberTimeoutMs,
      firstStepMs: Math.max(firstStepMs, timing.memberTimeoutMs),
      blinkMs: timing.heartbeatIntervalMs / 2,
    },
    graceMs: graceBeats * timing.heartbeatIntervalMs,
    joinMs: cluster.startDeadlineMs,
    report: () => meter.report(),
  };
  const chaos = new Chaos(cloud, plan, self, options.strike);
  const around = { cloud, plan, self, transport, meter, chaos, every };
  if (!synchronous) driver = asyncDriver(around, gang, replica);
  else {
    const { stepsPerEpoch, totalSteps } = training;
    const checkpointEvery = plan.checkpoint.everySteps;
    const member = new Member({
      ...gang,
      pool,
      shape: { ...vectors, stepsPerEpoch, totalSteps, checkpointEvery },
    });
    const leaseMs = (): number => member.patience.leaseMs;
    const leadership = new Leadership(cloud, plan, self, leaseMs, (event) => driver?.post(event));
    const generation = (): number => member.generation;
    const chief =
      replica === undefined ? undefined : new Chief({ cloud, plan, self, replica, leadership, meter, generation });
    const leading = replica === undefined || chief === undefined ? {} : { replica, chief };
    driver = new Driver({ ...around, member, leadership, ...leading });
  }
  const running = driver;
  onInterrupt = () => running.post({ type: 'interrupt' });
  const deadline = setTimeout(() => running.fail(overdue(plan)), plan.limits.maxDurationMs).unref();
  await record(cloud, runId, 'member.up', { by: self.slot, taskId, engine: engine?.name });

  const ending = await running.run();
  clearTimeout(deadline);
  await farewell(cloud, plan, self, ending);
  await transport.close(1_000);
  engine?.dispose();
  return ending;
}

/** Engine and data, and room for vectors of these lengths in the engine's memory, if it has some to lend. */
async function openWorkbench(cloud: Cloud, plan: RunPlan, lengths: readonly number[]) {
  const warn = (message: string): void => cloud.log.write('warn', 'member.up', { message });
  const topology = plan.network.kind === 'model' ? await cloud.objects.get(plan.network.topologyKey) : undefined;
  const text = topology === undefined ? {} : { topology: new TextDecoder().decode(topology.body) };
  const checkpoints = await cloud.table.get<CheckpointIndex>(plan.runId, keys.checkpoints);
  const begun = checkpoints?.value.manifests[0]?.engine;
  const threads = plan.cluster.threads.count;
  const options = { ...text, warn, threads, ...(begun === undefined ? {} : { begun }) };
  // In this order: the files are read beside us while the engine is built.
  const [stores, engine] = await Promise.all([loadStores(plan.data, cloud.datasets), createEngine(plan, options)]);
  const { batchSize: samples, shards } = plan.training;
  const batch = homeLengths(stores.train.featureLength, plan.shape.outputs, samples);
  const room = engine.lend?.([...lengths, ...batch], { samples, shards });
  const home = room === undefined ? undefined : { vectors: room, samples };
  return { engine, data: makeDataset(plan, stores, home), room };
}

/** A container has no time limit of its own: this is the last resort when nobody stops it. */
function overdue(plan: RunPlan): Failure {
  const limit = plan.limits.maxDurationMs;
  return { kind: 'BudgetExhausted', budget: 'time', spent: limit, limit };
}

async function farewell(cloud: Cloud, plan: RunPlan, self: GangMember, ending: Ending): Promise<void> {
  const why = ending.failure === undefined ? ending.why : describeFailure(ending.failure);
  cloud.log.write(ending.failure === undefined ? 'info' : 'error', 'member.left', { slot: self.slot, why });
  try {
    await freeSlot(cloud, plan.runId, self);
    if (ending.why === 'failed') await record(cloud, plan.runId, 'member.lost', { by: self.slot, why });
  } catch (error) {
    // Storage may be what we failed for; leaving matters more than saying so.
    cloud.log.write('warn', 'member.left', { why: describeFailure(toFailure(error)) });
  }
}

/** What no other task could do better ends the run: Decide reads it from the outcome row. */
async function condemn(cloud: Cloud, runId: string, failure: Failure): Promise<void> {
  try {
    const stored = await cloud.objects.get(objectKeys.plan(runId));
    if (stored === undefined) return;
    const plan = JSON.parse(new TextDecoder().decode(stored.body)) as RunPlan;
    const end = { step: 0, generation: () => 0, lostSteps: 0, usefulMs: 0, engine: '' };
    await publishFailure(cloud, plan, failure, end);
    await raise(cloud, runId, failure.kind);
  } catch (error) {
    cloud.log.write('warn', 'task.lost', { message: describeFailure(toFailure(error)) });
  }
}
