/** Jobs for processes that share a state folder with a test: `node child.mjs <job> <JSON>`, answers as JSON lines. */
import { createInterface } from 'node:readline';
import { randomIds } from '../../cloud/embedded/ids.ts';
import { silentLog } from '../../cloud/embedded/log.ts';
import { openStateFolder } from '../../cloud/embedded/state-folder.ts';
import { createTable } from '../../cloud/embedded/table.ts';
import { openWorld } from '../../cloud/embedded/world.ts';
import type { When } from '../../cloud/ports.ts';
import { CuttlefishError } from '../../core/failure.ts';

const say = (answer: unknown): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);

interface Place {
  readonly stateDir: string;
}

const jobs: Readonly<Record<string, (argument: never) => Promise<void>>> = {
  /** Adds one to a counter, many times, each on top of what it read. */
  async count({ stateDir, times }: Place & { times: number }) {
    const { table } = await openWorld({ stateDir, log: silentLog });
    say('ready');
    await line();
    let conflicts = 0;
    for (let done = 0; done < times; ) {
      const row = await table.get<{ n: number }>('run', 'counter');
      const next = { n: (row?.value.n ?? 0) + 1, padding: 'x'.repeat(2000) };
      const stored = await table.put('run', 'counter', next, row ? { version: row.version } : { absent: true });
      if (stored.kind === 'stored') done++;
      else conflicts++;
    }
    say({ conflicts });
  },

  /** One put of a given row under a given condition, at the same moment as others. */
  async put({ stateDir, value, when }: Place & { value: object; when: When }) {
    const { table } = await openWorld({ stateDir, log: silentLog });
    say('ready');
    await line();
    say(await table.put('run', 'row', value, when));
  },

  /** Stops itself (SIGSTOP) in the middle of its first write; answers once somebody lets it go on. */
  async sleepy({ stateDir, at, when }: Place & { at: string; when: When }) {
    const state = openStateFolder(stateDir);
    let stops = 1;
    const table = createTable({
      folder: state.table,
      temp: state.tmp,
      ids: randomIds,
      pausePoint: (where) => {
        if (where !== at || stops-- <= 0) return;
        say({ stopping: process.pid });
        process.kill(process.pid, 'SIGSTOP');
      },
    });
    say(await table.put('run', 'row', { by: 'sleepy' }, when));
  },

  /** Writes and deletes rows without end, telling each that was stored. */
  async scribble({ stateDir }: Place) {
    const { table } = await openWorld({ stateDir, log: silentLog });
    for (let n = 1; ; n++) {
      const key = `row/${n % 3}`;
      const row = await table.get('run', key);
      const value = { n, bytes: new Uint8Array(20_000).fill(n % 251), check: n % 251 };
      await table.put('run', key, value, row ? { version: row.version } : { absent: true });
      if (n % 7 === 0) await table.delete('run', key, (row?.version ?? 0) + 1);
      say(n);
    }
  },

  /** Hosts tasks until it is told to end or is killed. */
  async host({
    stateDir,
    taskEntry,
    env,
    count,
  }: Place & { taskEntry: string; env: Record<string, string>; count: number }) {
    const world = await openWorld({ stateDir, log: silentLog, taskEntry, env });
    const running: string[] = [];
    world.bus.subscribe((event) => {
      if (event.detail.lastStatus !== 'RUNNING') return;
      running.push(String(event.detail.taskArn));
      if (running.length === count) say({ started: running });
    });
    await world.tasks.launch({
      runId: 'run-1',
      role: 'worker',
      count,
      clientToken: 'token-1',
      kind: 'local',
      cpu: 256,
      memoryMiB: 512,
    });
    const word = await line();
    if (word === 'exit') process.exit(0);
    await world.runner.stopAll();
    process.exit(0);
  },

  async lock({ stateDir }: Place) {
    const { lock } = await openWorld({ stateDir, log: silentLog });
    say('ready');
    await line();
    const acquired = await lock.acquire('run-1');
    say({ ...acquired, pid: acquired.kind === 'busy' ? acquired.pid : process.pid });
    await line();
  },

  /** One object that does not fit, under `ulimit -f`. */
  async fill({ stateDir, bytes }: Place & { bytes: number }) {
    const { objects, table } = await openWorld({ stateDir, log: silentLog });
    const tell = (thrown: unknown) => {
      const error = thrown instanceof CuttlefishError ? thrown.failure : String(thrown);
      say(error);
    };
    await objects.put('runs/r/large.bin', new Uint8Array(bytes), 'always').then(say, tell);
    await table.put('run', 'row', { bytes: new Uint8Array(bytes) }, { fence: 1 }).then(say, tell);
  },
};

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
async function line(): Promise<string> {
  const { value, done } = await input.next();
  if (done) process.exit(0);
  return value;
}

const [job = '', argument = '{}'] = process.argv.slice(2);
await jobs[job]?.(JSON.parse(argument) as never);
process.exit(0);
