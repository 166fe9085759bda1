/**
 * Expressions. Owns how `{% ... %}` is found, checked when a definition is loaded, and evaluated in bounded time.
 *
 * Invariants
 *  J1  An expression that gives nothing, a function or an error is States.QueryEvaluationError, with where and why.
 *  J2  A result is plain JSON, independent of the library's own arrays.
 *  J3  Evaluation is bounded: time, depth, length of sequences.
 *  J4  No function whose answer differs from call to call may be used ($random, $shuffle, $uuid, $eval): a state that is
 *      taken up again after a crash must say the same. $now and $millis tell the time of the injected clock.
 *  J5  A name that nothing assigns, a field that $states does not have at that place, or an unknown function is refused
 *      at load.
 */
import { createHash } from 'node:crypto';
import jsonata from 'jsonata';
import { limits } from './definition.ts';
import { StatesError } from './errors.ts';

export interface Scope {
  readonly states: {
    readonly input: unknown;
    readonly context: unknown;
    readonly result?: unknown;
    readonly errorOutput?: unknown;
  };
  readonly variables: Readonly<Record<string, unknown>>;
  readonly nowMs: number;
}
export type StatesField = keyof Scope['states'];

const bounds = { timeout: 2_000, stack: 500, sequence: 100_000 };
const compiled = new Map<string, jsonata.Expression>();

const refused = new Map([
  ['eval', 'AWS does not have it'],
  ['random', 'a resumed state would get another answer'],
  ['shuffle', 'a resumed state would get another answer'],
  ['uuid', 'a resumed state would get another answer'],
]);

const builtIn = new Set(
  `abs append assert average base64decode base64encode boolean ceil clone contains count decodeUrl decodeUrlComponent
   distinct each encodeUrl encodeUrlComponent error exists filter floor formatBase formatInteger formatNumber fromMillis
   join keys length lookup lowercase map match max merge millis min not now number pad parseInteger power reduce replace
   reverse round sift single sort split spread sqrt string substring substringAfter substringBefore sum toMillis trim
   type typeOf uppercase zip parse range partition hash`.split(/\s+/),
);

/** The expression inside `{% %}`, or undefined when the string is a literal. */
export function expressionOf(text: string): string | undefined {
  return text.startsWith('{%') && text.endsWith('%}') && text.length >= 4 ? text.slice(2, -2).trim() : undefined;
}

/** Replaces every expression in a template by its value. `where` is for the message: state and field. */
export async function evaluate(template: unknown, scope: Scope, where: string): Promise<unknown> {
  if (typeof template === 'string') {
    const expression = expressionOf(template);
    return expression === undefined ? template : evaluateExpression(expression, scope, where);
  }
  if (Array.isArray(template)) {
    const items: unknown[] = [];
    for (const [index, item] of template.entries()) items.push(await evaluate(item, scope, `${where}[${index}]`));
    return items;
  }
  if (typeof template === 'object' && template !== null) {
    const fields: [string, unknown][] = [];
    for (const [key, value] of Object.entries(template)) {
      fields.push([key, await evaluate(value, scope, `${where}.${key}`)]);
    }
    return Object.fromEntries(fields);
  }
  return template;
}

async function evaluateExpression(expression: string, scope: Scope, where: string): Promise<unknown> {
  let value: unknown;
  try {
    value = await compile(expression).evaluate(undefined, {
      ...scope.variables,
      states: scope.states,
      ...functionsAt(scope.nowMs),
    });
  } catch (error) {
    throw failed(where, expression, messageOf(error));
  }
  if (value === undefined) throw failed(where, expression, 'it gives nothing (undefined)');
  try {
    const text = JSON.stringify(value, (_key, item: unknown) => {
      if (isFunction(item)) throw new Error('it gives a function');
      return item;
    });
    if (text === undefined) throw new Error('it gives a function');
    return JSON.parse(text);
  } catch (error) {
    throw failed(where, expression, messageOf(error));
  }
}

function failed(where: string, expression: string, why: string): StatesError {
  return new StatesError(
    'States.QueryEvaluationError',
    `${where}: cannot evaluate "${expression}": ${why}`,
    'evaluation',
  );
}

function compile(expression: string): jsonata.Expression {
  const known = compiled.get(expression);
  if (known !== undefined) return known;
  const fresh = jsonata(expression, bounds);
  compiled.set(expression, fresh);
  return fresh;
}

