/**
 * Who a task is: its ARN, and the address where its peers reach it, from the metadata endpoint that ECS gives every
 * container (version 4). The endpoint may not answer in a container's first moments, so it is asked a few times.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { CuttlefishError } from '../../core/failure.ts';
import type { Environment } from './settings.ts';

/** Where tasks listen for their peers; each has an address of its own, and infra/network.yml opens no other port. */
export const wirePort = 7700;

export interface TaskIdentity {
  readonly taskId: string;
  readonly host: string;
}

/** The part of fetch that is used, so that a test can pass its own. */
export type Fetch = (
  url: string,
  options: { signal: AbortSignal },
) => Promise<{ readonly ok: boolean; readonly status: number; json(): Promise<unknown> }>;

interface Metadata {
  readonly TaskARN?: string;
  readonly Containers?: readonly {
    readonly Name?: string;
    readonly Networks?: readonly { readonly IPv4Addresses?: readonly string[] }[];
  }[];
}

const attempts = 5;

export async function readTaskIdentity(
  env: Environment,
  fetch: Fetch = globalThis.fetch,
  waitMs = 200,
): Promise<TaskIdentity> {
  const endpoint = env.ECS_CONTAINER_METADATA_URI_V4;
  if (endpoint === undefined || endpoint === '') {
    throw unreadable('ECS_CONTAINER_METADATA_URI_V4 is not set: this process does not run as an ECS task');
  }
  let last = '';
  for (let attempt = 1; attempt <= attempts; attempt++) {
    try {
      const answer = await fetch(`${endpoint}/task`, { signal: AbortSignal.timeout(2_000) });
      if (answer.ok) {
        const { TaskARN: taskId, Containers: containers = [] } = (await answer.json()) as Metadata;
        // Under awsvpc every container of the task shares the one address.
        const host = containers.flatMap(({ Networks = [] }) =>
          Networks.flatMap(({ IPv4Addresses = [] }) => IPv4Addresses),
        )[0];
        if (taskId !== undefined && host !== undefined) return { taskId, host };
        last = `it names ${taskId === undefined ? 'no TaskARN' : 'no IPv4 address'}`;
      } else {
        last = `it answered HTTP ${answer.status}`;
      }
    } catch (thrown) {
      last = thrown instanceof Error ? thrown.message : String(thrown);
    }
    if (attempt < attempts) await delay(waitMs * 2 ** (attempt - 1));
  }
  throw unreadable(`the task metadata at ${endpoint}/task cannot be used: ${last}`);
}

function unreadable(message: string): CuttlefishError {
  return new CuttlefishError({ kind: 'Unexpected', message });
}
