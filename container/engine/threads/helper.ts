/**
 * A thread as the one that started it sees it: it is given a job and, while nothing else happens here, waited for.
 *
 * Invariants
 *  H1  One job at a time; the next may be given when the last has been answered.
 *  H2  Nothing waits without an end: a thread that has not answered in time, or has gone, is an error that names it.
 *  H3  An idle thread keeps no process alive.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { Answer, Job, Start } from './jobs.ts';
import { Room } from './room.ts';

export class Helper {
  /** For what its jobs are about. */
  readonly room = new Room();
  readonly #name: string;
  readonly #worker: Worker;
  readonly #answers: MessagePort;
  readonly #bell: Int32Array;
  #given = 0;
  /** Why it can be given nothing any more. */
  #gone: Error | undefined;

  private constructor(name: string, worker: Worker, answers: MessagePort, bell: Int32Array) {
    this.#name = name;
    this.#worker = worker;
    this.#answers = answers;
    this.#bell = bell;
    worker.on('error', (error) => this.#lost(error));
    worker.on('exit', (code) => this.#lost(`it ended with code ${code}`));
  }

  /** Fulfilled when it is ready to work. */
  static async start(
    name: string,
    given: Pick<Start, 'spec' | 'provider'>,
    entry: string | URL = threadFile(),
  ): Promise<Helper> {
    const { port1, port2 } = new MessageChannel();
    const bell = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const workerData: Start = { ...given, answers: port2, bell };
    const worker = new Worker(entry, { name, workerData, transferList: [port2] });
    const helper = new Helper(name, worker, port1, bell);
    await new Promise<void>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('exit', () => reject(helper.#gone));
    });
    worker.unref();
    return helper;
  }

  give(job: Job): void {
    if (this.#gone !== undefined) throw this.#gone;
    if (this.#given !== Atomics.load(this.#bell, 0)) throw new Error(`${this.#name} has not done its last job yet`);
    this.#worker.postMessage(job);
    this.#given += 1;
  }

  /** Stands still until the job is done. */
  answer(patienceMs: number): Exclude<Answer, { kind: 'failed' }> {
    const until = performance.now() + patienceMs;
    // Once more when it was woken by what was rung for the answer before.
    while (Atomics.load(this.#bell, 0) < this.#given) {
      const restMs = until - performance.now();
      if (restMs <= 0) throw new Error(`${this.#name} has not answered for ${Math.round(patienceMs)} ms`);
      Atomics.wait(this.#bell, 0, this.#given - 1, restMs);
    }
    const { message: answer } = receiveMessageOnPort(this.#answers) as { readonly message: Answer };
    if (answer.kind !== 'failed') return answer;
    throw new Error(`${this.#name} failed: ${answer.message}`, { cause: answer.stack });
  }

  async stop(): Promise<void> {
    this.#gone = new Error(`${this.#name} was stopped`);
    this.#answers.close();
    await this.#worker.terminate();
  }

  #lost(why: unknown): void {
    this.#gone ??= new Error(`${this.#name} is lost: ${why instanceof Error ? why.message : why}`, { cause: why });
  }
}

/** Beside the bundle (whose chunks are in a folder of their own), else where the build puts it, for the sources. */
function threadFile(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const places = ['.', '..', '../../../dist/task'].map((folder) => join(here, folder, 'thread.js'));
  const found = places.find((file) => existsSync(file));
  if (found === undefined) throw new Error(`there is no ${places.join(', ')}; "npm run build" makes it`);
  return found;
}
