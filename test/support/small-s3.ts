/**
 * As much of S3 as the object store and the data sets use, in memory and over HTTP, so that the shared suites run against
 * the real adapters: versions, If-None-Match, ranges, listings in pages of three. Not an oracle for what AWS does: the
 * refusals that matter are tested one by one against the stub.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Version {
  readonly id: string;
  /** Undefined: a delete marker. */
  readonly body: Buffer | undefined;
}

const pageSize = 3;

export interface SmallS3 {
  readonly endpoint: string;
  close(): Promise<void>;
}

export async function startSmallS3(): Promise<SmallS3> {
  const objects = new Map<string, Version[]>();
  let versions = 0;
  const add = (path: string, body: Buffer | undefined): string => {
    versions += 1;
    objects.set(path, [...(objects.get(path) ?? []), { id: `v${versions}`, body }]);
    return `v${versions}`;
  };
  const newest = (path: string) => objects.get(path)?.at(-1);

  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://s3');
    const path = decodeURIComponent(url.pathname).slice(1);
    const body = await readBody(request);
    if (request.method === 'PUT') {
      const taken = newest(path)?.body !== undefined;
      if (request.headers['if-none-match'] === '*' && taken) return refuse(response, 412, 'PreconditionFailed');
      return void response.writeHead(200, { 'x-amz-version-id': add(path, body) }).end();
    }
    if (request.method === 'DELETE') {
      return void response.writeHead(204, { 'x-amz-version-id': add(path, undefined) }).end();
    }
    if (url.searchParams.has('list-type')) return list(response, path.replace(/\/$/, ''), url.searchParams);
    const wanted = url.searchParams.get('versionId');
    const found = wanted === null ? newest(path) : objects.get(path)?.find(({ id }) => id === wanted);
    if (found === undefined) return refuse(response, 404, wanted === null ? 'NoSuchKey' : 'NoSuchVersion');
    if (found.body === undefined)
      return refuse(response, wanted === null ? 404 : 405, wanted === null ? 'NoSuchKey' : 'MethodNotAllowed');
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    if (range !== null && Number(range[1]) >= found.body.length) return refuse(response, 416, 'InvalidRange');
    const part = range === null ? found.body : found.body.subarray(Number(range[1]), Number(range[2]) + 1);
    response.writeHead(range === null ? 200 : 206, { 'x-amz-version-id': found.id }).end(part);
  });

  function list(response: ServerResponse, bucket: string, query: URLSearchParams): void {
    const prefix = query.get('prefix') ?? '';
    const after = query.get('continuation-token') ?? '';
    const names = new Set<string>();
    for (const [path, history] of objects) {
      const key = path.slice(bucket.length + 1);
      if (!path.startsWith(`${bucket}/`) || !key.startsWith(prefix) || history.at(-1)?.body === undefined) continue;
      const cut = query.get('delimiter') === '/' ? key.indexOf('/', prefix.length) : -1;
      names.add(cut === -1 ? key : key.slice(0, cut + 1));
    }
    const rest = [...names].filter((name) => name > after).sort();
    const page = rest.slice(0, pageSize);
    const more = rest.length > page.length;
    const folder = (name: string) => query.get('delimiter') === '/' && name.endsWith('/');
    response
      .writeHead(200, { 'content-type': 'application/xml' })
      .end(
        `<?xml version="1.0"?><ListBucketResult><IsTruncated>${more}</IsTruncated>${
          more ? `<NextContinuationToken>${escapeXml(page.at(-1) ?? '')}</NextContinuationToken>` : ''
        }${page
          .map((name) =>
            folder(name)
              ? `<CommonPrefixes><Prefix>${escapeXml(name)}</Prefix></CommonPrefixes>`
              : `<Contents><Key>${escapeXml(name)}</Key></Contents>`,
          )
          .join('')}</ListBucketResult>`,
      );
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function refuse(response: ServerResponse, status: number, code: string): void {
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`;
  response.writeHead(status, { 'content-type': 'application/xml' }).end(body);
}

const escapeXml = (text: string) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
