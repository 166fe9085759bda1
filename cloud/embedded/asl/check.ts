/**
 * What is wrong with a definition, as a list of sentences. Owns the structure: flows, targets, names, scopes. Which fields a
 * state may have is rules.ts.
 *
 * Invariants
 *  C3  Every target exists in its own flow, every state can be reached, no name is used twice.
 *  C4  No inner flow assigns a variable that an outer one assigns; a variable is read only where something assigns it.
 */
import { type Flow, limits, type State, tokenResource } from './definition.ts';
import {
  argumentsOf,
  fields,
  fieldsOf,
  flowFields,
  isObject,
  number,
  oneOf,
  type Place,
  show,
  text,
  within,
} from './rules.ts';

/** Every problem of the definition; empty when it can be run. */
export function checkDefinition(definition: unknown): string[] {
  const problems: string[] = [];
  const place: Place = { at: 'the definition', variables: new Set(), say: (problem) => problems.push(problem) };
  const head = { Comment: text, Version: text, TimeoutSeconds: number(1, limits.maxSeconds, true), ...flowFields };
  fields({ ...head, QueryLanguage: oneOf('JSONata') }, ['QueryLanguage', 'StartAt', 'States'])(definition, place);
  if (problems.length === 0) checkFlow(definition as unknown as Flow, place, new Set());
  return problems;
}

function checkFlow(flow: Flow, outer: Place, names: Set<string>): void {
  const assigned = new Set(Object.values(flow.States).flatMap(assignedBy));
  for (const name of assigned) {
    if (outer.variables.has(name)) outer.say(`${outer.at}: assigns "${name}", which belongs to the flow around it`);
  }
  const place: Place = { ...outer, variables: new Set([...outer.variables, ...assigned]) };
  const reached = new Set<string>();
  const visit = (name: string, from: string): void => {
    const state = Object.hasOwn(flow.States, name) ? flow.States[name] : undefined;
    if (state === undefined) place.say(`${from}: there is no state "${name}" in this flow`);
    else if (!reached.has(name)) {
      reached.add(name);
      for (const [field, target] of targetsOf(state)) visit(target, `state ${name}.${field}`);
    }
  };
  visit(flow.StartAt, `${place.at}.StartAt`);
  for (const [name, state] of Object.entries(flow.States)) {
    if (names.has(name)) place.say(`state ${name}: the name is used twice`);
    names.add(name);
    if (!reached.has(name)) place.say(`state ${name}: nothing leads to it`);
    checkState(state, { ...place, at: `state ${name}` }, names);
  }
}

function checkState(state: State, place: Place, names: Set<string>): void {
  const type = isObject(state) ? state.Type : undefined;
  const spec = Object.entries(fieldsOf).find(([known]) => known === type)?.[1];
  if (spec === undefined) {
    place.say(`${place.at}.Type: ${show(type)} is not implemented here; accepted: ${Object.keys(fieldsOf).join(', ')}`);
    return;
  }
  fields(...spec)(state, place);
  const goes = ['Choice', 'Succeed', 'Fail'].includes(state.Type) || 'Next' in state !== 'End' in state;
  if (!goes) place.say(`${place.at}: accepted: exactly one of Next and End`);
  if (state.Type === 'Wait' && 'Seconds' in state === 'Timestamp' in state) {
    place.say(`${place.at}: accepted: exactly one of Seconds and Timestamp`);
  }
  if (state.Type === 'Task') {
    const { TimeoutSeconds: timeout, HeartbeatSeconds: heartbeat } = state;
    argumentsOf(state.Resource)(state.Arguments, within(place, '.Arguments'));
    if (heartbeat !== undefined && state.Resource !== tokenResource) {
      place.say(`${place.at}.HeartbeatSeconds: only a task with a token can send heartbeats`);
    }
    if (typeof timeout === 'number' && typeof heartbeat === 'number' && heartbeat >= timeout) {
      place.say(`${place.at}.HeartbeatSeconds: ${heartbeat}; accepted: less than TimeoutSeconds (${timeout})`);
    }
  }
  for (const [step, inner] of innerFlows(state)) {
    const rules = { ...flowFields, ProcessorConfig: fields({ Mode: oneOf('INLINE') }, []), Comment: text };
    const before: string[] = [];
    const at = { ...place, at: `${place.at}${step}`, say: (problem: string) => before.push(problem) };
    fields(rules, ['StartAt', 'States'])(inner, at);
    for (const problem of before) place.say(problem);
    if (before.length === 0) checkFlow(inner, { ...place, at: `${place.at}${step}` }, names);
  }
}

function assignedBy(state: State): string[] {
  if (!isObject(state)) return [];
  const holders: unknown[] = [state];
  for (const list of [state.Catch, state.Choices]) if (Array.isArray(list)) holders.push(...list);
  return holders.flatMap((holder) => (isObject(holder) && isObject(holder.Assign) ? Object.keys(holder.Assign) : []));
}

function targetsOf(state: State): [string, string][] {
  if (!isObject(state)) return [];
  const targets: [string, unknown][] = [
    ['Next', state.Next],
    ['Default', state.Default],
  ];
  for (const field of ['Catch', 'Choices']) {
    const list: unknown = state[field];
    if (Array.isArray(list)) {
      for (const [index, item] of list.entries())
        targets.push([`${field}[${index}].Next`, isObject(item) ? item.Next : undefined]);
    }
  }
  return targets.filter((target): target is [string, string] => typeof target[1] === 'string');
}

export function innerFlows(state: State): [string, Flow][] {
  if (state.Type === 'Map') return [['.ItemProcessor', state.ItemProcessor]];
  if (state.Type === 'Parallel' && Array.isArray(state.Branches)) {
    return state.Branches.map((branch, index): [string, Flow] => [`.Branches[${index}]`, branch]);
  }
  return [];
}
