/**
 * Arms one turn of waiting: stores the task token where whoever has news finds it. It returns at once; the state goes on
 * when the token is answered (cloud/signal.ts), or when its heartbeat or time runs out.
 */

import type { Cloud } from '../cloud/ports.ts';
import { arm } from '../cloud/signal.ts';
import type { WatchInput } from '../core/workflow.ts';

export async function watch(
  { runId, taskToken, turn, seen }: WatchInput,
  cloud: Cloud,
): Promise<{ readonly kind: 'waiting' | 'answered' | 'superseded' }> {
  return { kind: await arm(cloud, runId, { turn, token: taskToken, seen }) };
}
