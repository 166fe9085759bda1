/**
 * Reads from an accepted connection into memory that the reader chooses, so that a vector arrives where it is used.
 *
 * Node lets only who makes a socket say where its bytes go, and makes accepted ones itself: so the connection is taken
 * over by a socket of ours. Where that cannot be done (TLS decrypts into memory of its own), the bytes are copied.
 */
import net from 'node:net';

export interface Intake {
  /** Where the next bytes are wanted; asked for before each read. Never empty. */
  readonly space: Uint8Array;
  /** So many bytes are there now. */
  took(bytes: number): void;
}

/** What is behind a socket; not part of Node's documented interface, so it may not be there. */
interface Handled {
  _handle?: object | null;
}

/** The socket must be paused. Answers the one to go on with. */
export function readInto(accepted: net.Socket, intake: Intake): net.Socket {
  const handle = (accepted as Handled)._handle;
  if (handle === undefined || handle === null || 'encrypted' in accepted) {
    copyInto(accepted, intake);
    accepted.resume();
    return accepted;
  }
  (accepted as Handled)._handle = null;
  const buffer = (): Uint8Array => intake.space;
  const callback = (bytes: number): boolean => {
    intake.took(bytes);
    return true;
  };
  const options = { handle, onread: { buffer, callback }, readable: true, writable: true };
  const socket = new net.Socket(options as unknown as net.SocketConstructorOpts);
  socket.resume();
  socket.read(0);
  return socket;
}

function copyInto(stream: net.Socket, intake: Intake): void {
  stream.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length && !stream.destroyed; ) {
      const { space } = intake;
      const part = chunk.subarray(at, at + space.length);
      space.set(part);
      at += part.length;
      intake.took(part.length);
    }
  });
}
