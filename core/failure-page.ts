/** docs/failures.md: the two tables of what may go wrong, for people. `node tools/schema.mjs` writes it. */
import { stopTable } from './classify.ts';
import { type Fault, failureTable } from './failure.ts';

const whose: { readonly [F in Fault]: string } = {
  user: 'whoever wrote the config or acted on the run',
  capacity: 'nobody: there was no room at AWS',
  infrastructure: 'the machines',
  deployment: 'whoever deployed the stack',
  platform: 'Cuttlefish itself',
  nobody: 'nobody',
};

export function failuresPage(): string {
  return `${[
    '# Failures',
    'Made by `node tools/schema.mjs` from the tables in `core/failure.ts` and `core/classify.ts`; do not edit.',
    'What may go wrong, whose doing it is, what Cuttlefish does by itself, and what a person should do. [What happens when ' +
      '...](what-happens-when.md) tells the stories with the tests behind them.',
    '## Kinds of failures',
    'The kind is the `error` of the execution, the name in Retry and Catch of the workflow, and `failure.kind` in `result.json`. These ' +
      'names are stable.',
    table(
      ['Kind', 'Whose doing', 'What Cuttlefish does', 'What to do'],
      Object.entries(failureTable).map(([kind, { fault, weDo, youDo }]) => [`\`${kind}\``, whose[fault], weDo, youDo]),
    ),
    '## How a task ends',
    'The class of a stopped task (`class` in `events.jsonl`), read from the stop code, the exit code and the reason that ECS gives.',
    table(
      ['Class', 'When', 'Whose doing', 'Budget', 'What Cuttlefish does', 'What to do'],
      Object.entries(stopTable).map(([kind, { when, fault, spends, weDo, youDo }]) => [
        `\`${kind}\``,
        when,
        whose[fault],
        spends,
        weDo,
        youDo,
      ]),
    ),
  ].join('\n\n')}\n`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
