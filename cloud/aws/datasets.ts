/**
 * Training data on S3, read only. The stack says which prefixes may be read (`data/` of its own bucket and those it was
 * deployed with); a config can choose among them and cannot name anything else.
 *
 * Invariants
 *  I1  A URI is compared segment by segment after it was refused for `.`, `..`, empty or escaped segments: `data-evil/`
 *      does not pass for `data/`, and no spelling climbs out of a prefix.
 *  I2  No other scheme than s3 is ever opened: no http, no file, no metadata address.
 */
import { GetObjectCommand, paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3';
import { CuttlefishError } from '../../core/failure.ts';
import type { Datasets } from '../ports.ts';
import { readRefusal } from './errors.ts';
import { objectFailure } from './objects.ts';
import type { AwsSettings } from './settings.ts';

export function awsDatasets(client: S3Client, settings: AwsSettings): Datasets {
  return {
    async read(uri, range) {
      const { bucket, key } = allowedObject(uri, settings.dataPrefixes());
      if (range !== undefined && range.to <= range.from) return new Uint8Array();
      try {
        const answer = await client.send(
          new GetObjectCommand({
            Bucket: bucket,
            Key: key,
            ...(range === undefined ? {} : { Range: `bytes=${range.from}-${range.to - 1}` }),
          }),
        );
        return (await answer.Body?.transformToByteArray()) ?? new Uint8Array();
      } catch (thrown) {
        const refusal = readRefusal(thrown);
        if (refusal.name === 'NoSuchKey' || refusal.name === 'NotFound') return undefined;
        // The range begins behind the end of the file.
        if (refusal.status === 416 || refusal.name === 'InvalidRange') return new Uint8Array();
        throw objectFailure(uri, thrown);
      }
    },

    async list(uri) {
      const { bucket, key } = allowedObject(uri.endsWith('/') ? uri : `${uri}/`, settings.dataPrefixes());
      const names: string[] = [];
      let found = false;
      try {
        const pages = paginateListObjectsV2({ client }, { Bucket: bucket, Prefix: key, Delimiter: '/' });
        for await (const page of pages) {
          if ((page.CommonPrefixes ?? []).length > 0) found = true;
          for (const { Key: name } of page.Contents ?? []) {
            found = true;
            // The object that some tools create for the folder itself has an empty name.
            if (name !== undefined && name.length > key.length) names.push(name.slice(key.length));
          }
        }
      } catch (thrown) {
        throw objectFailure(uri, thrown);
      }
      return found ? names.sort() : undefined;
    },
  };
}

/** Bucket and key of a URI under one of the allowed prefixes; DataInvalid, with what is allowed, for any other. */
export function allowedObject(uri: string, prefixes: readonly string[]): { bucket: string; key: string } {
  const refuse = (message: string) =>
    new CuttlefishError({
      kind: 'DataInvalid',
      source: uri,
      message: `${message}; accepted: a path under ${prefixes.join(' or ')}`,
    });
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/(.*)$/s.exec(uri);
  if (match === null) throw refuse('it is not an s3:// URI');
  const [, bucket = '', key = ''] = match;
  const segments = key.replace(/\/$/, '').split('/');
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..' || /[%\\\p{Cc}]/u.test(segment)))
    throw refuse('it has an empty, relative or escaped path segment');
  const allowed = prefixes.some((prefix) =>
    `s3://${bucket}/${key}`.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`),
  );
  if (!allowed) throw refuse('this stack may not read it');
  return { bucket, key };
}
