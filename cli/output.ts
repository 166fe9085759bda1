/**
 * Where the command writes. Standard output carries the answer, standard error the progress; a test or a script reads
 * the first, a person both.
 *
 * Invariants
 *  U1  With `--json` exactly one JSON document goes to standard output, and nothing else.
 *  U2  A closed pipe (`| head`) never ends a run: what can no longer be written is dropped.
 *  U3  An error is one clear message; the stack only with CUTTLEFISH_DEBUG=1.
 */
import { CuttlefishError, type Failure, toFailure } from '../core/failure.ts';

export const exitCodes = { done: 0, failed: 1, usage: 2, cancelled: 3 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export interface Output {
  readonly json: boolean;
  /** For people, on standard output; nothing with --json. */
  print(text: string): void;
  /** The answer for scripts; nothing without --json, and only the first one counts. */
  document(value: unknown): void;
  /** Progress and remarks, on standard error. */
  note(text: string): void;
  /** Whoever read standard output has gone: there is nobody to follow anything for. */
  isClosed(): boolean;
}

export function createOutput(json: boolean): Output {
  let documented = false;
  return {
    json,
    print(text) {
      if (!json) write(process.stdout, `${text}\n`);
    },
    document(value) {
      if (!json || documented) return;
      documented = true;
      write(process.stdout, `${JSON.stringify(value, null, 2)}\n`);
    },
    note(text) {
      write(process.stderr, `${text}\n`);
    },
    isClosed: () => process.stdout.destroyed || !process.stdout.writable,
  };
}

/** A reader that has gone away is no reason to stop training. */
export function ignoreClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED' && error.code !== 'EIO') throw error;
    });
  }
}

function write(stream: NodeJS.WriteStream, text: string): void {
  if (!stream.destroyed && stream.writable) stream.write(text);
}

/** Resolves when what was written has left the process, or cannot any more. */
export async function flush(): Promise<void> {
  await Promise.all(
    [process.stdout, process.stderr].map(
      (stream) =>
        new Promise<void>((resolve) => {
          if (stream.destroyed || !stream.writable) resolve();
          else stream.write('', () => resolve());
        }),
    ),
  );
}

/** Bad input and usage are the user's to mend before anything starts; everything else is a run that failed. */
export function exitCodeFor(failure: Failure): ExitCode {
  switch (failure.kind) {
    case 'ConfigInvalid':
    case 'DataInvalid':
    case 'Conflict':
      return exitCodes.usage;
    case 'Cancelled':
      return exitCodes.cancelled;
    default:
      return exitCodes.failed;
  }
}

/** The last word of a command that did not succeed. */
export function reportError(output: Output, thrown: unknown): ExitCode {
  const failure = toFailure(thrown);
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  output.document({ status: 'error', error: { ...failure, message } });
  output.note(`cuttlefish: ${message}`);
  if (process.env.CUTTLEFISH_DEBUG === '1' && thrown instanceof Error) output.note(thrown.stack ?? '');
  else if (!(thrown instanceof CuttlefishError)) output.note('  (set CUTTLEFISH_DEBUG=1 to see where it came from)');
  return exitCodeFor(failure);
}

/** A refusal that names what to do instead; exit code 2. */
export function usageError(message: string): CuttlefishError {
  return new CuttlefishError({ kind: 'Conflict', message });
}
