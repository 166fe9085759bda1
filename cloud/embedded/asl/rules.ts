/**
 * The fields that each kind of state may have, and what each accepts: the list of what the interpreter implements.
 *
 * Invariants
 *  C1  A field is checked by exactly one rule of `fieldsOf`; a field without a rule is refused.
 *  C2  A rule says what it found and what would be accepted, and lets the others go on.
 */
import { invokeResource, limits, nestedResource, type StateType, tokenResource } from './definition.ts';
import { checkExpression, expressionOf, type StatesField } from './jsonata.ts';

type Json = Record<string, unknown>;
export interface Place {
  readonly at: string;
  readonly variables: ReadonlySet<string>;
  say(problem: string): void;
}
export type Rule = (value: unknown, place: Place) => void;

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const within = (place: Place, step: string): Place => ({ ...place, at: `${place.at}${step}` });
export const show = (value: unknown): string => JSON.stringify(value) ?? String(value);

// Rules

export const text: Rule = (value, place) => {
  if (typeof value !== 'string') place.say(`${place.at}: ${show(value)} is not text`);
};
const flag: Rule = (value, place) => {
  if (value !== true) place.say(`${place.at}: ${show(value)}; accepted: true`);
};
export const oneOf =
  (...accepted: readonly string[]): Rule =>
  (value, place) => {
    if (!accepted.includes(value as string)) {
      place.say(`${place.at}: ${show(value)} is not implemented here; accepted: ${accepted.join(', ')}`);
    }
  };
export const number =
  (least: number, most: number, whole: boolean): Rule =>
  (value, place) => {
    const fits = typeof value === 'number' && value >= least && value <= most && (!whole || Number.isInteger(value));
    if (!fits)
      place.say(`${place.at}: ${show(value)}; accepted: a ${whole ? 'whole ' : ''}number from ${least} to ${most}`);
  };
const expression =
  (...fields: readonly StatesField[]): Rule =>
  (value, place) => {
    const inner = typeof value === 'string' ? expressionOf(value) : undefined;
    if (inner === undefined) place.say(`${place.at}: ${show(value)}; accepted: an expression {% ... %}`);
    else for (const problem of checkExpression(inner, place.variables, fields)) place.say(`${place.at}: ${problem}`);
  };
const either =
  (literal: Rule, ...fields: readonly StatesField[]): Rule =>
  (value, place) =>
    (typeof value === 'string' && value.startsWith('{%') ? expression(...fields) : literal)(value, place);
const template =
  (...fields: readonly StatesField[]): Rule =>
  (value, place) => {
    if (typeof value === 'string') {
      if (value.startsWith('{%') || value.endsWith('%}')) expression(...fields)(value, place);
    } else if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) template(...fields)(item, within(place, `[${index}]`));
    } else if (isObject(value)) {
      for (const [key, item] of Object.entries(value)) template(...fields)(item, within(place, `.${key}`));
    }
  };
const assign =
  (...fields: readonly StatesField[]): Rule =>
  (value, place) => {
    if (!isObject(value)) return place.say(`${place.at}: ${show(value)}; accepted: an object of variables`);
    for (const name of Object.keys(value)) {
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || name === 'states' || name.length > limits.variableNameChars) {
        place.say(`${place.at}.${name}: not a name for a variable`);
      }
    }
    template(...fields)(value, place);
  };
export const fields =
  (rules: Readonly<Record<string, Rule>>, required: readonly string[]): Rule =>
  (value, place) => {
    if (!isObject(value)) return place.say(`${place.at}: ${show(value)}; accepted: an object`);
    for (const name of required) if (!(name in value)) place.say(`${place.at}: ${name} is missing`);
    for (const [name, item] of Object.entries(value)) {
      const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
      if (rule !== undefined) rule(item, within(place, `.${name}`));
      else place.say(`${place.at}.${name}: not implemented here; accepted: ${Object.keys(rules).join(', ')}`);
    }
  };
const listOf =
  (rule: Rule, least = 1): Rule =>
  (value, place) => {
    if (!Array.isArray(value) || value.length < least)
      return place.say(`${place.at}: ${show(value)}; accepted: a list`);
    for (const [index, item] of value.entries()) rule(item, within(place, `[${index}]`));
  };
