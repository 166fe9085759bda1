/**
 * The workflow port on Step Functions: a Standard state machine, executions with names of our choosing, task tokens.
 *
 * Invariants
 *  W1  The same name starts once. StartExecution answers a running execution of the same name AND input as if it had
 *      just started; every call therefore carries a `submission` of its own in the input, so a second caller is told
 *      ExecutionAlreadyExists, while a repeated attempt of one call (same bytes) still succeeds.
 *  W2  A token that is unknown, answered or timed out is `gone`.
 */
import {
  DescribeExecutionCommand,
  SendTaskHeartbeatCommand,
  SendTaskSuccessCommand,
  type SFNClient,
  StartExecutionCommand,
  StopExecutionCommand,
} from '@aws-sdk/client-sfn';
import { CuttlefishError } from '../../core/failure.ts';
import type { Ids, Workflow } from '../ports.ts';
import { readRefusal } from './errors.ts';
import type { AwsSettings } from './settings.ts';

const gone = new Set(['TaskTimedOut', 'TaskDoesNotExist', 'InvalidToken']);
const namePattern = /^[0-9A-Za-z_-]{1,80}$/;
const causeLimit = 32_768;

export function awsWorkflow(client: SFNClient, settings: AwsSettings, ids: Ids): Workflow {
  async function answer(send: () => Promise<unknown>): Promise<'accepted' | 'gone'> {
    try {
      await send();
      return 'accepted';
    } catch (thrown) {
      if (gone.has(readRefusal(thrown).name)) return 'gone';
      throw thrown;
    }
  }

  return {
    async start(name, input) {
      if (!namePattern.test(name)) {
        throw new CuttlefishError({
          kind: 'Unexpected',
          message: `"${name}" cannot name an execution; accepted: 1 to 80 letters, digits, - and _`,
        });
      }
      const stateMachineArn = settings.stateMachineArn();
      const marked = isObject(input) ? { ...input, submission: ids.hex(8) } : input;
      try {
        const { executionArn } = await client.send(
          new StartExecutionCommand({ stateMachineArn, name, input: JSON.stringify(marked) }),
        );
        return { kind: 'started', executionArn: executionArn ?? executionArnOf(stateMachineArn, name) };
      } catch (thrown) {
        if (readRefusal(thrown).name !== 'ExecutionAlreadyExists') throw thrown;
        return { kind: 'exists', executionArn: executionArnOf(stateMachineArn, name) };
      }
    },

    async stop(executionArn, cause) {
      try {
        await client.send(
          new StopExecutionCommand({ executionArn, error: 'Cancelled', cause: cause.slice(0, causeLimit) }),
        );
      } catch (thrown) {
        if (readRefusal(thrown).name !== 'ExecutionDoesNotExist') throw thrown;
      }
    },

    async describe(executionArn) {
      try {
        const { status = '', error, cause } = await client.send(new DescribeExecutionCommand({ executionArn }));
        return { status, ...(error === undefined ? {} : { error }), ...(cause === undefined ? {} : { cause }) };
      } catch (thrown) {
        if (readRefusal(thrown).name !== 'ExecutionDoesNotExist') throw thrown;
        return undefined;
      }
    },

    succeedTask: (taskToken, output) =>
      answer(() => client.send(new SendTaskSuccessCommand({ taskToken, output: JSON.stringify(output ?? null) }))),

    heartbeatTask: (taskToken) => answer(() => client.send(new SendTaskHeartbeatCommand({ taskToken }))),
  };
}

export function executionArnOf(stateMachineArn: string, name: string): string {
  return `${stateMachineArn.replace(':stateMachine:', ':execution:')}:${name}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
