/** PyTorch on the same networks, batches and data: its speed alone and with DistributedDataParallel, and torchrun's recovery. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Measure, median, perThousand } from './measures.ts';
import type { NetworkName, TrainingSet } from './workloads.ts';

export type Peer =
  | { readonly kind: 'found'; readonly version: string; readonly scripts: string }
  | { readonly kind: 'absent'; readonly why: string };

const timeoutMs = 300_000;

export function findPeer(root: string): Peer {
  const found = spawnSync('python3', ['-c', 'import torch; print(torch.__version__)'], { encoding: 'utf8' });
  return found.status === 0
    ? { kind: 'found', version: found.stdout.trim(), scripts: join(root, 'test/bench') }
    : { kind: 'absent', why: 'python3 with torch is not installed, so there is no PyTorch to compare with' };
}

export interface PeerRun {
  readonly label: string;
  readonly network: NetworkName;
  readonly world: number;
  /** Of all processes together. */
  readonly batchSize: number;
  readonly epochs: number;
  readonly data: TrainingSet;
}

export async function peerSpeed(peer: Peer, run: PeerRun): Promise<readonly Measure[]> {
  if (peer.kind === 'absent') return [];
  const { label, network, world, batchSize, epochs, data } = run;
  const port = await freePort();
  const spawnedAtMs = Date.now();
  const outputs = await Promise.all(
    Array.from({ length: world }, (_, rank) => {
      const settings = [data.rawPath, data.samples, batchSize, epochs, network].map(String);
      const env = { RANK: String(rank), WORLD_SIZE: String(world), MASTER_PORT: String(port) };
      return outputOf(python([join(peer.scripts, 'peer_ddp.py'), ...settings], env));
    }),
  );
  const { firstStepAtMs, secondsPerStep, processorSecondsPerStep } = JSON.parse(outputs[0] ?? '') as {
    firstStepAtMs: number;
    secondsPerStep: number[];
    processorSecondsPerStep: number[];
  };
  // Every process does the same, and the first one tells.
  const processorMs = median(processorSecondsPerStep) * 1000 * world;
  return [
    { name: `${label}: command to first step (cold)`, unit: 'ms', value: firstStepAtMs - spawnedAtMs },
    { name: `${label}: samples per second`, unit: '1/s', value: batchSize / median(secondsPerStep) },
    { name: `${label}: ${perThousand}`, unit: 'ms', value: (processorMs * 1000) / batchSize },
  ];
}

/** Milliseconds of one all-reduce over gloo, by size. */
export async function peerAllReduce(
  peer: Peer,
  label: string,
  world: number,
  sizes: readonly { readonly megabytes: number; readonly rounds: number }[],
): Promise<readonly Measure[]> {
  if (peer.kind === 'absent') return [];
  const port = await freePort();
  const lists = [sizes.map(({ megabytes }) => megabytes), sizes.map(({ rounds }) => rounds)].map((list) => list.join());
  const outputs = await Promise.all(
    Array.from({ length: world }, (_, rank) => {
      const env = { RANK: String(rank), WORLD_SIZE: String(world), MASTER_PORT: String(port) };
      return outputOf(python([join(peer.scripts, 'peer_allreduce.py'), ...lists], env));
    }),
  );
  const found = JSON.parse(outputs[0] ?? '') as Record<string, number>;
  return sizes.map(({ megabytes }) => ({
    name: `${label}: all-reduce of ${megabytes} MB`,
    unit: 'ms',
    value: found[String(megabytes)] ?? Number.NaN,
  }));
}

interface PeerStep {
  readonly step: number;
  readonly atMs: number;
}

/** Two processes under torchrun, which restarts all of them from what was saved when one is killed. */
export async function peerElastic(peer: Peer, folder: string): Promise<readonly Measure[]> {
  if (peer.kind === 'absent') return [];
  const own = join(folder, `torchrun-${Date.now()}`);
  mkdirSync(own);
  const script = join(peer.scripts, 'peer_elastic.py');
  const port = await freePort();
  const where = ['--nnodes=1', '--nproc_per_node=2', '--max_restarts=3', `--master_port=${port}`];
  const child = python([script, 'launch', ...where, script, own, '600'], {});
  const ended = outputOf(child);
  // Before it is awaited below it may fail, which is told there.
  ended.catch(() => undefined);
  const killAt = 220;
  for (let waitedMs = 0; stepsOf(own, 1).every(({ step }) => step < killAt) && waitedMs < timeoutMs; waitedMs += 5) {
    if (child.exitCode !== null) break;
    await delay(5);
  }
  const pid = Number(/^pid (\d+)$/m.exec(readOr(join(own, 'steps-1')))?.[1]);
  const killedAtMs = Date.now();
  if (pid > 0) process.kill(pid, 'SIGKILL');
  await ended;
  const steps = stepsOf(own, 0);
  const before = steps.filter(({ atMs }) => atMs <= killedAtMs).at(-1)?.step ?? 0;
  // What it had done when it lost its peer is done again.
  const next = steps.find(({ atMs, step }) => atMs > killedAtMs && step <= before);
  if (next === undefined) return [];
  const label = 'torchrun, 2 processes';
  return [
    { name: `${label}: kill -9 to next step`, unit: 'ms', value: next.atMs - killedAtMs },
    { name: `${label}: steps repeated`, unit: 'steps', value: before + 1 - next.step },
  ];
}

function stepsOf(folder: string, rank: number): PeerStep[] {
  return [...readOr(join(folder, `steps-${rank}`)).matchAll(/^step (\d+) ([\d.]+)$/gm)].map(([, step, atMs]) => ({
    step: Number(step),
    atMs: Number(atMs),
  }));
}

const readOr = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');

function python(args: readonly string[], env: Readonly<Record<string, string>>): ChildProcess {
  return spawn('python3', args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, MASTER_ADDR: '127.0.0.1', OMP_NUM_THREADS: '1', ...env },
  });
}

function outputOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = '';
    let errors = '';
    child.stdout?.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr?.on('data', (chunk) => {
      errors += chunk;
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      if (code === 0) resolve(output);
      else reject(new Error(`PyTorch: ${errors.trim().split('\n').at(-1) ?? ''} (exit code ${code})`));
    });
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
