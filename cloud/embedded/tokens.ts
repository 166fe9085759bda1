/**
 * Task tokens as files, so that a task in another process can answer. For a token T in `tokens/`:
 *
 *   T.open     the token was issued and may be answered; holds the name of the execution
 *   T.answer   {"output": ...} by whoever answered, or {"closed": true} by the host that gave up waiting
 *   T.beat     one byte for each heartbeat
 *
 * Invariants
 *  T1  Of all who answer or close a token exactly one creates T.answer: an answer that was accepted is never lost, and one
 *      that came too late is `gone`.
 *  T2  A token that was forgotten stays gone: T.open goes first, and who answers looks for it again afterwards.
 *  T3  Answers of other processes are noticed within 50 ms, by the file system's notice or by looking.
 */
import { appendFileSync, existsSync, type FSWatcher, rmSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { CuttlefishError } from '../../core/failure.ts';
import type { Clock, Workflow } from '../ports.ts';
import { limits } from './asl/definition.ts';
import { attempt, makeFolder, publish, readJson } from './files.ts';

const pollMs = 50;

export interface TokenListener {
  answered(output: unknown): void;
  beat(): void;
}

export interface TokenStore {
  open(token: string, execution: string): void;
  answer(token: string, output: unknown): 'accepted' | 'gone';
  beat(token: string): 'accepted' | 'gone';
  /** Ends the token, or tells the answer that came first. Closing what was never opened is `closed`. */
  close(token: string): { readonly kind: 'closed' } | { readonly kind: 'answered'; readonly output: unknown };
  /** Removes its files, after its end was recorded. */
  forget(token: string): void;
  /** Calls the listener on the answer and on heartbeats until the returned function is called. */
  listen(token: string, listener: TokenListener): () => void;
  /** Looks now, e.g. before a heartbeat is declared missed. */
  look(token: string): void;
}

interface Answer {
  readonly output?: unknown;
  readonly closed?: true;
}

export function createTokenStore(stateDir: string): TokenStore {
  const folder = join(stateDir, 'tokens');
  const temp = join(stateDir, 'tmp');
  for (const path of [folder, temp]) attempt(path, () => makeFolder(path));
  const listening = new Map<string, { readonly listener: TokenListener; beats: number; done: boolean }>();
  let watcher: FSWatcher | undefined;
  let timer: NodeJS.Timeout | undefined;

  const path = (token: string, kind: 'open' | 'answer' | 'beat') => join(folder, `${token}.${kind}`);
  const isOpen = (token: string) => /^[0-9a-f]{8,64}$/.test(token) && existsSync(path(token, 'open'));
  const put = (token: string, answer: Answer) =>
    publish(path(token, 'answer'), JSON.stringify(answer), { temp, absent: true });
  const beatsOf = (token: string) => attempt('a heartbeat', () => statSync(path(token, 'beat')).size, ['ENOENT']) ?? 0;

  function look(token: string): void {
    const entry = listening.get(token);
    if (entry === undefined || entry.done) return;
    const beats = beatsOf(token);
    if (beats !== entry.beats) {
      entry.beats = beats;
      entry.listener.beat();
    }
    if (!existsSync(path(token, 'answer'))) return;
    const answer = readJson<Answer>(path(token, 'answer'));
    if (answer === undefined || answer.closed) return;
    entry.done = true;
    entry.listener.answered(answer.output);
  }
  const lookAll = () => {
    for (const token of listening.keys()) look(token);
  };

  function startLooking(): void {
    timer ??= setInterval(lookAll, pollMs);
    try {
      watcher ??= watch(folder, { persistent: false }, lookAll).on('error', () => watcher?.close());
    } catch {
      // No notices on this file system, or too many watches: the timer looks.
    }
  }

  function stopLooking(): void {
    clearInterval(timer);
    watcher?.close();
    timer = undefined;
    watcher = undefined;
  }

  return {
    open: (token, execution) => {
      publish(path(token, 'open'), JSON.stringify({ execution }), { temp });
    },

    answer(token, output) {
      const bytes = Buffer.byteLength(JSON.stringify(output ?? null));
      if (bytes > limits.payloadBytes) {
        throw unexpected(`the answer to a task token is ${bytes} bytes; accepted: at most ${limits.payloadBytes}`);
      }
      if (!isOpen(token) || !put(token, { output: output ?? null })) return 'gone';
      if (!isOpen(token)) {
        rmSync(path(token, 'answer'), { force: true });
        return 'gone';
      }
      look(token);
      return 'accepted';
    },

    beat(token) {
      if (!isOpen(token) || existsSync(path(token, 'answer'))) return 'gone';
      attempt('a heartbeat', () => appendFileSync(path(token, 'beat'), '.'));
      if (!isOpen(token)) {
        rmSync(path(token, 'beat'), { force: true });
        return 'gone';
      }
      look(token);
      return 'accepted';
    },

    close(token) {
      if (!isOpen(token) || put(token, { closed: true })) return { kind: 'closed' };
      const answer = readJson<Answer>(path(token, 'answer'));
      return answer === undefined || answer.closed ? { kind: 'closed' } : { kind: 'answered', output: answer.output };
    },

    forget(token) {
      for (const kind of ['open', 'answer', 'beat'] as const) rmSync(path(token, kind), { force: true });
    },

    listen(token, listener) {
      listening.set(token, { listener, beats: beatsOf(token), done: false });
      startLooking();
      look(token);
      return () => {
        listening.delete(token);
        if (listening.size === 0) stopLooking();
      };
    },

    look,
  };
}

/** For processes that answer tokens but run no workflow: the training tasks. */
export function createTokenWorkflow(stateDir: string, _clock: Clock): Workflow {
  const store = createTokenStore(stateDir);
  const refuse = async (what: string): Promise<never> => {
    throw unexpected(`cannot ${what}: there is no workflow host in this process`);
  };
  return {
    start: (name) => refuse(`start execution "${name}"`),
    stop: (executionArn) => refuse(`stop execution "${executionArn}"`),
    describe: (executionArn) => refuse(`look at execution "${executionArn}"`),
    succeedTask: async (token, output) => store.answer(token, output),
    heartbeatTask: async (token) => store.beat(token),
  };
}

function unexpected(message: string): CuttlefishError {
  return new CuttlefishError({ kind: 'Unexpected', message });
}
