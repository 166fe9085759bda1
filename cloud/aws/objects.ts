/**
 * The object store port on S3, in a versioned bucket; the version of an object is its VersionId.
 *
 * Invariants
 *  S1  `absent` is If-None-Match: "*". 412 is our conflict, 409 (two conditional writes at once) is asked again.
 *  S2  When the SDK repeats a put whose answer was lost, 412 may be our own earlier win: equal bytes mean `stored`.
 *  S3  Bodies are buffers, never streams: the SDK then sends one checksummed request.
 *  S4  Every call names the account that must own the bucket, where the stack gives it.
 */
import {
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  paginateListObjectsV2,
  type S3Client,
} from '@aws-sdk/client-s3';
import { CuttlefishError } from '../../core/failure.ts';
import type { Clock, ObjectStore } from '../ports.ts';
import { readRefusal } from './errors.ts';
import type { AwsSettings } from './settings.ts';

const conflictRetries = 5;
const missing = new Set(['NoSuchKey', 'NotFound', 'NoSuchVersion']);

export function awsObjects(client: S3Client, settings: AwsSettings, clock: Pick<Clock, 'sleep'>): ObjectStore {
  const where = () => ({
    Bucket: settings.bucket(),
    ...(settings.account === undefined ? {} : { ExpectedBucketOwner: settings.account }),
  });

  async function read(key: string, version?: string) {
    try {
      const answer = await client.send(
        new GetObjectCommand({ ...where(), Key: key, ...(version === undefined ? {} : { VersionId: version }) }),
      );
      const body = (await answer.Body?.transformToByteArray()) ?? new Uint8Array();
      return { body, version: versionOf(answer) };
    } catch (thrown) {
      const refusal = readRefusal(thrown);
      if (missing.has(refusal.name)) return undefined;
      // A version that is a delete marker, or an id that S3 never gave out, is "gone" as well.
      if (version !== undefined && (refusal.status === 405 || refusal.name === 'InvalidArgument')) return undefined;
      throw objectFailure(`object ${key}`, thrown);
    }
  }

  return {
    get: (key) => read(key),
    getVersion: (key, version) => read(key, version),

    async put(key, body, when, sha256) {
      const bytes = typeof body === 'string' ? Buffer.from(body) : body;
      for (let attempt = 1; ; attempt++) {
        try {
          const answer = await client.send(
            new PutObjectCommand({
              ...where(),
              Key: key,
              Body: bytes,
              ContentType: contentType(key),
              ...(when === 'always' ? {} : { IfNoneMatch: '*' }),
              // S3 refuses a body with another digest, and the SDK need not take one of its own.
              ...(sha256 === undefined ? {} : { ChecksumSHA256: Buffer.from(sha256, 'hex').toString('base64') }),
            }),
          );
          return { kind: 'stored', version: versionOf(answer) };
        } catch (thrown) {
          const refusal = readRefusal(thrown);
          if (refusal.status === 412 || refusal.name === 'PreconditionFailed') {
            if (refusal.attempts === 1 && attempt === 1) return { kind: 'conflict' };
            const stored = await read(key);
            if (stored !== undefined && Buffer.compare(stored.body, bytes) === 0) {
              return { kind: 'stored', version: stored.version };
            }
            return { kind: 'conflict' };
          }
          if (refusal.name !== 'ConditionalRequestConflict' || attempt > conflictRetries) {
            throw objectFailure(`object ${key}`, thrown);
          }
          await clock.sleep(50 * 2 ** attempt);
        }
      }
    },

    async list(prefix) {
      const keys: string[] = [];
      try {
        for await (const page of paginateListObjectsV2({ client }, { ...where(), Prefix: prefix })) {
          for (const { Key: key } of page.Contents ?? []) if (key !== undefined) keys.push(key);
        }
      } catch (thrown) {
        throw objectFailure(`objects under ${prefix}`, thrown);
      }
      return keys.sort();
    },

    async delete(key) {
      try {
        await client.send(new DeleteObjectCommand({ ...where(), Key: key }));
      } catch (thrown) {
        if (!missing.has(readRefusal(thrown).name)) throw objectFailure(`object ${key}`, thrown);
      }
    },

    locate: (key) => `s3://${settings.bucket()}/${key}`,
  };
}

/** The ETag stands in where versioning is off (an emulator); on the stack's bucket it is always on. */
function versionOf(answer: { VersionId?: string | undefined; ETag?: string | undefined }): string {
  return answer.VersionId ?? answer.ETag ?? '';
}

const contentTypes: Readonly<Record<string, string>> = {
  json: 'application/json',
  jsonl: 'application/x-ndjson',
  html: 'text/html; charset=utf-8',
  yaml: 'application/yaml',
  txt: 'text/plain; charset=utf-8',
};

/** So that a report opens in the browser instead of being downloaded. */
function contentType(key: string): string {
  return contentTypes[key.slice(key.lastIndexOf('.') + 1)] ?? 'application/octet-stream';
}

export function objectFailure(what: string, thrown: unknown): CuttlefishError {
  const { name, message } = readRefusal(thrown);
  return new CuttlefishError({ kind: 'StorageFailed', what, reason: `${name}: ${message}` }, { cause: thrown });
}
