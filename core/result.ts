/**
 * What a run comes to: result.json, what `train --json` prints, and the output of the execution that a workflow around ours
 * reads. `resultSchema` is published as statemachines/train.output.schema.json; its field names are stable.
 */
import * as z from 'zod';
import { type Failure, failureTable } from './failure.ts';

/** What a run has cost, all its attempts together: money is spent once. On a laptop nothing. */
export interface Receipt {
  readonly tasks: number;
  readonly taskSeconds: number;
  /** Of the workflow. */
  readonly transitions: number;
  readonly tasksUsd: number;
  readonly transitionsUsd: number;
  readonly usd: number;
  /** Dollars per 1,000 steps that count; absent without a step. */
  readonly usdPerThousandSteps?: number;
  /** Date of the price table. */
  readonly pricesAsOf: string;
}

export interface RunResult {
  readonly runId: string;
  readonly status: 'succeeded' | 'failed' | 'cancelled';
  readonly epochs: number;
  readonly steps: number;
  readonly metrics: { readonly accuracy?: number; readonly loss?: number };
  readonly weightsDigest?: string;
  /** Incidents that the run went on after, interruptions included; tasks that went together count once. */
  readonly recoveries: number;
  readonly lostSteps: number;
  readonly generations: number;
  /** By the roll call of every epoch, each training sample is in the weights exactly once an epoch; absent where that is not promised. */
  readonly dataExactlyOnce?: boolean;
  /** Useful step time over elapsed time since the first step, 0 to 1. */
  readonly goodput: number;
  readonly durationMs: number;
  readonly engine?: string;
  readonly receipt: Receipt;
  readonly failure?: Failure & { readonly message?: string };
  readonly artifacts: {
    /** Only of a run that trained to its end. */
    readonly model?: string;
    readonly metrics: string;
    readonly report: string;
    readonly result: string;
    readonly events: string;
    /** Not of a run that could not be planned. */
    readonly plan?: string;
  };
}

const count = z.int().min(0);
const usd = z.number().min(0);
const place = z.string();

export const resultSchema = z
  .strictObject({
    runId: z.string(),
    status: z.enum(['succeeded', 'failed', 'cancelled']),
    epochs: count,
    steps: count,
    metrics: z.strictObject({ accuracy: z.number().optional(), loss: z.number().nullable().optional() }),
    weightsDigest: z.string().optional().meta({ description: 'SHA-256 of the final weights' }),
    recoveries: count,
    lostSteps: count,
    generations: count,
    dataExactlyOnce: z.boolean().optional(),
    goodput: z.number().min(0).max(1),
    durationMs: z.number().min(0),
    engine: z.string().optional(),
    receipt: z.strictObject({
      tasks: count,
      taskSeconds: usd,
      transitions: count,
      tasksUsd: usd,
      transitionsUsd: usd,
      usd,
      usdPerThousandSteps: usd.optional(),
      pricesAsOf: z.string(),
    }),
    failure: z
      .looseObject({ kind: z.enum(Object.keys(failureTable)), message: z.string().optional() })
      .optional()
      .meta({
        description: 'Why it failed; the kind is also the error of the execution. docs/failures.md lists the kinds.',
      }),
    artifacts: z.strictObject({
      model: place.optional(),
      metrics: place,
      report: place,
      result: place,
      events: place,
      plan: place.optional(),
    }),
  })
  .meta({ title: 'Result of a training run', description: 'Output of the workflow, and result.json in the bucket.' });
