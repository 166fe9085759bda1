/**
 * Reading training data through the Datasets port, compressed or not. Gzip is told by its magic number, not by the name.
 *
 * Invariants
 *  RD1 A missing, empty or damaged file is DataInvalid with its full name, never a stack trace of the decompressor.
 *  RD2 Nothing is inflated beyond `maxFileBytes`, or, for a head, beyond the head.
 *  RD3 What was kept inflated is taken when it was made of this very file, and is what the file says it inflates to: its name is
 *      a digest of the one, and its length and checksum are those at the other's end.
 */
import { createHash } from 'node:crypto';
import { crc32, createGunzip } from 'node:zlib';
import { dataInvalid } from '../core/data/data-error.ts';
import { maxHeaderBytes } from '../core/data/idx.ts';
import type { Datasets } from './ports.ts';

const maxFileBytes = 2 ** 31 - 1;
/** Smaller ones are inflated sooner than found, larger ones take more room than they save time. */
const keptBytes = { least: 2 ** 20, most: 2 ** 28 };

/** The whole file, inflated. */
export async function readDataFile(datasets: Datasets, uri: string): Promise<Uint8Array> {
  const bytes = await readRaw(datasets, uri);
  if (!isGzip(bytes)) return bytes;
  return isKept(datasets, bytes) ? wholeOrKept(datasets.inflated, uri, bytes) : inflateWhole(uri, bytes);
}

type Keeping = Datasets & Required<Pick<Datasets, 'inflated'>>;

function isKept(datasets: Datasets, bytes: Uint8Array): datasets is Keeping {
  const said = saidSize(bytes);
  return datasets.inflated !== undefined && keptBytes.least <= said && said <= keptBytes.most;
}

/** RD3. */
async function wholeOrKept(inflated: Keeping['inflated'], uri: string, bytes: Uint8Array): Promise<Uint8Array> {
  const name = createHash('sha256').update(bytes).digest('hex');
  const isSound = (content: Uint8Array) => content.length === saidSize(bytes) && crc32(content) === saidChecksum(bytes);
  const kept = await inflated.get(name, isSound);
  if (kept !== undefined) return kept;
  const whole = await inflateWhole(uri, bytes);
  // A file of several parts says the size of the last one.
  if (whole.length === saidSize(bytes)) void inflated.put(name, whole);
  return whole;
}

async function inflateWhole(uri: string, bytes: Uint8Array): Promise<Uint8Array> {
  const whole = await inflate(uri, bytes, maxFileBytes);
  if (whole.length > maxFileBytes) throw dataInvalid(uri, `inflates to more than ${maxFileBytes} bytes`);
  return whole;
}

/**
 * The beginning of an IDX file and its inflated size. A gzip file says its size in its last four bytes, so that
 * planning need not inflate 47 MB; when that disagrees with the header the caller inflates it to say what is wrong.
 */
export async function readDataHead(datasets: Datasets, uri: string): Promise<{ head: Uint8Array; bytes: number }> {
  const raw = await readRaw(datasets, uri);
  if (!isGzip(raw)) return { head: raw.subarray(0, maxHeaderBytes), bytes: raw.length };
  const head = await inflate(uri, raw, maxHeaderBytes);
  return { head: head.subarray(0, maxHeaderBytes), bytes: saidSize(raw) };
}

/** What a gzip file says of its inflated size, modulo 2^32. */
function saidSize(raw: Uint8Array): number {
  return endOf(raw).getUint32(4, true);
}

/** And of its checksum. */
function saidChecksum(raw: Uint8Array): number {
  return endOf(raw).getUint32(0, true);
}

/** The last eight bytes; of a file that is shorter, nothing that says anything. */
function endOf(raw: Uint8Array): DataView {
  return raw.length < 8
    ? new DataView(new ArrayBuffer(8))
    : new DataView(raw.buffer, raw.byteOffset + raw.length - 8, 8);
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

/** The most that deflate can make of a byte. */
const greatestRatio = 1032;
const leastChunkBytes = 1 << 14;

/**
 * Stops once `enough` bytes are passed. The room for the result is made once, as large as the file says and one byte more
 * (so that the decompressor need not ask for further room at the end), and inflated into straight away: data sets are what
 * a task needs most memory for, and should not be there twice.
 */
async function inflate(uri: string, bytes: Uint8Array, enough: number): Promise<Uint8Array> {
  const said = Math.min(saidSize(bytes), bytes.length * greatestRatio, enough);
  const stream = createGunzip({ chunkSize: Math.max(leastChunkBytes, said + 1) });
  const pieces: Uint8Array[] = [];
  let length = 0;
  try {
    stream.end(bytes);
    for await (const piece of stream) {
      pieces.push(piece as Uint8Array);
      length += (piece as Uint8Array).length;
      // Leaving the loop destroys the stream.
      if (length > enough) break;
    }
  } catch (cause) {
    const { code, message } = cause as { code?: string; message: string };
    const what = code === 'Z_BUF_ERROR' ? 'truncated: the gzip stream ends early' : `damaged gzip file (${message})`;
    throw dataInvalid(uri, `${what}; the file has ${bytes.length} bytes`);
  }
  return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces, length);
}
