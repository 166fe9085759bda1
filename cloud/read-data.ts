/**
 * Reading training data through the Datasets port, compressed or not. Gzip is told by its magic number, not by the name.
 *
 * Invariants
 *  RD1 A missing, empty or damaged file is DataInvalid with its full name, never a stack trace of zlib.
 *  RD2 Nothing is inflated beyond `maxFileBytes`.
 */
import { promisify } from 'node:util';
import { constants, gunzip, gunzipSync } from 'node:zlib';
import { dataInvalid } from '../core/data/data-error.ts';
import { maxHeaderBytes } from '../core/data/idx.ts';
import type { Datasets } from './ports.ts';

const maxFileBytes = 2 ** 31 - 1;
const inflate = promisify(gunzip);

/** The whole file, inflated. */
export async function readDataFile(datasets: Datasets, uri: string): Promise<Uint8Array> {
  const bytes = await readRaw(datasets, uri);
  return isGzip(bytes) ? inflateAll(uri, bytes) : bytes;
}

/**
 * The beginning of an IDX file and its inflated size. A gzip file says its size in its last four bytes, so that
 * planning need not inflate 47 MB; when that disagrees with the header the caller inflates it to say what is wrong.
 */
export async function readDataHead(datasets: Datasets, uri: string): Promise<{ head: Uint8Array; bytes: number }> {
  const raw = await readRaw(datasets, uri);
  if (!isGzip(raw)) return { head: raw.subarray(0, maxHeaderBytes), bytes: raw.length };
  try {
    const head = gunzipSync(raw.subarray(0, 4096), {
      finishFlush: constants.Z_SYNC_FLUSH,
      maxOutputLength: 64 * 1024 * 1024,
    });
    const bytes = new DataView(raw.buffer, raw.byteOffset).getUint32(raw.length - 4, true);
    return { head: head.subarray(0, maxHeaderBytes), bytes };
  } catch {
    const all = await inflateAll(uri, raw);
    return { head: all.subarray(0, maxHeaderBytes), bytes: all.length };
  }
}

async function readRaw(datasets: Datasets, uri: string): Promise<Uint8Array> {
  const bytes = await datasets.read(uri);
  if (bytes === undefined) throw dataInvalid(uri, 'there is no such file');
  if (bytes.length === 0) throw dataInvalid(uri, 'the file is empty');
  return bytes;
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes.length > 2 && bytes[0] === 0x1f && bytes[1] === 0x8b;
}

async function inflateAll(uri: string, bytes: Uint8Array): Promise<Uint8Array> {
  try {
    return await inflate(bytes, { maxOutputLength: maxFileBytes });
  } catch (cause) {
    const { code, message } = cause as { code?: string; message: string };
    if (code === 'ERR_BUFFER_TOO_LARGE') throw dataInvalid(uri, `inflates to more than ${maxFileBytes} bytes`);
    const what = code === 'Z_BUF_ERROR' ? 'truncated: the gzip stream ends early' : `damaged gzip file (${message})`;
    throw dataInvalid(uri, `${what}; the file has ${bytes.length} bytes`);
  }
}
