/**
 * From the text of a definition to a StateMachine: YAML (or JSON, which the build makes of it), placeholders, checks.
 *
 * Invariants
 *  A1  Everything that the interpreter does not implement is refused here, all problems at once, each with the state and
 *      the field; nothing is found out in the middle of a run.
 *  A2  `${Name}` placeholders are those that DefinitionSubstitutions replaces on AWS; an unknown one is an error.
 */
import { parseDocument } from 'yaml';
import { CuttlefishError } from '../../../core/failure.ts';
import { checkDefinition } from './check.ts';
import type { StateMachine } from './definition.ts';

/** `OnTaskEventFunctionArn` is the function `on-task-event`. */
export function resolveFunctionName(placeholder: string): string {
  const pascal = /^((?:[A-Z][a-z0-9]*)+)FunctionArn$/.exec(placeholder)?.[1];
  if (pascal === undefined) {
    throw new CuttlefishError({
      kind: 'Unexpected',
      message: `cannot resolve \${${placeholder}} in the state machine; accepted: \${<PascalName>FunctionArn}`,
    });
  }
  return pascal.replace(/(?!^)([A-Z])/g, '-$1').toLowerCase();
}

export function loadStateMachine(
  text: string,
  resolve: (placeholder: string) => string = resolveFunctionName,
): StateMachine {
  return asStateMachine(substitute(parse(text), resolve));
}

function parse(text: string): unknown {
  // Far faster than YAML, and the command reads it every time.
  if (text.startsWith('{')) return JSON.parse(text);
  const document = parseDocument(text, { uniqueKeys: true });
  if (document.errors.length > 0) throw refusal(document.errors.map((error) => error.message));
  return document.toJS({ maxAliasCount: 100 });
}

/** A definition that is JSON already, checked. */
export function asStateMachine(definition: unknown): StateMachine {
  const problems = checkDefinition(definition);
  if (problems.length > 0) throw refusal(problems);
  return definition as StateMachine;
}

function refusal(problems: readonly string[]): CuttlefishError {
  const lines = problems.map((problem) => `  ${problem}`).join('\n');
  return new CuttlefishError({
    kind: 'Unexpected',
    message: `the state machine definition has ${problems.length} problem(s)\n${lines}`,
  });
}

function substitute(value: unknown, resolve: (placeholder: string) => string): unknown {
  if (typeof value === 'string')
    return value.replace(/\$\{([A-Za-z0-9_.]+)\}/g, (_whole, name: string) => resolve(name));
  if (Array.isArray(value)) return value.map((item) => substitute(item, resolve));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, substitute(item, resolve)]));
  }
  return value;
}
