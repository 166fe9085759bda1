/**
 * The input of an execution, from StartExecution, from a workflow around ours, or from the start function. Published as
 * statemachines/train.input.schema.json; field names and the kinds of failures are stable.
 */
import * as z from 'zod';
import { runIdPattern } from './config/run-id.ts';
import { CuttlefishError } from './failure.ts';
import type { ValidateInput } from './workflow.ts';

const runId = z
  .string()
  .regex(runIdPattern)
  .optional()
  .meta({ description: 'Name of the run; by default the name in the config and a digest of it.' });

/** What else is there is left alone: Step Functions adds a field to nested executions, and we add `submission`. */
export const inputSchema = z
  .union([
    z.looseObject({
      config: z.string().min(1).meta({ description: 'The config itself, as YAML.' }),
      runId,
    }),
    z.looseObject({
      configUri: z
        .string()
        .min(1)
        .meta({ description: 'Where the config lies: s3:// in the bucket of the stack or one that it may read.' }),
      version: z.string().optional().meta({ description: 'The exact version of the object.' }),
      runId,
    }),
  ])
  .meta({ title: 'Input of a training run', description: 'Either `config` or `configUri`.' });

/** Throws ConfigInvalid: whoever starts an execution by hand is told what would be accepted. */
export function readInput(input: ValidateInput): ValidateInput {
  const parsed = inputSchema.safeParse(input);
  if (parsed.success) return input;
  const accepted =
    '{"config": "<yaml>"} or {"configUri": "s3://..."}, and "runId" of lower-case letters, digits and hyphens';
  const message = z.prettifyError(parsed.error).replaceAll('\n', ' ');
  throw new CuttlefishError({
    kind: 'ConfigInvalid',
    source: 'the input of the execution',
    issues: [{ path: '', line: 0, column: 0, message, accepted }],
  });
}
