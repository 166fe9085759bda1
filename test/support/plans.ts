/** Plans for tests: a small config through the real parser and planner, changed where a test needs it. */
import { parseConfig } from '../../core/config/parse.ts';
import type { ClusterPlan, RunPlan } from '../../core/plan.ts';
import { makePlan } from '../../core/planning.ts';

export interface PlanChanges {
  readonly workers?: { readonly min: number; readonly max: number };
  readonly parameterServers?: number;
  readonly recovery?: Partial<RunPlan['recovery']>;
  readonly limits?: Partial<RunPlan['limits']>;
  readonly history?: Partial<RunPlan['history']>;
  readonly cluster?: Partial<ClusterPlan>;
  readonly onLoss?: 'replace' | 'shrink' | 'fail';
}

export function testPlan(changes: PlanChanges = {}): RunPlan {
  const { min, max } = changes.workers ?? { min: 1, max: 2 };
  const text = `version: 1
name: test
data: { source: digits, samples: 320, testSamples: 40 }
network:
  layers:
    - dense: { units: 10, activation: softmax }
training: { epochs: 3, batchSize: 32 }
cluster: { workers: { min: ${min}, max: ${max} }, parameterServers: ${changes.parameterServers ?? 0} }
`;
  const parsed = parseConfig(text, 'test');
  if (parsed.kind === 'invalid') throw new Error(JSON.stringify(parsed.issues));
  const shape = {
    inputShape: [28, 28, 1],
    outputs: 10,
    task: 'classification',
    trainSamples: 320,
    validationSamples: 0,
    testSamples: 40,
  } as const;
  const planned = makePlan(parsed.config, { runId: 'test-1', configDigest: 'sha256:0', shape, world: 'embedded' });
  if (planned.kind === 'invalid') throw new Error(JSON.stringify(planned.issues));
  const { plan } = planned;
  const worker = { ...plan.cluster.worker, ...(changes.onLoss === undefined ? {} : { onLoss: changes.onLoss }) };
  return {
    ...plan,
    recovery: { ...plan.recovery, ...changes.recovery },
    limits: { ...plan.limits, ...changes.limits },
    history: { ...plan.history, ...changes.history },
    cluster: { ...plan.cluster, worker, ...changes.cluster },
  };
}
