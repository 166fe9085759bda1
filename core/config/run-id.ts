/**
 * Names of runs. The same bytes give the same run id, whoever submits them and however often (P1): the id is also the
 * execution name, which Step Functions accepts once.
 */
import { createHash } from 'node:crypto';

/** `<name>-<first 12 hex of sha256>`; parts are length-prefixed, so ("ab", "c") and ("a", "bc") differ. */
export function runIdFor(name: string, ...parts: readonly string[]): string {
  return `${name}-${digestOf(...parts).slice('sha256:'.length, 'sha256:'.length + 12)}`;
}

/** `sha256:<hex>` over the parts. */
export function digestOf(...parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    const bytes = new TextEncoder().encode(part);
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return `sha256:${hash.digest('hex')}`;
}

/** Attempt 0 is the run itself; each `resume` of an ended run is an execution of its own. */
export function executionName(runId: string, attempt: number): string {
  return attempt === 0 ? runId : `${runId}-r${attempt}`;
}

export const runIdPattern = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;
