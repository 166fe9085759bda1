/**
 * A server that speaks the wire of the AWS services we call, so that the real SDK clients can be tested without an
 * account: it records each request and answers with what the test prepared. It knows nothing of the services' behaviour.
 */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Recorded {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  /** `RunTask`, `StartExecution`, `UpdateAutoScalingGroup`, or the method for S3. */
  readonly operation: string;
  readonly body: Buffer;
  /** The body as JSON, or as the form of the query protocol. */
  readonly input: Readonly<Record<string, unknown>>;
}

export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Break the connection after this request was received: the SDK cannot know whether it had an effect. */
  readonly drop?: true;
}

export interface AwsStub {
  readonly requests: Recorded[];
  readonly endpoint: string;
  /** Answers the next requests in this order; a request with nothing prepared is answered with 500. */
  answer(...answers: (Answer | ((request: Recorded) => Answer))[]): void;
  close(): Promise<void>;
}

export async function startAwsStub(): Promise<AwsStub> {
  const requests: Recorded[] = [];
  const prepared: (Answer | ((request: Recorded) => Answer))[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const recorded = record(request, Buffer.concat(chunks));
    requests.push(recorded);
    const next = prepared.shift() ?? { status: 500, body: 'unprepared' };
    const { status = 200, headers = {}, body = '', drop } = typeof next === 'function' ? next(recorded) : next;
    if (drop) return request.socket.destroy();
    response.writeHead(status, { 'x-amzn-requestid': 'stub', ...headers }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    requests,
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answer: (...answers) => void prepared.push(...answers),
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function record(request: IncomingMessage, body: Buffer): Recorded {
  const url = new URL(request.url ?? '/', 'http://stub');
  const target = request.headers['x-amz-target'];
  const isForm = String(request.headers['content-type']).includes('x-www-form-urlencoded');
  const form = isForm ? Object.fromEntries(new URLSearchParams(body.toString())) : {};
  const operation = typeof target === 'string' ? (target.split('.')[1] ?? '') : (form.Action ?? request.method ?? '');
  const input = typeof target === 'string' ? (JSON.parse(body.toString()) as Record<string, unknown>) : form;
  return {
    method: request.method ?? '',
    path: decodeURIComponent(url.pathname),
    query: url.searchParams,
    headers: request.headers,
    operation,
    body,
    input,
  };
}

/** Answers of the JSON services. */
export const json = (body: unknown): Answer => ({
  headers: { 'content-type': 'application/x-amz-json-1.1' },
  body: JSON.stringify(body),
});
export const jsonError = (type: string, message: string, extra: Readonly<Record<string, unknown>> = {}): Answer => ({
  status: 400,
  headers: { 'content-type': 'application/x-amz-json-1.1' },
  body: JSON.stringify({ __type: type, message, ...extra }),
});
/** An error of S3. */
export const s3Error = (status: number, code: string, message = code): Answer => ({
  status,
  headers: { 'content-type': 'application/xml' },
  body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`,
});

/** What the stack would set, pointed at the stub. */
export const stubEnvironment = {
  AWS_REGION: 'us-east-1',
  CUTTLEFISH_ACCOUNT: '111122223333',
  CUTTLEFISH_BUCKET: 'runs-bucket',
  CUTTLEFISH_TABLE: 'runs-table',
  CUTTLEFISH_CLUSTER: 'training',
  CUTTLEFISH_STATE_MACHINE: 'arn:aws:states:us-east-1:111122223333:stateMachine:cuttlefish-dev-train',
  CUTTLEFISH_TASK_WORKER: 'arn:aws:ecs:us-east-1:111122223333:task-definition/cuttlefish-dev-worker:7',
  CUTTLEFISH_TASK_PARAMETER_SERVER:
    'arn:aws:ecs:us-east-1:111122223333:task-definition/cuttlefish-dev-parameter-server:5',
  CUTTLEFISH_SUBNETS: 'subnet-a,subnet-b',
  CUTTLEFISH_SECURITY_GROUPS: 'sg-1',
  CUTTLEFISH_PUBLIC_IP: 'true',
  CUTTLEFISH_PROVIDER_EC2: 'provider-ec2',
  CUTTLEFISH_PROVIDER_EC2_SPOT: 'provider-spot',
  CUTTLEFISH_GROUP_EC2: 'group-ec2',
  CUTTLEFISH_GROUP_EC2_SPOT: 'group-spot',
  CUTTLEFISH_DATA_BUCKETS: 'shared-data',
} as const;

export const stubClient = (endpoint: string, maxAttempts = 1) => ({
  endpoint,
  region: 'us-east-1',
  credentials: { accessKeyId: 'stub', secretAccessKey: 'stub' },
  maxAttempts,
  forcePathStyle: true,
});
