/**
 * Entry point of the training task: the same file in the container and on the laptop. Chooses the world from the
 * environment, and owns what belongs to a process: signals, exit, and ending with the parent.
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { levelOf } from '../cloud/log-level.ts';
import type { Cloud } from '../cloud/ports.ts';
import { type Role, roles } from '../core/plan.ts';
import type { Strike } from './chaos.ts';
import { exitCodes, runTask, type TaskOptions } from './task.ts';

interface Start {
  readonly cloud: Cloud;
  readonly taskId: string;
  readonly host: string;
  readonly bind: string;
  readonly port: number;
  readonly secure: boolean;
}

async function main(): Promise<number> {
  // The log lies on a disk that may be full: what cannot be logged is no reason to stop training.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const { runId, role } = pointer();
  const interrupts: (() => void)[] = [];
  process.on('SIGTERM', () => {
    if (interrupts.length === 0) process.exit(exitCodes.done);
    for (const interrupt of interrupts) interrupt();
  });
  // Ctrl-C reaches the whole process group; the command that started us decides what it means for us.
  process.on('SIGINT', () => undefined);
  const start = process.env.CUTTLEFISH_WORLD === 'embedded' ? await startEmbedded() : await startOnAws();
  const { cloud, ...place } = start;
  const options: TaskOptions = {
    ...place,
    runId,
    role,
    strike: strikeOnMyself,
    memoryMiB: () => Math.round(process.memoryUsage.rss() / 1_048_576),
    onInterrupt: (listener) => interrupts.push(listener),
  };
  return runTask(cloud, options);
}

/** Which run and role: from the environment, or from the command of the container (`--run ID --role worker`). */
function pointer(): { runId: string; role: Role } {
  const { values } = parseArgs({ options: { run: { type: 'string' }, role: { type: 'string' } } });
  const runId = values.run ?? process.env.CUTTLEFISH_RUN_ID;
  const role = roles.find((known) => known === (values.role ?? process.env.CUTTLEFISH_ROLE));
  if (runId === undefined || role === undefined) {
    process.stderr.write(`task: CUTTLEFISH_RUN_ID and CUTTLEFISH_ROLE (${roles.join(' or ')}) are needed\n`);
    process.exit(exitCodes.permanent);
  }
  return { runId, role };
}

async function startEmbedded(): Promise<Start> {
  const stateDir = process.env.CUTTLEFISH_STATE_DIR;
  const taskId = process.env.CUTTLEFISH_TASK_ID;
  if (stateDir === undefined || taskId === undefined)
    throw new Error('CUTTLEFISH_STATE_DIR and CUTTLEFISH_TASK_ID are needed');
  // The parent holds the other end: when it is gone, however it went, so are we.
  process.stdin.on('end', () => process.exit(exitCodes.temporary));
  process.stdin.on('error', () => process.exit(exitCodes.temporary));
  process.stdin.resume();
  const [{ openWorld }, { stderrLog }] = await Promise.all([
    import('../cloud/embedded/world.ts'),
    import('../cloud/embedded/log.ts'),
  ]);
  const log = stderrLog({ level: levelOf(process.env), context: { taskId } });
  return {
    cloud: await openWorld({ stateDir, log }),
    taskId,
    host: '127.0.0.1',
    bind: '127.0.0.1',
    port: 0,
    secure: false,
  };
}

async function startOnAws(): Promise<Start> {
  const [{ createAwsCloud }, { readTaskIdentity, wirePort }] = await Promise.all([
    import('../cloud/aws/world.ts'),
    import('../cloud/aws/task-identity.ts'),
  ]);
  const { taskId, host } = await readTaskIdentity(process.env, fetch);
  return { cloud: createAwsCloud(process.env), taskId, host, bind: '0.0.0.0', port: wirePort, secure: true };
}

const napMs = 100;

const strikeOnMyself: Strike = {
  kill: () => process.kill(process.pid, 'SIGKILL'),
  interrupt: () => process.kill(process.pid, 'SIGTERM'),
  pause: (forMs) => {
    // Somebody else has to wake us; and must not stay when we are killed meanwhile.
    const naps = Math.max(1, Math.round(forMs / napMs));
    const nap = `n=0; while [ $n -lt ${naps} ] && kill -0 ${process.pid}; do sleep ${napMs / 1000}; n=$((n + 1)); done`;
    spawn('/bin/sh', ['-c', `${nap}; kill -CONT ${process.pid}`], { detached: true, stdio: 'ignore' }).unref();
    process.kill(process.pid, 'SIGSTOP');
  },
};

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`task: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(exitCodes.unexpected);
  },
);
