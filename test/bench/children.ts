/** Processes of the bench's own, which are told what to do and answer over the channel of Node. */
import type { ChildProcess } from 'node:child_process';

/** The next message of this child. */
export function answerOf<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null, signal: string | null): void =>
      reject(new Error(`a process of the bench ended with ${signal ?? code}`));
    child.once('exit', ended);
    child.once('message', (message) => {
      child.off('exit', ended);
      resolve(message as T);
    });
  });
}