/** States.ALL stands alone, and in the last one only. */
const guards =
  (rule: Rule): Rule =>
  (value, place) => {
    listOf(rule)(value, place);
    for (const [index, item] of (Array.isArray(value) ? value : []).entries()) {
      const names: unknown = isObject(item) ? item.ErrorEquals : undefined;
      if (!Array.isArray(names) || !names.includes('States.ALL')) continue;
      if (names.length > 1) place.say(`${place.at}[${index}].ErrorEquals: States.ALL must stand alone`);
      if (index < (value as unknown[]).length - 1) place.say(`${place.at}[${index}]: nothing may follow States.ALL`);
    }
  };

const enter = ['input', 'context'] as const;
const leave = ['input', 'context', 'result'] as const;
const caught = ['input', 'context', 'errorOutput'] as const;
const seconds = either(number(1, limits.maxSeconds, true), ...enter);

const retrier = fields(
  {
    ErrorEquals: listOf(text),
    IntervalSeconds: number(1, limits.maxSeconds, true),
    MaxAttempts: number(0, limits.maxSeconds, true),
    BackoffRate: number(1, 1e6, false),
    MaxDelaySeconds: number(1, 31_622_400, true),
    JitterStrategy: oneOf('FULL', 'NONE'),
    Comment: text,
  },
  ['ErrorEquals'],
);
const catcher = fields(
  { ErrorEquals: listOf(text), Next: text, Assign: assign(...caught), Output: template(...caught), Comment: text },
  ['ErrorEquals', 'Next'],
);
const rule = fields(
  {
    Condition: either(flagOrNot, ...enter),
    Next: text,
    Assign: assign(...enter),
    Output: template(...enter),
    Comment: text,
  },
  ['Condition', 'Next'],
);
function flagOrNot(value: unknown, place: Place): void {
  if (typeof value !== 'boolean') place.say(`${place.at}: ${show(value)}; accepted: true, false or an expression`);
}
const invocation = fields({ FunctionName: template(...enter), Payload: template(...enter) }, ['FunctionName']);
const nesting = fields({ StateMachineArn: template(...enter), Input: template(...enter), Name: template(...enter) }, [
  'StateMachineArn',
]);
/** What the resource of a Task takes. */
export const argumentsOf = (resource: unknown): Rule => (resource === nestedResource ? nesting : invocation);
/** Flows inside a state are checked by `checkFlow`. */
const flow: Rule = () => undefined;

const common = { Type: text, Comment: text, QueryLanguage: oneOf('JSONata') };
const going = { Next: text, End: flag };
const guarded = { Retry: guards(retrier), Catch: guards(catcher) };
const passing = { Output: template(...enter), Assign: assign(...enter) };
const resulting = { Output: template(...leave), Assign: assign(...leave) };

export const fieldsOf: { readonly [T in StateType]: readonly [Readonly<Record<string, Rule>>, readonly string[]] } = {
  Task: [
    {
      ...{ ...common, ...going, ...guarded, ...resulting },
      Resource: oneOf(invokeResource, tokenResource, nestedResource),
      // By the resource: `argumentsOf`.
      Arguments: template(...enter),
      TimeoutSeconds: seconds,
      HeartbeatSeconds: seconds,
    },
    ['Resource', 'Arguments'],
  ],
  Choice: [{ ...common, ...passing, Choices: listOf(rule), Default: text }, ['Choices']],
  Wait: [
    {
      ...{ ...common, ...going, ...passing },
      Seconds: either(number(0, limits.maxSeconds, true), ...enter),
      Timestamp: either(text, ...enter),
    },
    [],
  ],
  Pass: [{ ...common, ...going, ...passing }, []],
  Map: [
    {
      ...{ ...common, ...going, ...guarded, ...resulting },
      Items: either(listOf(template(...enter), 0), ...enter),
      ItemSelector: template(...enter),
      ItemProcessor: flow,
      MaxConcurrency: either(number(0, limits.maxSeconds, true), ...enter),
    },
    ['ItemProcessor'],
  ],
  Parallel: [
    { ...{ ...common, ...going, ...guarded, ...resulting }, Arguments: template(...enter), Branches: listOf(flow) },
    ['Branches'],
  ],
  Succeed: [{ ...common, Output: template(...enter) }, []],
  Fail: [{ ...common, Error: either(text, ...enter), Cause: either(text, ...enter) }, []],
};

export const flowFields: Readonly<Record<string, Rule>> = {
  StartAt: text,
  States: (value, place) => {
    if (!isObject(value) || Object.keys(value).length === 0) place.say(`${place.at}: accepted: an object of states`);
  },
};
