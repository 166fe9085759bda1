/** PyTorch on the same network, global batch and data: one process, and two with DistributedDataParallel over gloo. */
import { spawn, spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { type Measure, median } from './measures.ts';

export type Peer =
  | { readonly kind: 'measured'; readonly version: string; readonly measures: readonly Measure[] }
  | { readonly kind: 'skipped'; readonly why: string };

export interface PeerOptions {
  readonly script: string;
  /** Pixels, then labels, one byte each. */
  readonly dataPath: string;
  readonly samples: number;
  readonly batchSize: number;
  readonly epochs: number;
  readonly repeats: number;
}

export async function measurePeer(options: PeerOptions): Promise<Peer> {
  const found = spawnSync('python3', ['-c', 'import torch; print(torch.__version__)'], { encoding: 'utf8' });
  if (found.status !== 0) {
    return { kind: 'skipped', why: 'python3 with torch is not installed, so there is no PyTorch to compare with' };
  }
  const measures: Measure[] = [];
  try {
    for (let repeat = 0; repeat < options.repeats; repeat += 1) {
      for (const world of [1, 2]) measures.push(...(await runOnce(options, world)));
    }
  } catch (error) {
    return { kind: 'skipped', why: `PyTorch is there but did not run: ${(error as Error).message}` };
  }
  return { kind: 'measured', version: found.stdout.trim(), measures };
}

async function runOnce(options: PeerOptions, world: number): Promise<Measure[]> {
  const port = await freePort();
  const spawnedAtMs = Date.now();
  const outputs = await Promise.all(Array.from({ length: world }, (_, rank) => runRank(options, world, rank, port)));
  const { firstStepAtMs, stepsPerSecond } = JSON.parse(outputs[0] ?? '') as {
    firstStepAtMs: number;
    stepsPerSecond: number[];
  };
  const label = world === 1 ? 'PyTorch, 1 process' : `PyTorch DDP over gloo, ${world} processes`;
  const speed = median(stepsPerSecond);
  return [
    { name: `${label}: command to first step (cold)`, unit: 'ms', value: firstStepAtMs - spawnedAtMs },
    { name: `${label}: steps per second`, unit: '1/s', value: speed },
    { name: `${label}: samples per second`, unit: '1/s', value: speed * options.batchSize },
  ];
}

function runRank(options: PeerOptions, world: number, rank: number, port: number): Promise<string> {
  const { script, dataPath, samples, batchSize, epochs } = options;
  return new Promise((resolve, reject) => {
    const child = spawn('python3', [script, dataPath, String(samples), String(batchSize), String(epochs)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        RANK: String(rank),
        WORLD_SIZE: String(world),
        MASTER_ADDR: '127.0.0.1',
        MASTER_PORT: String(port),
        OMP_NUM_THREADS: '1',
      },
    });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), 300_000);
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      if (code === 0) resolve(output);
      else reject(new Error(errors.trim().split('\n').at(-1) ?? `exit code ${code}`));
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
