/** The state machine as it is deployed: nothing in it can hang, escape, or wait for an error that nobody throws. */
import { lambdaErrors, predefinedErrors } from '../../../cloud/embedded/asl/errors.ts';
import { failureTable } from '../../../core/failure.ts';
import { asList, at, ofType, type Template } from '../package-stack.ts';

const known: readonly string[] = [...Object.keys(failureTable), ...predefinedErrors, ...lambdaErrors];

export function workflow(template: Template): string[] {
  const found: string[] = [];
  for (const [id, { Properties }] of ofType(template, 'AWS::StepFunctions::StateMachine')) {
    if (at(Properties.TracingConfiguration, 'Enabled') !== true) found.push(`${id}: not traced`);
    if (at(Properties.LoggingConfiguration, 'Level') !== 'ALL') found.push(`${id}: not logged`);
    // Inputs and results hold task tokens.
    if (at(Properties.LoggingConfiguration, 'IncludeExecutionData') !== false) found.push(`${id}: logs task tokens`);
    const states = at(JSON.parse(String(Properties.DefinitionString)), 'States') as Record<string, unknown>;
    for (const [name, state] of Object.entries(states)) {
      if (at(state, 'Type') === 'Task') found.push(...task(`${id}.${name}`, state));
    }
  }
  return found;
}

function task(where: string, state: unknown): string[] {
  const found: string[] = [];
  if (at(state, 'TimeoutSeconds') === undefined) found.push(`${where}: has no timeout`);
  const waits = String(at(state, 'Resource')).endsWith('.waitForTaskToken');
  if (waits && at(state, 'HeartbeatSeconds') === undefined) found.push(`${where}: waits without a heartbeat`);
  if (asList(at(state, 'Retry')).length === 0) found.push(`${where}: gives up at the first error`);
  const catchers = asList(at(state, 'Catch'));
  if (!asList(at(catchers.at(-1), 'ErrorEquals')).includes('States.ALL')) found.push(`${where}: lets errors escape`);
  for (const each of [...asList(at(state, 'Retry')), ...catchers]) {
    for (const name of asList(at(each, 'ErrorEquals')).map(String)) {
      if (!known.includes(name)) found.push(`${where}: nobody throws ${name}`);
    }
  }
  return found;
}
