/**
 * Everything that runs in this process for a state folder: the world, the workflow, the functions and the events between
 * them. `train`, `resume` and `serve` are thin callers.
 *
 *   bus: ECS task state change ----------> on-task-event
 *   workflow: execution status change ---> on-execution-event
 *   every minute ------------------------> sweep
 *
 * Invariants
 *  HO1 A run is driven by one process at a time, the one that holds its lock; the lock of a dead process is free.
 *  HO2 What a killed host left is ended before anything new is started.
 *  HO3 Closing ends the tasks of this process and leaves every run so that it can be continued.
 *  HO4 A state folder that is removed under us ends the command: nothing could be remembered or waited for any more.
 */
import { readFileSync } from 'node:fs';
import { loadStateMachine } from '../cloud/embedded/asl/load.ts';
import { lineLog } from '../cloud/embedded/log.ts';
import { isThere, requireWritable, type StateFolder } from '../cloud/embedded/state-folder.ts';
import { createWorkflowHost, type ExecutionResult, type WorkflowHost } from '../cloud/embedded/workflow.ts';
import { type EmbeddedWorld, openWorld } from '../cloud/embedded/world.ts';
import type { Cloud, Log } from '../cloud/ports.ts';
import type { ExecutionInput } from '../core/workflow.ts';
import { functions } from '../functions/registry.ts';
import { controlLog, lockName } from './look.ts';
import { usageError } from './output.ts';
import { absoluteStateDir, commandFor, packagePaths } from './paths.ts';

export interface Host {
  readonly cloud: Cloud & Pick<EmbeddedWorld, 'stateDir' | 'lock' | 'runner'>;
  readonly workflow: WorkflowHost;
  /** HO1. Throws when another process has it. */
  take(runId: string, command: string): Promise<void>;
  /** Lets others have it. */
  give(runId: string): Promise<void>;
  /** Starts the execution, or takes it up where it was; the run has been taken. */
  drive(execution: string, input: ExecutionInput): Promise<'started' | 'resumed'>;
  /** Its end; status RUNNING when the host was closed first. */
  wait(execution: string): Promise<ExecutionResult>;
  /** HO4. Rejects when the state folder is gone. */
  readonly gone: Promise<never>;
  close(): Promise<void>;
}

const sweepMs = 60_000;
/** A task makes little garbage; the room that Node gives the young of it by default would be a fifth of its memory. */
const nodeArgs = ['--max-semi-space-size=2'];
const lookMs = 1000;

export async function openHost(stateDir: string): Promise<Host> {
  const paths = packagePaths();
  const folder = absoluteStateDir(stateDir);
  const { taskEntry } = paths;
  const world = await openWorld({ stateDir: folder, log: hostLog(folder), taskEntry, nodeArgs });
  requireWritable(world.state);
  const definition = loadStateMachine(readFileSync(paths.definition, 'utf8'));
  const held = new Map<string, () => Promise<void>>();

  const workflow = createWorkflowHost({
    stateDir: world.stateDir,
    definition,
    // They are called only after `cloud` is there.
    functions: Object.fromEntries(
      Object.entries(functions).map(([name, run]) => [name, (input: unknown) => run(input, cloud)]),
    ),
    clock: world.clock,
    ids: world.ids,
    log: world.log,
    onStatusChange: async (event) => {
      await functions['on-execution-event'](event, cloud);
    },
  });
  const cloud = { ...world, workflow };

  const unsubscribe = world.bus.subscribe(async (event) => {
    if (event['detail-type'] === 'ECS Task State Change') await functions['on-task-event'](event, cloud);
  });
  await world.runner.reapLeftovers();
  await world.bus.settled();

  const { gone, forget } = watchFolder(world.state);
  const sweeping = setInterval(() => {
    functions.sweep({}, cloud).catch((error) => {
      world.log.write('error', 'workflow.broken', { what: 'the sweep', reason: String(error) });
    });
  }, sweepMs);

  return {
    cloud,
    workflow,

    async take(runId, command) {
      if (held.has(runId)) return;
      const lock = await world.lock.acquire(lockName(runId));
      if (lock.kind === 'busy') {
        throw usageError(
          `run ${runId} is driven by process ${lock.pid}: wait for it, end it with "${commandFor('cancel', runId, folder)}", or stop that process before you ${command} it`,
        );
      }
      held.set(runId, lock.release);
    },

    async give(runId) {
      const release = held.get(runId);
      held.delete(runId);
      await release?.();
    },

    async drive(execution, input) {
      const { kind } = await workflow.start(execution, input);
      if (kind === 'started') return 'started';
      await workflow.resume(execution);
      return 'resumed';
    },

    wait: (execution) => workflow.wait(execution),
    gone,

    async close() {
      clearInterval(sweeping);
      forget();
      // First the workflow, so that nothing answers the end of the tasks by launching others.
      await workflow.close();
      await world.runner.stopAll();
      await world.bus.settled();
      unsubscribe();
      for (const release of held.values()) await release().catch(() => undefined);
      held.clear();
    },
  };
}

/** HO4. Missing at two looks: a file system of the network may lose sight of a file for a moment. */
function watchFolder(state: StateFolder): { readonly gone: Promise<never>; forget(): void } {
  let missed = 0;
  let timer: NodeJS.Timeout | undefined;
  const gone = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      missed = isThere(state) ? 0 : missed + 1;
      if (missed === 2) reject(usageError(`the state folder ${state.root} is gone: was it removed or moved?`));
    }, lookMs);
  });
  gone.catch(() => undefined);
  return { gone, forget: () => clearInterval(timer) };
}

/** Into the control log, and with CUTTLEFISH_DEBUG=1 also to standard error. */
function hostLog(stateDir: string): Log {
  const file = controlLog(stateDir);
  if (process.env.CUTTLEFISH_DEBUG !== '1') return file;
  const screen = lineLog((line) => process.stderr.write(`${line}\n`));
  return {
    write(level, event, detail) {
      file.write(level, event, detail);
      screen.write(level, event, detail);
    },
  };
}