/** What AWS adds to JSONata, and the clock. An absent argument gives nothing, as everywhere in JSONata. */
function functionsAt(nowMs: number): Record<string, unknown> {
  return {
    millis: () => nowMs,
    now: (picture?: string, zone?: string) =>
      jsonata('$fromMillis($at, $picture, $zone)').evaluate(undefined, { at: nowMs, picture, zone }),
    parse: (text?: string) => (text === undefined ? undefined : JSON.parse(text)),
    range: (first: number, last: number, step: number) => {
      if (![first, last, step].every(Number.isInteger) || step === 0) {
        throw new Error(`$range takes three whole numbers and a step that is not 0, not (${first}, ${last}, ${step})`);
      }
      const count = Math.max(0, Math.floor((last - first) / step) + 1);
      if (count > limits.rangeItems) throw new Error(`$range gives ${count} items; at most ${limits.rangeItems}`);
      return Array.from({ length: count }, (_, index) => first + index * step);
    },
    partition: (items: unknown[] | undefined, size: number) => {
      if (items === undefined) return undefined;
      if (!Number.isInteger(size) || size < 1) throw new Error(`$partition takes a size from 1, not ${size}`);
      return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
    },
    hash: (content: string | undefined, algorithm = 'SHA-256') => {
      if (content === undefined) return undefined;
      if (!['MD5', 'SHA-1', 'SHA-256', 'SHA-384', 'SHA-512'].includes(algorithm)) {
        throw new Error(`$hash does not know the algorithm "${algorithm}"`);
      }
      return createHash(algorithm.replace('-', '')).update(content).digest('hex');
    },
  };
}

/** Every problem of one expression, in words; empty when there is none. */
export function checkExpression(
  expression: string,
  variables: ReadonlySet<string>,
  fields: readonly StatesField[],
): string[] {
  let ast: unknown;
  try {
    ast = compile(expression).ast();
  } catch (error) {
    return [`not a JSONata expression: ${messageOf(error)}`];
  }
  const problems = new Set<string>();
  const local = new Set<string>();
  visit(ast, (node) => {
    if (node.type === 'bind') local.add(nameOf(node.lhs));
    if (node.type === 'lambda') for (const argument of listOf(node.arguments)) local.add(nameOf(argument));
    for (const role of ['focus', 'index']) if (typeof node[role] === 'string') local.add(node[role]);
  });
  visit(ast, (node) => {
    if (node.type === 'variable') {
      const name = nameOf(node);
      if (local.has(name) || variables.has(name) || ['', '$', 'states'].includes(name)) return;
      const why = refused.get(name);
      if (why !== undefined) problems.add(`$${name} is not supported: ${why}`);
      else if (!builtIn.has(name)) problems.add(`$${name} is neither assigned by a state nor a function`);
    }
    if (node.type === 'path') {
      const [first, second] = listOf(node.steps);
      if (nameOf(first) !== 'states' || kindOf(first) !== 'variable' || kindOf(second) !== 'name') return;
      if (!fields.some((field) => field === nameOf(second))) {
        problems.add(`$states.${nameOf(second)} does not exist here; there is $states.${fields.join(', $states.')}`);
      }
    }
  });
  return [...problems];
}

type Node = Record<string, unknown>;

function visit(value: unknown, see: (node: Node) => void, seen = new Set<unknown>()): void {
  if (typeof value !== 'object' || value === null || value instanceof RegExp || seen.has(value)) return;
  seen.add(value);
  if (!Array.isArray(value)) see(value as Node);
  for (const item of Object.values(value)) visit(item, see, seen);
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const fieldOf = (node: unknown, field: string): string => {
  const value = typeof node === 'object' && node !== null ? (node as Node)[field] : undefined;
  return typeof value === 'string' ? value : '';
};
const nameOf = (node: unknown): string => fieldOf(node, 'value');
const kindOf = (node: unknown): string => fieldOf(node, 'type');

function isFunction(item: unknown): boolean {
  if (typeof item === 'function') return true;
  return typeof item === 'object' && item !== null && ('_jsonata_lambda' in item || '_jsonata_function' in item);
}

/** The library throws plain objects with a `message`. */
function messageOf(error: unknown): string {
  const message = typeof error === 'object' && error !== null ? (error as { message?: unknown }).message : undefined;
  return typeof message === 'string' ? message : String(error);
}
