/**
 * Training data on this machine: a path, a `file://` URI, or `s3://cuttlefish-local/<key>` for what lies in the bucket
 * of the state folder.
 *
 * Invariants
 *  Q1  What is not there is `undefined`; what cannot be read, or is no place this world knows, is DataInvalid with the URI.
 *  Q2  Relative paths are resolved against one folder, chosen when the world is opened.
 */
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CuttlefishError } from '../../core/failure.ts';
import type { Datasets, InflatedFiles } from '../ports.ts';
import { codeOf, readBytes } from './files.ts';

/** The name that `s3://` URIs give the bucket of the state folder. */
export const embeddedBucket = 'cuttlefish-local';

export interface DatasetsOptions {
  readonly bucketFolder: string;
  /** What relative paths are relative to; the working folder of the process when absent. */
  readonly baseFolder?: string;
  readonly inflated?: InflatedFiles;
}

const notThere = ['ENOENT', 'ENOTDIR'];

export function createDatasets(options: DatasetsOptions): Datasets {
  const base = resolve(options.baseFolder ?? '.');
  const pathOf = (uri: string) => locate(uri, base, options.bucketFolder);
  return {
    ...(options.inflated === undefined ? {} : { inflated: options.inflated }),

    async read(uri, range) {
      const path = pathOf(uri);
      if (range && !(Number.isSafeInteger(range.from) && Number.isSafeInteger(range.to) && 0 <= range.from)) {
        throw invalid(uri, `the range ${range.from} to ${range.to} is not one of whole bytes from 0`);
      }
      let file: FileHandle;
      try {
        file = await open(path, 'r');
      } catch (error) {
        if (notThere.includes(codeOf(error) ?? '')) return undefined;
        throw unreadable(uri, error);
      }
      try {
        const { size } = await file.stat();
        const from = Math.min(range?.from ?? 0, size);
        const to = Math.min(range?.to ?? size, size);
        return await readBytes(file, from, Math.max(from, to));
      } catch (error) {
        throw unreadable(uri, error);
      } finally {
        await file.close();
      }
    },

    async list(uri) {
      try {
        const entries = await readdir(pathOf(uri), { withFileTypes: true });
        // A link may point to a file: data folders are often made of links.
        return entries
          .filter((entry) => entry.isFile() || entry.isSymbolicLink())
          .map((entry) => entry.name)
          .sort();
      } catch (error) {
        if (notThere.includes(codeOf(error) ?? '')) return undefined;
        throw unreadable(uri, error);
      }
    },
  };
}

function locate(uri: string, base: string, bucketFolder: string): string {
  if (uri.includes('\0')) throw invalid(uri, 'it holds a NUL character');
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(uri)?.[1]?.toLowerCase();
  if (scheme === undefined) {
    if (uri === '') throw invalid(uri, 'the path is empty');
    return resolve(base, uri);
  }
  if (scheme === 'file') {
    try {
      return fileURLToPath(uri);
    } catch (error) {
      throw invalid(uri, error instanceof Error ? error.message : String(error));
    }
  }
  const own = `s3://${embeddedBucket}`;
  if (uri === own || uri.startsWith(`${own}/`)) {
    const parts = uri.slice(own.length).split('/').filter(Boolean);
    if (parts.includes('..')) throw invalid(uri, 'a key of the bucket has no part ".."');
    return join(bucketFolder, ...parts);
  }
  throw invalid(
    uri,
    `"${scheme}://" ${scheme === 's3' ? 'of this bucket ' : ''}cannot be read on this machine; accepted: a path, file:// or ${own}/<key>`,
  );
}

function invalid(uri: string, message: string): CuttlefishError {
  return new CuttlefishError({ kind: 'DataInvalid', source: uri === '' ? '""' : uri, message });
}

function unreadable(uri: string, cause: unknown): CuttlefishError {
  if (cause instanceof CuttlefishError) return cause;
  const message =
    codeOf(cause) === 'EISDIR' ? 'it is a folder' : cause instanceof Error ? cause.message : String(cause);
  return new CuttlefishError({ kind: 'DataInvalid', source: uri, message }, { cause });
}
